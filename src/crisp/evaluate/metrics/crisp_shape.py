"""Protocol `crisp-shape`: the paper's e_shape, blind to size (method.md, section 9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from crisp.evaluate.cases import Case, TrueModel, sample_estimate
from crisp.evaluate.metrics.metric import Figure, ObjectMetric, Scored, mean, mean_of_finite, median
from crisp.evaluate.metrics.shape import ESTIMATE_STREAM, normalised_error
from crisp.evaluate.metrics.statistics import auc

CRISP_SHAPE_POINTS = 5000
"""A side."""
E_SHAPE_AUC = (0.03, 0.05, 0.10)


@dataclass(frozen=True)
class NormalisedError:
    """Without a unit.

    Args:
        e_shape: infinite where there is no estimate.
        floor: what two samples of the true mesh are apart.
    """

    e_shape: float
    floor: float


def _floor(truth: TrueModel) -> float:
    again = truth.sample(CRISP_SHAPE_POINTS, stream=ESTIMATE_STREAM)
    return normalised_error(again, truth.sample(CRISP_SHAPE_POINTS))


class CrispShape(ObjectMetric[NormalisedError]):
    """Distance from the true surface to the estimated one, each divided by its own diameter."""

    settings: ClassVar[dict[str, Any]] = {
        "points": CRISP_SHAPE_POINTS,
        "auc": list(E_SHAPE_AUC),
        "direction": "truth to estimate, mean, each divided by its diameter",
    }

    def error(self, case: Case) -> NormalisedError:
        floor = case.truth.once(_floor)
        if case.mesh is None:
            return NormalisedError(np.inf, floor)
        ours = sample_estimate(case.mesh, CRISP_SHAPE_POINTS)
        return NormalisedError(normalised_error(ours, case.truth.sample(CRISP_SHAPE_POINTS)), floor)

    def figures(self, scored: Scored[NormalisedError]) -> Iterator[Figure]:
        e_shape, floors = scored.column("e_shape"), scored.column("floor")
        for bound in E_SHAPE_AUC:
            yield scored.figure(f"e_shape AUC {bound:.2f}", e_shape, partial(auc, threshold=bound))
            yield Figure(f"e_shape AUC {bound:.2f} floor", auc(floors, bound))
        yield scored.figure("e_shape mean", e_shape, mean)
        yield scored.figure("e_shape median", e_shape, median)
        yield Figure("e_shape mean of estimated", mean_of_finite(e_shape))
        yield Figure("e_shape floor", mean(floors))

    def columns(self, error: NormalisedError) -> dict[str, float]:
        return {"e_shape": error.e_shape, "e_shape_floor": error.floor}
