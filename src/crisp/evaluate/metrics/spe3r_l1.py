"""Protocol `spe3r-l1`: chamfer distances in the L1 norm, as SPE3R's table has them (method.md, section 9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from crisp.evaluate.cases import Case, TrueModel, sample_estimate
from crisp.evaluate.metrics.metric import Figure, ObjectMetric, Scored, mean, mean_of_finite, median
from crisp.evaluate.metrics.shape import (
    ESTIMATE_POINTS,
    ESTIMATE_STREAM,
    TRUTH_POINTS,
    SurfaceSample,
    chamfer_l1,
)


@dataclass(frozen=True)
class L1Error:
    """In the units of the set's models; infinite where there is no estimate.

    Args:
        e_shape: of the shapes, in the object frame.
        e_pose: of the true model in the two poses, in the camera's frame.
        shape_floor, pose_floor: what two samples of the true mesh are apart.
    """

    e_shape: float
    e_pose: float
    shape_floor: float
    pose_floor: float


def _again(truth: TrueModel) -> SurfaceSample:
    """The true surface, sampled as an estimate's is."""
    return truth.sample(ESTIMATE_POINTS, stream=ESTIMATE_STREAM)


def _shape_floor(truth: TrueModel) -> float:
    return chamfer_l1(_again(truth), truth.sample(TRUTH_POINTS)) / truth.unit_m


class Spe3rL1(ObjectMetric[L1Error]):
    """Sum of the two directions' mean L1 distances."""

    settings: ClassVar[dict[str, Any]] = {
        "estimate_points": ESTIMATE_POINTS,
        "truth_points": TRUTH_POINTS,
        "directions": "sum of means",
        "norm": 1,
    }

    def error(self, case: Case) -> L1Error:
        truth, T_true = case.truth, case.instance.T_camera_object
        surface, again, unit_m = truth.sample(TRUTH_POINTS), _again(truth), truth.unit_m
        placed = _moved(surface, T_true)  # the floor depends on the pose, as the L1 norm does on the axes
        e_shape = np.inf
        if case.mesh is not None:
            e_shape = chamfer_l1(sample_estimate(case.mesh, ESTIMATE_POINTS), surface) / unit_m
        return L1Error(
            e_shape=e_shape,
            e_pose=np.inf if case.T is None else chamfer_l1(_moved(again, case.T), placed) / unit_m,
            shape_floor=truth.once(_shape_floor),
            pose_floor=chamfer_l1(_moved(again, T_true), placed) / unit_m,
        )

    def figures(self, scored: Scored[L1Error]) -> Iterator[Figure]:
        for part in ("shape", "pose"):
            name, values = f"e_{part} L1", scored.column(f"e_{part}")
            yield scored.figure(f"{name} mean", values, mean)
            yield scored.figure(f"{name} median", values, median)
            yield Figure(f"{name} mean of estimated", mean_of_finite(values))
            yield Figure(f"{name} floor", mean(scored.column(f"{part}_floor")))

    def columns(self, error: L1Error) -> dict[str, float]:
        return {f"l1_{key}": value for key, value in asdict(error).items()}


def _moved(sample: SurfaceSample, T: Float[np.ndarray, "4 4"]) -> SurfaceSample:
    return SurfaceSample(sample.points @ T[:3, :3].T + T[:3, 3])
