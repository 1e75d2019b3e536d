"""Common part of tables 10, 13 and 14: one set of network predictions, scored with several correctors."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from crisp.evaluate.metrics.statistics import auc, bootstrap_interval
from crisp.model import Model, load_model
from crisp.output.sink import described
from crisp.refine.corrector import Corrector
from experiments.support.errors import EVERY, MESHING, POINTS, Error, errors_of, fall, mean_finite
from experiments.support.evidence import RESULTS, Claim, write_evidence
from experiments.support.rendered_sets import MIN_VISIBLE, held_out_set

LOOKS = ("clean", "hard")
FLIPPED_DEG = 90.0
Goals = Mapping[tuple[str, str, str], str]
"""The goal for the reduction of a mean error, by look, corrector and "pose" or "shape"."""


def options_of(description: str | None) -> argparse.Namespace:
    """The command line that the three tables share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="three scenes a look, one picture each")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--work", type=Path, default=Path(".cache/held_out"), help="renders")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def summary(look: str, name: str, errors: Sequence[Error]) -> list[Claim]:
    """The figures of one corrector on one set, with 95 % intervals over frames."""
    frames = np.array([e.frame_id for e in errors])

    def claim(what: str, values: np.ndarray, statistic: Callable[[np.ndarray], float], unit: str) -> Claim:
        interval = bootstrap_interval(values, statistic, clusters=frames)
        return Claim(f"{look}, {name}: {what}", "report", statistic(values), interval, unit=unit)

    add_s_m = np.array([e.add_s_m for e in errors])
    pose, shape = np.array([e.pose for e in errors]), np.array([e.shape for e in errors])
    rotation = np.array([e.rotation_deg for e in errors])
    plain = np.array([not e.symmetric for e in errors])
    claims = [
        claim(f"ADD-S AUC at {cm} cm", add_s_m, lambda e, cm=cm: auc(e, cm / 100), model="share")
        for cm in (1, 2, 3)
    ]
    for what, values in (("e_pose", pose), ("e_shape", shape)):
        claims.append(claim(f"mean {what}", values, mean_finite, model="diameters"))
        claims.append(claim(f"median {what}", values, lambda v: float(np.median(v)), model="diameters"))
    claims.append(claim("median ADD-S", 1000 * add_s_m, lambda v: float(np.median(v)), model="mm"))
    flipped = (rotation > FLIPPED_DEG)[plain].astype(float)
    share = float(flipped.mean())
    interval = bootstrap_interval(flipped, lambda v: float(v.mean()), clusters=frames[plain])
    title = f"{look}, {name}: turned by more than {FLIPPED_DEG:.0f} degrees, objects without symmetry"
    return [*claims, Claim(title, "report", share, interval, unit="share")]


def run_table(
    name: str,
    description: str | None,
    ways: Mapping[str, Corrector | None],
    goals: Goals,
    *,
    every: int = EVERY,
) -> None:
    """Measure every corrector on both looks, against the first one, and write the evidence file `name`."""
    options = options_of(description)
    start = time.perf_counter()
    model = load_model(options.weights)
    claims: list[Claim] = []
    first, *others = ways
    for look in LOOKS:
        dataset = held_out_set(look, options.work, quick=options.quick, workers=options.workers)
        errors = errors_of(model, dataset, ways, every=every)
        for other in others:
            for what in ("pose", "shape"):
                goal = goals.get((look, other, what), "report")
                title = f"{look}, {other} against {first}"
                claims.append(fall(title, what, errors[first], errors[other], goal=goal))
        for way in ways:
            claims += summary(look, way, errors[way])
    settings = settings_of(model, options) | {
        "every": every,
        "ways": {k: described(v) for k, v in ways.items()},
    }
    seconds = time.perf_counter() - start
    write_evidence(
        f"paper.{name}", claims, settings=settings, seconds=seconds, folder=RESULTS, quick=options.quick
    )


def settings_of(model: Model, options: argparse.Namespace) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "sets": "held_out's, other seeds than training",
        "min_visible": MIN_VISIBLE,
        "masks": "ground truth",
        "points": POINTS,
        "correction_points": model.settings.correction_points,
        "mesh_resolution": MESHING.resolution,
        "weights": options.weights,
        "model_sha256": model.sha256,
    }
