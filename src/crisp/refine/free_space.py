"""Whether predicted surface stands where the depth map looked through (method, section 6).

A shape can fit all visible points and still be wrong: too large where another object hides it, or with a
part in empty air. The camera saw through that air: a surface there, closer than what was measured along the
same ray, would have been measured instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from crisp.errors import InputError
from crisp.geometry import pose
from crisp.geometry.camera import Camera
from crisp.shape.coarse import SurfacePoints


@dataclass(frozen=True)
class FreeSpaceConfig:
    """When a surface point contradicts the depth map.

    Args:
        tolerance_m, tolerance_share: how far before the measured depth it must stand: metres plus a share of
            the range, for a sensor's noise grows with it.
        margin_px: all measurements within so many pixels must look past it; edges are not sharper than that.
    """

    tolerance_m: float = 0.005
    tolerance_share: float = 0.005
    margin_px: int = 2

    def __post_init__(self) -> None:
        if self.tolerance_m < 0 or self.tolerance_share < 0 or self.margin_px < 0:
            raise InputError("the tolerances and the margin of the free-space check must not be negative.")


@dataclass(frozen=True, eq=False)
class DepthMap:
    """A frame's depth with its camera.

    Args:
        depth_m: (H, W) metres along the optical axis, 0 = nothing measured.
    """

    depth_m: Float[Tensor, "h w"]
    camera: Camera


@dataclass(frozen=True, eq=False)
class FreeSpace:
    """What the depth map says of each predicted surface.

    Args:
        share: (B,) of the points that could be checked, those before what was measured; NaN without any.
        checked: (B,) points that face the camera, in the image, with a measurement that does not hide them.
    """

    share: Float[Tensor, " b"]
    checked: Int[Tensor, " b"]


def free_space(
    surface: SurfacePoints,
    T_camera_object: Float[Tensor, "b 4 4"],
    depth: DepthMap,
    *,
    config: FreeSpaceConfig | None = None,
) -> FreeSpace:
    """Count surface that the camera should have seen and did not.

    No evidence, neither for nor against, comes from points that face away, lie behind what was measured, or
    project outside the image or to pixels without a measurement.

    Args:
        surface: of B shapes, metres, object frame.
        depth: of the frame that they are in, on whatever device.
    """
    config = config or FreeSpaceConfig()
    points = pose.apply(T_camera_object, surface.points_object.to(T_camera_object))
    normals = surface.normal.to(T_camera_object) @ T_camera_object[:, :3, :3].mT
    z = points[..., 2]
    facing = surface.valid & (z > 0) & ((normals * points).sum(-1) < 0)
    depth_m = depth.depth_m.to(z.device)
    here = _sample(depth_m, points, depth.camera).to(z)
    nearest = _sample(_nearest_around(depth_m, config.margin_px), points, depth.camera).to(z)
    tolerance = config.tolerance_m + config.tolerance_share * z
    checked = facing & (here > 0) & (z < here + tolerance)
    before = checked & (z < nearest - tolerance)
    count = checked.sum(-1)
    share = torch.where(count > 0, before.sum(-1) / count.clamp(min=1), torch.nan)
    return FreeSpace(share, count)


def _sample(
    depth_m: Float[Tensor, "h w"], points_camera: Float[Tensor, "b m 3"], camera: Camera
) -> Float[Tensor, "b m"]:
    """Depth at each point's pixel (nearest); 0 outside the image and behind the camera."""
    z = points_camera[..., 2:]
    K = torch.from_numpy(camera.K).to(points_camera)
    pixels = (points_camera / torch.where(z > 0, z, 1.0)) @ K.T
    limits = torch.tensor([camera.width, camera.height], device=pixels.device)
    u_v = pixels[..., :2].clamp(-1, float(limits.max())).round().long()
    inside = ((u_v >= 0) & (u_v < limits)).all(-1) & (z[..., 0] > 0)
    u, v = torch.where(inside[..., None], u_v, 0).unbind(-1)
    return torch.where(inside, depth_m[v, u], 0.0)


def _nearest_around(depth_m: Float[Tensor, "h w"], margin_px: int) -> Float[Tensor, "h w"]:
    """Smallest measured depth within a square around each pixel; infinite where nothing is measured."""
    far = torch.where(depth_m > 0, -depth_m, -torch.inf)
    return -F.max_pool2d(far[None], 2 * margin_px + 1, stride=1, padding=margin_px)[0]
