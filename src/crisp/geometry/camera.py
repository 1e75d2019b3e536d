"""Pinhole camera and what a depth map is.

OpenCV axes (x right, y down, z forward), pixel centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crisp.errors import InputError

MAX_DEPTH_M = 50.0
MIN_MEDIAN_DEPTH_M = 0.05


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of a rectified pinhole camera.

    Args:
        K: (3, 3) intrinsics in pixels.
        width: image width in pixels.
        height: image height in pixels.

    Raises:
        InputError: K is singular or not upper triangular, or belongs to an image of another size.
    """

    K: Float[np.ndarray, "3 3"]
    width: int
    height: int

    def __post_init__(self) -> None:
        K = np.asarray(self.K, dtype=np.float64)
        object.__setattr__(self, "K", K)
        if K.shape != (3, 3) or not np.isfinite(K).all():
            raise InputError(f"K must be a 3x3 matrix of finite numbers, got shape {K.shape}.")
        if K[0, 0] <= 0 or K[1, 1] <= 0 or not np.allclose(K[2], [0, 0, 1]) or abs(np.linalg.det(K)) < 1e-9:
            raise InputError(
                "K is singular or not of the form [[fx, s, cx], [0, fy, cy], [0, 0, 1]] "
                f"with positive focal lengths: {K.tolist()}."
            )
        if self.width <= 0 or self.height <= 0:
            raise InputError(f"the image size must be positive, got {self.width}x{self.height}.")
        cx, cy = K[0, 2], K[1, 2]
        if not (0.1 * self.width < cx < 0.9 * self.width and 0.1 * self.height < cy < 0.9 * self.height):
            raise InputError(
                f"K's principal point ({cx:.1f}, {cy:.1f}) is not near the middle of the "
                f"{self.width}x{self.height} image: K seems to belong to another image size."
            )

    def rays(self) -> Float[np.ndarray, "h w 3"]:
        """Direction of each pixel's ray with z = 1 (so a point is depth times ray)."""
        u, v = np.meshgrid(np.arange(self.width), np.arange(self.height))
        pixels = np.stack([u, v, np.ones_like(u)], axis=-1).astype(np.float64)
        return pixels @ np.linalg.inv(self.K).T

    def backproject(self, depth_m: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
        """Points in the camera frame, metres; where depth is 0 (no measurement) the point is the origin."""
        return (self.rays() * depth_m[..., None]).astype(np.float32)

    def project(self, points_camera: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        """Pixel coordinates (u, v) of points in front of the camera."""
        homogeneous = np.asarray(points_camera, dtype=np.float64) @ self.K.T
        return homogeneous[..., :2] / homogeneous[..., 2:]


def check_depth(depth_m: np.ndarray) -> None:
    """Refuse what cannot be a depth map in metres, 0 where nothing was measured.

    Raises:
        InputError: other numbers than floating point, values that are not finite or are negative, no
            measurement at all, or a median that tells of another unit.
    """
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
