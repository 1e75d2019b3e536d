"""Whether predicted surface stands where the depth map looked through or beside the mask (method, section 6).

A shape can fit all visible points and still be wrong: too large where another object hides it, or with a
part in empty air. The camera saw through that air: a surface there, closer than what was measured along the
same ray, would have been measured instead. And what it should have seen of an object lies in its mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from crisp.errors import InputError
from crisp.geometry import pose
from crisp.geometry.camera import Camera
from crisp.shape.surface import SurfacePoints


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
class SceneEvidence:
    """What a frame tells of its objects beside their own points.

    Args:
        depth: of the whole frame.
        masks: (B, H, W) each object's visible pixels.
        surfaces: points on the K known shapes; None where they have not been sampled.
    """

    depth: DepthMap
    masks: Bool[Tensor, "b h w"]
    surfaces: SurfacePoints | None = None

    def take(self, index: Tensor) -> SceneEvidence:
        """For the objects at `index`."""
        return replace(self, masks=self.masks[index.to(self.masks.device)])


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
    seen = _projected(surface, T_camera_object, depth, config=config)
    nearest = _nearest_around(depth.depth_m.to(seen.z.device), config.margin_px)
    before = seen.checked & (seen.z < _at(nearest, seen.pixels).to(seen.z) - seen.tolerance)
    return FreeSpace(_share(before, seen.checked), seen.checked.sum(-1))


def outside_mask(
    surface: SurfacePoints,
    T_camera_object: Float[Tensor, "b 4 4"],
    depth: DepthMap,
    *,
    inside: Bool[Tensor, "m h w"],
    of: Int[Tensor, " b"],
    config: FreeSpaceConfig | None = None,
) -> Float[Tensor, " b"]:
    """Share of the surface that the camera should have seen, but not as part of the object; NaN without any.

    It is counted among the same points as free space. Those that it sees through are nearly all beside the
    mask; so are those that lie on another object, where the depth map alone has no objection.

    Args:
        surface, depth: as in `free_space`.
        inside: the objects' visible pixels, with a margin (`grown`).
        of: which of these is that of each shape.
    """
    seen = _projected(surface, T_camera_object, depth, config=config or FreeSpaceConfig())
    return _share(seen.checked & ~_at(inside, seen.pixels, of=of), seen.checked)


def grown(masks: Bool[Tensor, "m h w"], margin_px: int = FreeSpaceConfig.margin_px) -> Bool[Tensor, "m h w"]:
    """The masks and all pixels that lie within the margin, along either axis."""
    return F.max_pool2d(masks.float(), 2 * margin_px + 1, stride=1, padding=margin_px) > 0


@dataclass(frozen=True, eq=False)
class _Projection:
    """Surface points in the camera's eyes.

    Args:
        z: (B, M) metres.
        pixels: (B, M, 2) nearest (u, v); negative outside the image and behind the camera.
        checked: (B, M) facing the camera, with a measurement that does not hide them.
        tolerance: (B, M) metres.
    """

    z: Float[Tensor, "b m"]
    pixels: Int[Tensor, "b m 2"]
    checked: Bool[Tensor, "b m"]
    tolerance: Float[Tensor, "b m"]


def _projected(
    surface: SurfacePoints,
    T_camera_object: Float[Tensor, "b 4 4"],
    depth: DepthMap,
    *,
    config: FreeSpaceConfig,
) -> _Projection:
    points = pose.apply(T_camera_object, surface.points_object.to(T_camera_object))
    normals = surface.normal.to(T_camera_object) @ T_camera_object[:, :3, :3].mT
    z = points[..., 2]
    facing = surface.valid & (z > 0) & ((normals * points).sum(-1) < 0)
    pixels = _pixels(points, depth.camera)
    here = _at(depth.depth_m.to(z.device), pixels).to(z)
    tolerance = config.tolerance_m + config.tolerance_share * z
    return _Projection(z, pixels, facing & (here > 0) & (z < here + tolerance), tolerance)


def _share(of_them: Bool[Tensor, "b m"], checked: Bool[Tensor, "b m"]) -> Float[Tensor, " b"]:
    count = checked.sum(-1)
    return torch.where(count > 0, of_them.sum(-1) / count.clamp(min=1), torch.nan)


def _pixels(points_camera: Float[Tensor, "b m 3"], camera: Camera) -> Int[Tensor, "b m 2"]:
    """The nearest pixel (u, v) of each point; negative outside the image and behind the camera."""
    z = points_camera[..., 2:]
    K = torch.from_numpy(camera.K).to(points_camera)
    pixels = (points_camera / torch.where(z > 0, z, 1.0)) @ K.T
    limits = torch.tensor([camera.width, camera.height], device=pixels.device)
    u_v = pixels[..., :2].clamp(-1, float(limits.max())).round().long()
    inside = ((u_v >= 0) & (u_v < limits)).all(-1, keepdim=True) & (z > 0)
    return torch.where(inside, u_v, -1)


def _at(
    image: Shaped[Tensor, "*m h w"], pixels: Int[Tensor, "b m 2"], *, of: Int[Tensor, " b"] | None = None
) -> Shaped[Tensor, "b m"]:
    """The image's values at the pixels, or those of each row's own image; 0 where there is no pixel."""
    u, v = pixels.clamp(min=0).unbind(-1)
    values = image[v, u] if of is None else image[of[:, None], v, u]
    return torch.where(pixels[..., 0] >= 0, values, torch.zeros_like(values))


def _nearest_around(depth_m: Float[Tensor, "h w"], margin_px: int) -> Float[Tensor, "h w"]:
    """Smallest measured depth within a square around each pixel; infinite where nothing is measured."""
    far = torch.where(depth_m > 0, -depth_m, -torch.inf)
    return -F.max_pool2d(far[None], 2 * margin_px + 1, stride=1, padding=margin_px)[0]
