"""Self-training closes part of the gap between clean and hard renders, without a label.

The bundled model, trained on `clean`, adapts to the images and masks of 300 `hard` frames, once with Alg. 2
(`default`) and once with Alg. 1 (`bcd`). The oracle has heads of the same recipe, trained on the same frames
with their labels. There are two protocols: "adapted frames" scores on a part of the frames that were adapted
to, as the paper does; "held-out" scores on frames that were not used in adaptation.

    python -m experiments.adapt.adaptation [--quick]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from crisp.adapt.options import AdaptOptions
from crisp.adapt.recipe import AdaptRecipe, load_adapt_recipe
from crisp.adapt.run import adapt
from crisp.data.bop.reader import BopDataset
from crisp.evaluate.metrics.statistics import recall_curve
from crisp.model import Model, load_model
from crisp.recipes import load_correction
from experiments.support.errors import Error, auc_claims, errors_of
from experiments.support.evidence import RESULTS, Claim, write_evidence
from experiments.support.heads import supervised
from experiments.support.rendered_sets import (
    ADAPT_SCENES,
    ADAPT_SEED,
    ADAPT_VIEWS,
    MIN_VISIBLE,
    SCENES,
    SEEDS,
    VIEWS,
    adaptation_set,
    hard_set,
    parser_of,
)

SCORED_EVERY = 12
"""Number of adapted frames that are scored; scoring all of them takes longer than adapting."""
ALGORITHMS = {"Alg. 2": "default", "Alg. 1": "bcd"}
NETWORK, CORRECTED = "network alone", "with corrector"
DRAWS = 2000


@dataclass(frozen=True)
class Cell:
    """One set under one model, with or without its corrector."""

    where: str
    arm: str
    way: str
    errors: tuple[Error, ...]

    @property
    def frames(self) -> np.ndarray:
        return np.array([e.frame_id for e in self.errors])

    def values(self, name: str) -> np.ndarray:
        return np.array([getattr(e, name) for e in self.errors])


def main() -> None:
    options = options_of(__doc__)
    start = time.perf_counter()
    source = load_model(options.weights)
    target, held_out = adaptation_set(options), hard_set(options)
    cells: list[Cell] = []
    for name in options.algorithms:
        algorithm = ALGORITHMS[name]
        for arm in ("source", f"adapted, {name}"):
            model = source if arm == "source" else adapted(algorithm, target, options)
            correctors = {NETWORK: None, CORRECTED: load_correction(algorithm)[0]}
            for where, dataset, every in sets_of(target, held_out, options):
                found = kept_errors(model, dataset, correctors, every=every, options=options, key=algorithm)
                cells += [Cell(where, f"{arm} ({name})", way, errors) for way, errors in found.items()]
    oracle = load_model(supervised(source, target, options))
    for where, dataset, every in sets_of(target, held_out, options)[1:]:
        found = kept_errors(oracle, dataset, {NETWORK: None}, every=every, options=options, key="none")
        cells.append(Cell(where, "supervised", NETWORK, found[NETWORK]))
    claims = claims_of(cells, options.algorithms)
    write_evidence(
        "adapt.adaptation",
        claims,
        settings=settings_of(options, source),
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )
    if not options.quick:
        draw(cells, RESULTS / "adaptation.png")


def options_of(description: str | None) -> argparse.Namespace:
    parser = parser_of(description, quick="Alg. 2, three frames of three objects, one of each set scored")
    parser.add_argument("--algorithms", nargs="+", choices=list(ALGORITHMS))
    options = parser.parse_args()
    options.algorithms = options.algorithms or list(ALGORITHMS)[: 1 if options.quick else None]
    return options


def sets_of(
    target: BopDataset, held_out: BopDataset, options: argparse.Namespace
) -> list[tuple[str, BopDataset, int]]:
    every = (3, 3) if options.quick else (SCORED_EVERY, 1)
    return [("adapted frames", target, every[0]), ("held-out", held_out, every[1])]


def recipe_of(algorithm: str, options: argparse.Namespace) -> AdaptRecipe:
    recipe = load_adapt_recipe(algorithm)
    if not options.quick:
        return recipe
    return replace(recipe, batch=2, guard=replace(recipe.guard, least=3, objects=6, every=2, check_every=2))


def adapted(algorithm: str, target: BopDataset, options: argparse.Namespace) -> Model:
    """The model after the adaptation; a finished one is reused."""
    name = f"adapted_{algorithm}" + ("_quick" if options.quick else "")
    todo = AdaptOptions(
        dataset=target.root, split=target.split, weights=options.weights, out=options.work / name
    )
    return load_model(adapt(recipe_of(algorithm, options), todo))


def kept_errors(
    model: Model,
    dataset: BopDataset,
    correctors: dict,
    *,
    every: int,
    options: argparse.Namespace,
    key: str,
) -> dict[str, tuple[Error, ...]]:
    """Errors without and with corrector, cached beside the renders because they take the longest."""
    name = f"errors_{dataset.root.parent.name}_{dataset.split}_{every}_{key}_{model.sha256[:12]}.json"
    path = options.work / name
    if not path.exists():
        found = errors_of(model, dataset, correctors, every=every)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({way: [asdict(e) for e in rows] for way, rows in found.items()}))
        partial.replace(path)
    content = json.loads(path.read_text())
    return {way: tuple(Error(**row) for row in rows) for way, rows in content.items()}


def claims_of(cells: Sequence[Cell], algorithms: Sequence[str]) -> list[Claim]:
    """The claims with goals, then every cell."""
    by_name = {(cell.where, cell.arm, cell.way): cell for cell in cells}
    claims = []
    for name in algorithms:
        before = by_name["held-out", f"source ({name})", NETWORK]
        after = by_name["held-out", f"adapted, {name} ({name})", NETWORK]
        oracle = by_name["held-out", "supervised", NETWORK]
        claims.append(gap_closed(name, before, after, oracle))
        for where in ("held-out", "adapted frames"):
            for way in (NETWORK, CORRECTED):
                pair = (by_name[where, f"{arm} ({name})", way] for arm in ("source", f"adapted, {name}"))
                aimed = where == "held-out" and way == NETWORK
                claims.append(gain(f"{where}, {way}, {name}", *pair, goal="> 0" if aimed else "report"))
    for cell in cells:
        claims += auc_claims(f"{cell.where}, {cell.arm}, {cell.way}", cell.errors)
    return claims


def gap_closed(name: str, before: Cell, after: Cell, oracle: Cell) -> Claim:
    """The share of the gap in ADD-S AUC at 2 cm between source and supervised that adaptation closes."""

    def share(means: np.ndarray) -> float:
        return float((means[1] - means[0]) / (means[2] - means[0]))

    figure, interval = paired((before, after, oracle), share)
    title = f"held-out, network alone, {name}: share of the gap to supervised that is closed (AUC at 2 cm)"
    return Claim(title, ">= 0.30", figure, interval, unit="share")


def gain(title: str, before: Cell, after: Cell, *, goal: str) -> Claim:
    figure, interval = paired((before, after), lambda means: float(means[1] - means[0]))
    judge = "figure" if goal == "report" else "interval"
    return Claim(f"{title}: gain in ADD-S AUC at 2 cm", goal, figure, interval, unit="share", judge=judge)


def paired(
    cells: Sequence[Cell], figure_of: Callable[[np.ndarray], float]
) -> tuple[float, tuple[float, float]]:
    """A function of the cells' AUCs at 2 cm, and its 95 % interval; all cells share the draws of frames."""
    scores = np.stack([np.maximum(0.0, 1.0 - cell.values("add_s_m") / 0.02) for cell in cells])
    _, group = np.unique(cells[0].frames, return_inverse=True)
    count = group.max() + 1
    sums = np.stack([np.bincount(group, row, minlength=count) for row in scores])
    sizes = np.bincount(group, minlength=count)
    rng = np.random.default_rng(0)
    drawn = rng.integers(count, size=(DRAWS, count))
    figures = [figure_of(sums[:, rows].sum(1) / sizes[rows].sum()) for rows in drawn]
    low, high = np.percentile(figures, [2.5, 97.5])
    return figure_of(scores.mean(1)), (float(low), float(high))


