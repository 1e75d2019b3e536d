"""Tab. 11 and Fig. 14: under self-training, sizes of unit-box coordinates drift; those of PNC cannot.

There are two arms: PNC (the bundled model), and the same model with its heads retrained on coordinates in
unit boxes, with the same recipe and frames, and with the scale of (24) in registration and corrector.
Everything else is the same in both: descent on Z by Adam, one-hot shapes, the certificate (12) alone, the
same `hard` frames and learning rates, and no guard, which would stop the drift.

    python -m experiments.paper.table11 --train-on BOP_DIR [--quick]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from crisp.adapt.adapter import Adapter
from crisp.adapt.recipe import AdaptRecipe, GuardConfig, load_adapt_recipe
from crisp.data.bop.reader import BopDataset
from crisp.evaluate.metrics.pose import add_s
from crisp.evaluate.metrics.shape import sample_surface
from crisp.evaluate.metrics.statistics import auc, bootstrap_interval
from crisp.model import Model, load_model
from crisp.objects import Objects
from crisp.progress import track
from crisp.stages import predict
from crisp.types import Detection
from experiments.paper.sized_stages import EPS_M, ITERATIONS, POINTS, QUANTILE, RATE, ROUNDS, SizedStages
from experiments.paper.unit_box import SizedShapes, box_diagonal_m, unit_box_store
from experiments.support.evidence import RESULTS, Claim, write_evidence
from experiments.support.heads import train_new_heads
from experiments.support.rendered_sets import (
    ADAPT_SCENES,
    ADAPT_SEED,
    ADAPT_VIEWS,
    MIN_VISIBLE,
    adaptation_set,
    hard_set,
    parser_of,
)

PNC, UNIT_BOX = "PNC", "unit box"
NETWORK, CORRECTED = "network alone", "with corrector"
ADD_S_CM = (1, 2, 3)
EVERY = 3  # of the pictures of the held-out set
SAMPLES = 2500


@dataclass(frozen=True)
class Scored:
    """A held-out object: ADD-S in metres without and with the corrector; the size of its Z, 1 is right."""

    frame_id: str
    network: float
    corrected: float
    size: float


@dataclass(frozen=True)
class Course:
    """Predicted sizes over a stream.

    Args:
        steps: number of steps before each frame.
        size: the mean over the frame's objects of s, in units of the mean size.
        certified: share of the frame's objects.
    """

    steps: tuple[int, ...]
    size: tuple[float, ...]
    certified: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Arm:
    """A model whose coordinates are metric, or in unit boxes."""

    model: Model
    shapes: SizedShapes

    @classmethod
    def of(cls, model: Model, dataset: BopDataset, *, scaled: bool) -> Arm:
        library = model.info.library
        diagonals = [box_diagonal_m(dataset.object(i).mesh.vertices) for i in library.object_ids]
        sizes = torch.tensor(diagonals, dtype=torch.float32)
        return cls(model, SizedShapes.of(model.network.decoder, library.codes, sizes, scaled=scaled))

    def true_ratio(self, object_id: int) -> float:
        """r of a known object: 1 for PNC."""
        return float(self.shapes.codes[self.model.info.library.object_ids.index(object_id), -1])


def main() -> None:
    options = options_of()
    start = time.perf_counter()
    target, held_out = adaptation_set(options), hard_set(options)
    source = load_model(options.weights)
    models = {PNC: source, UNIT_BOX: load_model(unit_box_model(source, target, options))}
    scored: dict[tuple[str, str], list[Scored]] = {}
    courses: dict[str, Course] = {}
    for name, model in models.items():
        before = Arm.of(model, held_out, scaled=name == UNIT_BOX)
        after, courses[name] = adapted(before, target, options)
        for when, arm in (("before", before), ("after", after)):
            scored[name, when] = scores(arm, held_out, every=3 if options.quick else EVERY)
    claims = claims_of(scored)
    write_evidence(
        "paper.table11",
        claims,
        settings=settings_of(options, source) | {"courses": {k: asdict(v) for k, v in courses.items()}},
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )
    if not options.quick:
        draw(courses, RESULTS / "figure14.png")


def options_of() -> argparse.Namespace:
    parser = parser_of(__doc__, quick="three frames of three objects, two steps")
    parser.add_argument("--train-on", type=Path, help="the bundled model's training set (docs/training.md)")
    parser.add_argument("--train-cache", type=Path, default=Path(".cache/table11/cache"), help="its features")
    parser.add_argument("--frames", type=int, default=100, help="of the 300, to adapt to")
    parser.add_argument("--out", type=Path, default=Path(".cache/table11"), help="runs")
    options = parser.parse_args()
    if not options.quick and options.train_on is None:
        parser.error("--train-on: the unit-box head needs the frames that the bundled model was trained on.")
    return options


def unit_box_model(source: Model, target: BopDataset, options: argparse.Namespace) -> Path:
    """The bundled model's recipe again, with other targets; a quick form takes two steps on the stream."""
    quick = options.quick
    root, split = (target.root, target.split) if quick else (options.train_on, "train")
    return train_new_heads(
        source,
        (root, split),
        out=options.out / ("unit_box_quick" if quick else "unit_box"),
        cache=options.train_cache,
        steps=2 if quick else None,
        store=unit_box_store,
    )


def recipe() -> AdaptRecipe:
    """Our learning rates, and a guard that never checks."""
    guard = GuardConfig(every=2, objects=1, least=1, check_every=10**9)
    return replace(load_adapt_recipe("default"), guard=guard)


