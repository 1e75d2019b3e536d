"""The bundled YCB model is self-trained on the real frames, and scored on them before and after.

There are two protocols: transductive, as in the paper, scores on the adapted frames; leave one scene out
scores each scene with a model that was adapted to the other scenes. In both, only the masks of the labels
are used for adaptation. Figures are of the network alone and with the search; nearly equal images of an
object count as one.

    python -m experiments.ycbv.ycbv_adapt --data FOLDER [--quick] [--protocols transductive]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from crisp.adapt.options import AdaptOptions
from crisp.adapt.recipe import AdaptRecipe, load_adapt_recipe
from crisp.adapt.run import adapt, audit_path
from crisp.adapt.snapshot import read_audit
from crisp.data.bop.reader import BopDataset
from crisp.model import load_model
from crisp.output.sink import described
from experiments.support.evidence import RESULTS, Claim, write_evidence
from experiments.ycbv.ycbv_figures import AUCS, claims_of, over_scenes, weighted_mean, weights_of
from experiments.ycbv.ycbv_sets import OWN, Row, digest_of, has_real_frames, parser_of, real_set, scored, used

RECIPE = "ycbv-small"
WAYS = {"network alone": "none", "search": OWN}
MOST_LOST = 0.02
LEAST_RAISED = 2


def main() -> None:
    protocols = {"transductive": everywhere, "leave one scene out": elsewhere}
    parser = parser_of(__doc__)
    parser.add_argument("--protocols", nargs="+", choices=list(protocols), default=list(protocols))
    options = parser.parse_args()
    if not has_real_frames(options.data):
        return
    start = time.perf_counter()
    everything = real_set(options.data, options.work)
    before = {way: estimates(options.weights, everything, way, options) for way in WAYS}
    goals: list[Claim] = []
    claims: list[Claim] = []
    for name in options.protocols[: 1 if options.quick else None]:
        after = {way: protocols[name](everything, way, options) for way in WAYS}
        for way in WAYS:
            changes = list(changed(f"{name}, {way}", before[way], after[way]))
            goals += judged(f"{name}, {way}", changes)
            claims += changes
        for way, rows in after.items():
            claims += claims_of(f"{name}, after, {way}", rows, weights_of(rows))
    for way, rows in before.items():
        claims += claims_of(f"before, {way}", rows, weights_of(rows))
    write_evidence(
        "ycbv.ycbv_adapt",
        [*goals, *claims, *learnt(adaptation(everything, options))],
        settings={
            **used(load_model(options.weights)),
            "masks": "ground truth",
            "recipe": asdict(recipe_of(options)),
            "protocols": options.protocols,
            "ways": WAYS,
        },
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def recipe_of(options: argparse.Namespace) -> AdaptRecipe:
    recipe = load_adapt_recipe(RECIPE)
    if not options.quick:
        return recipe
    return replace(recipe, passes=1, batch=2, guard=replace(recipe.guard, least=2, objects=4, every=2))


def most_frames(options: argparse.Namespace) -> int | None:
    return 3 if options.quick else None


def estimates(weights: str | Path, dataset: BopDataset, way: str, options: argparse.Namespace) -> list[Row]:
    model = load_model(weights)
    return scored(model, WAYS[way], dataset, options.work, most_frames=most_frames(options))


def everywhere(dataset: BopDataset, way: str, options: argparse.Namespace) -> list[Row]:
    """Adapted to all frames, scored on all frames."""
    return estimates(adapted(dataset, options), dataset, way, options)


def elsewhere(dataset: BopDataset, way: str, options: argparse.Namespace) -> list[Row]:
    """Each scene scored with a model that was adapted to the others."""
    rows: list[Row] = []
    for scene in dataset.scene_ids:
        others = [other for other in dataset.scene_ids if other != scene]
        source = real_set(options.data, options.work, scenes=others)
        held = real_set(options.data, options.work, scenes=[scene])
        rows += estimates(adapted(source, options), held, way, options)
    return rows


def adaptation(dataset: BopDataset, options: argparse.Namespace) -> Path:
    """The run's folder: another one for other weights, bounds of the certificate, settings or frames."""
    recipe, model = recipe_of(options), load_model(options.weights)
    settings = described(model.with_correction(recipe.correct).settings)
    keys = dataset.keys[: most_frames(options)]
    frames = [dataset.digest(key) for key in keys]
    return options.work / f"adapted_{digest_of(model.sha256, settings, asdict(recipe), frames)}"


def adapted(dataset: BopDataset, options: argparse.Namespace) -> Path:
    """The checkpoint after the adaptation; a finished one is reused."""
    out = adaptation(dataset, options)
    todo = AdaptOptions(
        dataset=dataset.root,
        split=dataset.split,
        weights=options.weights,
        out=out,
        frames=most_frames(options),
    )
    return adapt(recipe_of(options), todo)


def changed(title: str, before: Sequence[Row], after: Sequence[Row]) -> Iterator[Claim]:
    """Every AUC after less before, object by object."""
    key = {(row.frame_id, row.name): row for row in after}
    pairs = [(row, key[row.frame_id, row.name]) for row in before]
    weights = weights_of(before)
    for what, error, threshold in AUCS:
        scores = [[max(0.0, 1 - getattr(row, error) / threshold) for row in pair] for pair in pairs]
        gain = np.diff(np.array(scores), axis=1)[:, 0]
        found, interval = over_scenes(before, gain, weights, weighted_mean)
        yield Claim(f"{title}: change of {what}", "report", found, interval, unit="share")


def judged(title: str, changes: Sequence[Claim]) -> list[Claim]:
    """The two goals: no AUC lower, and some higher."""
    worst = min(changes, key=lambda claim: claim.figure)
    surely = sum(claim.interval is not None and claim.interval[0] > 0 for claim in changes)
    raised = sum(claim.figure > 0 for claim in changes)
    return [
        Claim(
            f"{title}: lowest change of an AUC",
            f">= {-MOST_LOST}",
            worst.figure,
            worst.interval,
            unit="share",
        ),
        Claim(f"{title}: AUCs raised, of {len(changes)}", f">= {LEAST_RAISED}", float(raised), unit="AUCs"),
        Claim(f"{title}: AUCs whose change has an interval above 0", "report", float(surely), unit="AUCs"),
    ]


def learnt(run: Path) -> list[Claim]:
    """What the transductive run did."""
    lines = read_audit(audit_path(run))
    counts = {
        "objects looked at": sum(line["event"] == "label" for line in lines),
        "pseudo-labels": sum(line["event"] == "label" and line["fate"] == "queued" for line in lines),
        "steps made": sum(line["event"] == "step" for line in lines),
        "roll-backs": sum(line["event"] == "roll-back" for line in lines),
    }
    return [Claim(f"transductive: {what}", "report", float(count), unit="") for what, count in counts.items()]


if __name__ == "__main__":
    main()
