"""Protocol `chamfer-mm`: two-sided chamfer distance and F-scores (method.md, section 9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from crisp.evaluate.cases import Case, TrueModel, sample_estimate
from crisp.evaluate.metrics.metric import MM_PER_M, Figure, ObjectMetric, Scored, mean, mean_of_finite, median
from crisp.evaluate.metrics.shape import CHAMFER_POINTS, ESTIMATE_STREAM, compare
from crisp.types import Mesh

F_SCORE_M = (0.002, 0.005)


@dataclass(frozen=True)
class ShapeError:
    """Infinite where there is no estimate.

    Args:
        f_scores: at F_SCORE_M; 0 where there is no estimate.
        floor_m: what two samples of the true mesh are apart.
    """

    chamfer_m: float
    f_scores: tuple[float, ...]
    floor_m: float


def _floor_m(truth: TrueModel) -> float:
    again = truth.sample(CHAMFER_POINTS, stream=ESTIMATE_STREAM)
    return compare(again, truth.sample(CHAMFER_POINTS)).chamfer_m


def shape_error(truth: TrueModel, mesh: Mesh | None) -> ShapeError:
    """Of one estimated shape of a known object, in the object frame; None where there is none."""
    floor_m = truth.once(_floor_m)
    if mesh is None:
        return ShapeError(np.inf, tuple(0.0 for _ in F_SCORE_M), floor_m)
    found = compare(sample_estimate(mesh, CHAMFER_POINTS), truth.sample(CHAMFER_POINTS))
    return ShapeError(found.chamfer_m, tuple(found.f_score(t) for t in F_SCORE_M), floor_m)


class Chamfer(ObjectMetric[ShapeError]):
    """Average of the two directions' mean distances between the surfaces, in the object frame."""

    settings: ClassVar[dict[str, Any]] = {
        "points": CHAMFER_POINTS,
        "f_score_m": list(F_SCORE_M),
        "directions": "average of means",
    }

    def error(self, case: Case) -> ShapeError:
        return shape_error(case.truth, case.mesh)

    def figures(self, scored: Scored[ShapeError]) -> Iterator[Figure]:
        chamfer_mm = MM_PER_M * scored.column("chamfer_m")
        yield scored.figure("chamfer median mm", chamfer_mm, median)
        yield Figure("chamfer mean of estimated mm", mean_of_finite(chamfer_mm))
        yield Figure("sampling floor mm", MM_PER_M * mean(scored.column("floor_m")))
        for k, threshold_m in enumerate(F_SCORE_M):
            f_scores = np.array([error.f_scores[k] for error in scored.errors])
            yield scored.figure(f"F-score {MM_PER_M * threshold_m:g} mm", f_scores, mean)

    def columns(self, error: ShapeError) -> dict[str, float]:
        f_scores = {f"f_score_{k}": value for k, value in enumerate(error.f_scores)}
        return {"chamfer_m": error.chamfer_m, "sampling_floor_m": error.floor_m} | f_scores
