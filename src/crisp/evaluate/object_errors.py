"""Errors of one object, one record for each protocol. Infinite (or a recall of 0) without an estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class PoseError:
    """Protocol `add-s`; infinite where there is no estimate."""

    add_s_m: float
    rotation_deg: float
    translation_m: float


@dataclass(frozen=True)
class ShapeError:
    """Protocol `chamfer-mm`; infinite where there is no estimate.

    Args:
        f_scores: at F_SCORE_M; 0 where there is no estimate.
        floor_m: what two samples of the true mesh are apart.
    """

    chamfer_m: float
    f_scores: tuple[float, ...]
    floor_m: float


@dataclass(frozen=True)
class NormalisedError:
    """Protocol `crisp-shape`: without a unit."""

    e_shape: float
    floor: float


@dataclass(frozen=True)
class L1Error:
    """Protocol `spe3r-l1`: in the units of the set's models."""

    e_shape: float
    e_pose: float
    shape_floor: float
    pose_floor: float


@dataclass(frozen=True)
class SquaredError:
    """Protocol `nocs-shape`: 1000 x two-sided squared chamfer, in squared units of the set's models."""

    chamfer: float
    floor: float


@dataclass(frozen=True)
class BopError:
    """Protocol `bop`: recalls are means over the thresholds, after matching within the frame.

    Args:
        mssd_m, mspd_px: of the object's own estimate.
    """

    vsd_recall: float
    mssd_recall: float
    mspd_recall: float
    mssd_m: float
    mspd_px: float

    @property
    def recall(self) -> float:
        """Average of the three: its mean over objects is AR."""
        return (self.vsd_recall + self.mssd_recall + self.mspd_recall) / 3


@dataclass(frozen=True, eq=False)
class Box:
    """A posed box; centre and size along the object frame's axes, metres."""

    T_camera_object: Float[np.ndarray, "4 4"]
    centre: Float[np.ndarray, " 3"]
    size: Float[np.ndarray, " 3"]


@dataclass(frozen=True, eq=False)
class BoxPair:
    """For `nocs-map` and `nocs-map-original`.

    Args:
        truth, estimate: boxes of the true and of the estimated mesh; None without an estimate.
        free: whether the object may turn about the upright axis.
        upright: that axis of the object frame, 0 to 2.
    """

    truth: Box
    estimate: Box | None
    free: bool
    upright: int
