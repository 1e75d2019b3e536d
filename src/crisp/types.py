"""The records that flow from a frame to a result. Frozen, shaped, and validated at birth.

Lengths are metres, images are RGB, masks are boolean, transforms are 4x4 and named by their frames
(`T_camera_object` takes object points to the camera).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from crisp.errors import InputError, Status
from crisp.geometry.camera import Camera

MAX_DEPTH_M = 50.0
MIN_MEDIAN_DEPTH_M = 0.05


@dataclass(frozen=True, eq=False)
class Frame:
    """One RGB-D frame of a calibrated camera.

    Args:
        rgb: (H, W, 3) uint8, red first.
        depth_m: (H, W) float32, metres along the optical axis, registered to the colour image; 0 = no value.
        camera: intrinsics for this image size.
        frame_id: the name under which results are written, such as "000001/000003".

    Raises:
        InputError: sizes or types that do not fit together, depth that is not finite, is zero everywhere,
            or cannot be metres.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    depth_m: Float[np.ndarray, "h w"]
    camera: Camera
    frame_id: str = "000000/000000"

    def __post_init__(self) -> None:
        size = (self.camera.height, self.camera.width)
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 3 or self.rgb.shape[2] != 3:
            raise InputError(
                f"the colour image must be (H, W, 3) uint8, got {self.rgb.shape} {self.rgb.dtype}."
            )
        for name, shape in (("colour image", self.rgb.shape[:2]), ("depth map", self.depth_m.shape)):
            if shape != size:
                raise InputError(
                    f"the {name} is {_wh(shape)} but the camera is for {_wh(size)}: "
                    "all three must have one size."
                )
        _check_depth(self.depth_m)
        object.__setattr__(self, "depth_m", np.ascontiguousarray(self.depth_m, dtype=np.float32))

    @classmethod
    def from_files(
        cls, rgb: str | Path, depth: str | Path, camera: str | Path, *, frame_id: str | None = None
    ) -> Frame:
        """Read a colour image, a 16-bit depth image and a camera file.

        Args:
            rgb: PNG or JPEG; grey images and an alpha channel are accepted.
            depth: 16-bit PNG or TIFF; raw value x depth_scale = millimetres.
            camera: JSON with `cam_K` (9 numbers, row-major) and `depth_scale`, as in BOP.
        """
        from crisp.frame_files import read_frame

        return read_frame(rgb=Path(rgb), depth=Path(depth), camera=Path(camera), frame_id=frame_id)


def _wh(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _check_depth(depth_m: np.ndarray) -> None:
    if not np.issubdtype(depth_m.dtype, np.floating):
        raise InputError(f"depth must be floating point metres, got {depth_m.dtype}.")
    if not np.isfinite(depth_m).all():
        raise InputError("depth holds NaN or infinity: write 0 where there is no measurement.")
    valid = depth_m[depth_m > 0]
    if (depth_m < 0).any():
        raise InputError("depth holds negative values: it must be metres along the optical axis.")
    if valid.size == 0:
        raise InputError("depth is zero everywhere: the depth image holds no measurement.")
    median = float(np.median(valid))
    if median > MAX_DEPTH_M:
        raise InputError(
            f"the median depth is {median:.0f} m: this looks like millimetres read as metres; "
            "check depth_scale (raw value x depth_scale = millimetres)."
        )
    if median < MIN_MEDIAN_DEPTH_M:
        raise InputError(
            f"the median depth is {1000 * median:.2f} mm: this looks like a wrong depth_scale "
            "(raw value x depth_scale = millimetres)."
        )


@dataclass(frozen=True, eq=False)
class Detection:
    """Where one object is in the image: its visible pixels.

    Args:
        mask: (H, W) bool.
        object_id: the id in the data set where it is known (scoring only; the estimator never reads it).
        score: the detector's confidence.
    """

    mask: Bool[np.ndarray, "h w"]
    object_id: int | None = None
    score: float = 1.0


@dataclass(frozen=True, eq=False)
class Crop:
    """What the network sees of one object, and the measured points behind it.

    Args:
        image: (3, S, S) float32, normalised with ImageNet's mean and deviation.
        points_camera: (G, G, 3) float32 metres, sampled with nearest neighbour on the PNC grid.
        valid: (G, G) bool: on the mask and measured.
        box_px: left, top, right, bottom of the tight box (right and bottom exclusive).
    """

    image: Float[Tensor, "3 s s"]
    points_camera: Float[Tensor, "g g 3"]
    valid: Bool[Tensor, "g g"]
    box_px: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of a batch of crops.

    Args:
        pnc: (B, G, G, 3) float32 metres in each object's frame.
        shape_code: (B, C) float32.
    """

    pnc: Float[Tensor, "b g g 3"]
    shape_code: Float[Tensor, "b c"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """Pose and shape of one object.

    Args:
        T_camera_object: (4, 4) float64.
        shape_code: (C,) float32.
        inlier_share: share of points that agree with the pose within the registration's threshold.
    """

    T_camera_object: Float[Tensor, "4 4"]
    shape_code: Float[Tensor, " c"]
    inlier_share: float

    def __post_init__(self) -> None:
        T = self.T_camera_object
        R = T[:3, :3]
        if not torch.isfinite(T).all() or not torch.allclose(R @ R.T, torch.eye(3, dtype=T.dtype), atol=1e-4):
            raise ValueError("T_camera_object is not a rigid transform")
        if torch.linalg.det(R) < 0:
            raise ValueError("T_camera_object is a reflection")


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh in the object frame, metres."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]


@dataclass(frozen=True, eq=False)
class Result:
    """What `estimate` returns for one mask: always one per mask, in order.

    `status` is "ok" or names what was missing; `message` says it as a sentence. The other fields are None
    where the status means that they could not be had.
    """

    status: Status
    message: str = ""
    label: str | None = None
    T_camera_object: Float[np.ndarray, "4 4"] | None = None
    shape_code: Float[np.ndarray, " c"] | None = None
    mesh: Mesh | None = None
    diameter_m: float | None = None
    inlier_share: float | None = None
    box_px: tuple[int, int, int, int] | None = None
    pnc: Float[np.ndarray, "g g 3"] | None = None
    valid: Bool[np.ndarray, "g g"] | None = None
    timing_ms: dict[str, float] = field(default_factory=dict)