def settings_of(options: argparse.Namespace, source: Model) -> dict[str, object]:
    return {
        "target": {"look": "hard", "scenes": ADAPT_SCENES, "views": ADAPT_VIEWS, "seed": ADAPT_SEED},
        "held_out": {"look": "hard", "scenes": SCENES["hard"], "views": VIEWS, "seed": SEEDS["hard"]},
        "scored_every": SCORED_EVERY,
        "min_visible": MIN_VISIBLE,
        "masks": "ground truth",
        "recipes": {
            name: asdict(recipe_of(a, options))
            for name, a in ALGORITHMS.items()
            if name in options.algorithms
        },
        "weights": options.weights,
        "model_sha256": source.sha256,
    }


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Shares of objects below an error, as in the paper's Figs. 11 (e_shape) and 12 (ADD-S)."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = [c for c in cells if c.where == "held-out" and c.way == NETWORK and c.arm != "source (Alg. 1)"]
    for axes, name, scale, most, label in (
        (left, "crisp_shape", 1.0, 0.10, "e_shape, diameters"),
        (right, "add_s_m", 100.0, 3.0, "ADD-S, cm"),
    ):
        grid = np.linspace(most / 200, most, 200)
        for cell in shown:
            axes.plot(grid, recall_curve(scale * cell.values(name), grid), label=cell.arm.split(" (")[0])
        axes.set(xlabel=label, ylabel="share of objects", xlim=(0, most), ylim=(0, 1))
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