def adapted(arm: Arm, target: BopDataset, options: argparse.Namespace) -> tuple[Arm, Course]:
    """The arm after the stream."""
    parts = SizedStages(arm.model, arm.shapes)  # what predicts is the adapter's own network
    adapter = Adapter(arm.model, recipe(), stages=lambda _: parts.stages(), target=parts.target)
    steps, size, certified = [], [], []
    order = np.random.default_rng(0).permutation(len(target.keys))[: options.frames]
    for index in track(order.tolist(), "adapting", total=len(order)):
        key = target.keys[index]
        seen = adapter.look(target.load_frame(key), target.given_masks(key))
        alive = [item for item in seen if item.found.estimate is not None]
        if alive:
            steps.append(adapter.progress.steps)
            size.append(float(np.mean([parts.start_scale(item.found.slot) for item in alive])))
            certified.append(float(np.mean([item.found.certified for item in alive])))
    return replace(arm, model=adapter.model), Course(tuple(steps), tuple(size), tuple(certified))


def scores(arm: Arm, dataset: BopDataset, *, every: int) -> list[Scored]:
    """Every labelled object that is visible enough."""
    found: list[Scored] = []
    keys = dataset.keys[::every]
    points: dict[int, np.ndarray] = {}
    for key in track(keys, dataset.split, total=len(keys)):
        frame = dataset.load_frame(key)
        labels = [item for item in dataset.instances(key) if item.visib_fract >= MIN_VISIBLE]
        detections = [Detection(dataset.mask(key, item.index)) for item in labels]
        parts = SizedStages(arm.model, arm.shapes)
        cropped = predict(parts.stages().cut(Objects.of(frame, detections)), arm.model.network)
        starts = parts.register(cropped)
        ends = parts.correct(starts)
        sizes = parts.with_scale(cropped)[1]
        for slot, label in enumerate(labels):
            if label.object_id not in points:
                mesh = dataset.object(label.object_id).mesh
                points[label.object_id] = sample_surface(mesh, SAMPLES, seed=0)
            errors = [
                add_s(points[label.object_id], estimate.T_camera_object.numpy(), label.T_camera_object)
                for objects in (starts, ends)
                if (estimate := objects.all[slot].estimate) is not None
            ]
            network, corrected = errors or [np.inf, np.inf]
            size = sizes.get(slot, np.nan) * arm.true_ratio(label.object_id)
            found.append(Scored(key.frame_id, float(network), float(corrected), float(size)))
    return found


def claims_of(scored: Mapping[tuple[str, str], Sequence[Scored]]) -> list[Claim]:
    """The two goals, then every figure."""

    def values(arm: str, when: str, field: str) -> np.ndarray:
        return np.array([getattr(item, field) for item in scored[arm, when]])

    before, after = (np.nanmedian(values(UNIT_BOX, when, "size")) for when in ("before", "after"))
    ratio = auc(values(UNIT_BOX, "after", "corrected"), 0.02) / auc(values(PNC, "after", "corrected"), 0.02)
    claims = [
        Claim("unit box: the predicted size falls by", ">= 0.30", float(1 - after / before), unit="share"),
        Claim(
            "after self-training, with corrector: ADD-S AUC at 2 cm, unit box over PNC",
            "<= 0.25",
            float(ratio),
            unit="share",
        ),
    ]
    for (arm, when), rows in scored.items():
        frames = np.array([item.frame_id for item in rows])
        for way, field in ((NETWORK, "network"), (CORRECTED, "corrected")):
            for cm in ADD_S_CM:

                def statistic(e: np.ndarray, cm: int = cm) -> float:
                    return auc(e, cm / 100)

                errors = values(arm, when, field)
                interval = bootstrap_interval(errors, statistic, clusters=frames)
                title = f"{arm}, {when}, {way}: ADD-S AUC at {cm} cm"
                claims.append(Claim(title, "report", statistic(errors), interval, unit="share"))
        size = float(np.nanmedian(values(arm, when, "size")))
        claims.append(
            Claim(f"{arm}, {when}: median size of what the network says, 1 is right", "report", size)
        )
    return claims


def settings_of(options: argparse.Namespace, source: Model) -> dict[str, Any]:
    return {
        "stream": {"look": "hard", "scenes": ADAPT_SCENES, "views": ADAPT_VIEWS, "seed": ADAPT_SEED},
        "frames": options.frames,
        "tested_on": "held_out's hard set, every third picture",
        "min_visible": MIN_VISIBLE,
        "recipe": json.loads(json.dumps(asdict(recipe()))),
        "descent": {"iterations": ITERATIONS, "rounds": ROUNDS, "rate": RATE, "points": POINTS},
        "certificate": {"eps_m": EPS_M, "quantile": QUANTILE},
        "masks": "ground truth",
        "weights": options.weights,
        "model_sha256": source.sha256,
    }


def draw(courses: Mapping[str, Course], path: Path) -> None:
    """The scale s over the steps (Fig. 14), a running mean over frames, against that of the first frames."""
    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axes = figure.subplots()
    window = 15
    for name, course in courses.items():
        smooth = np.convolve(course.size, np.ones(window) / window, mode="valid")
        label = name if name == UNIT_BOX else f"{name}: has no scale"
        axes.plot(course.steps[window - 1 :], smooth / smooth[0], label=label)
    axes.set(xlabel="steps of self-training", ylabel="predicted size, against the start")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
