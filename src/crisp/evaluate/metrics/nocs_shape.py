"""Protocol `nocs-shape`: squared chamfer distance, as NOCS' table has it (method.md, section 9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from crisp.evaluate.cases import Case, TrueModel, sample_estimate
from crisp.evaluate.metrics.metric import Figure, ObjectMetric, Scored, mean, mean_of_finite
from crisp.evaluate.metrics.shape import ESTIMATE_POINTS, ESTIMATE_STREAM, TRUTH_POINTS, chamfer_squared

FACTOR = 1000.0


@dataclass(frozen=True)
class SquaredError:
    """FACTOR x two-sided squared chamfer, in squared units of the set's models.

    Args:
        chamfer: infinite where there is no estimate.
        floor: what two samples of the true mesh are apart.
    """

    chamfer: float
    floor: float


def _floor(truth: TrueModel) -> float:
    again = truth.sample(ESTIMATE_POINTS, stream=ESTIMATE_STREAM)
    return _in_units(chamfer_squared(again, truth.sample(TRUTH_POINTS)), truth)


def _in_units(squared_m2: float, truth: TrueModel) -> float:
    return FACTOR * squared_m2 / truth.unit_m**2


class NocsShape(ObjectMetric[SquaredError]):
    """Sum of the two directions' mean squared distances, in the object frame."""

    settings: ClassVar[dict[str, Any]] = {
        "estimate_points": ESTIMATE_POINTS,
        "truth_points": TRUTH_POINTS,
        "directions": "sum of means",
        "distance": "squared",
        "factor": 1000,
    }

    def error(self, case: Case) -> SquaredError:
        truth = case.truth
        floor = truth.once(_floor)
        if case.mesh is None:
            return SquaredError(np.inf, floor)
        found = chamfer_squared(sample_estimate(case.mesh, ESTIMATE_POINTS), truth.sample(TRUTH_POINTS))
        return SquaredError(_in_units(found, truth), floor)

    def figures(self, scored: Scored[SquaredError]) -> Iterator[Figure]:
        chamfer = scored.column("chamfer")
        yield scored.figure("NOCS shape mean", chamfer, mean)
        yield Figure("NOCS shape mean over categories", _over_categories(scored))
        yield Figure("NOCS shape mean of estimated", mean_of_finite(chamfer))
        yield Figure("NOCS shape floor", mean(scored.column("floor")))

    def columns(self, error: SquaredError) -> dict[str, float]:
        return {f"nocs_{key}": value for key, value in asdict(error).items()}


def _over_categories(scored: Scored[SquaredError]) -> float:
    """The average that is printed beside the categories: each counts once, however many objects it has."""
    kinds = np.array([row.kind for row in scored.objects])
    return mean([mean(scored.column("chamfer")[kinds == kind]) for kind in sorted(set(kinds))])
