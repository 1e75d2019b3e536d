"""From a frame and a mask to what the network sees (method, section 2: tight box, no enlargement).

The colour image is resampled bilinearly. Depth is back-projected on the full frame first and the map of
points is sampled with nearest neighbour, so depths never mix and K needs no rescaling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from crisp.errors import ObjectFailure
from crisp.types import Crop, Detection, Frame

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class CropConfig:
    """Sizes of a crop.

    Args:
        image_px: side of the network's input in pixels, a multiple of 14.
        pnc_px: side of the grid on which coordinates are predicted and points are sampled.
        min_points: fewer measured points than this are not enough to register.
    """

    image_px: int = 224
    pnc_px: int = 64
    min_points: int = 16


@dataclass(frozen=True)
class Window:
    """The part of an image that a crop shows: a box, possibly turned about its centre (augmentation only).

    Args:
        box_px: left, top, right, bottom; right and bottom exclusive.
        angle_rad: in-plane rotation of the window.
    """

    box_px: tuple[float, float, float, float]
    angle_rad: float = 0.0

    @classmethod
    def around(cls, mask: Bool[np.ndarray, "h w"]) -> Window:
        """The tight box of a mask's pixels."""
        left, top, right, bottom = map(float, tight_box(mask))
        return cls((left, top, right, bottom))

    def pixels(self, side: int) -> Float[np.ndarray, "side side 2"]:
        """Image coordinates (u, v) of the centres of a side x side grid over the window."""
        left, top, right, bottom = self.box_px
        unit = (np.arange(side) + 0.5) / side - 0.5
        u, v = np.meshgrid(unit * (right - left), unit * (bottom - top))
        c, s = np.cos(self.angle_rad), np.sin(self.angle_rad)
        centre = ((left + right) / 2 - 0.5, (top + bottom) / 2 - 0.5)
        return np.stack([centre[0] + c * u - s * v, centre[1] + s * u + c * v], axis=-1)


def tight_box(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of a mask's pixels."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def resample_image(
    rgb: UInt8[np.ndarray, "h w 3"], window: Window, image_px: int
) -> Float[Tensor, "3 image_px image_px"]:
    """The window's colours in [0, 1], bilinear, averaged over a 2x2 or finer grid where it shrinks."""
    extent = max(window.box_px[2] - window.box_px[0], window.box_px[3] - window.box_px[1])
    oversample = max(1, int(np.ceil(extent / image_px)))
    grid = _grid(window.pixels(image_px * oversample), rgb.shape[1], rgb.shape[0])
    source = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255.0
    image = F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return F.avg_pool2d(image, oversample)[0] if oversample > 1 else image[0]


def _grid(pixels: Float[np.ndarray, "s s 2"], width: int, height: int) -> Float[Tensor, "1 s s 2"]:
    scale = np.array([2.0 / max(width - 1, 1), 2.0 / max(height - 1, 1)])
    return torch.from_numpy((pixels * scale - 1.0).astype(np.float32))[None]


def sample_nearest(values: np.ndarray, window: Window, side: int) -> np.ndarray:
    """The window's values on a side x side grid, nearest neighbour; 0 (or False) outside the image."""
    pixels = np.rint(window.pixels(side)).astype(int)
    u, v = pixels[..., 0], pixels[..., 1]
    inside = (u >= 0) & (u < values.shape[1]) & (v >= 0) & (v < values.shape[0])
    sampled = values[v.clip(0, values.shape[0] - 1), u.clip(0, values.shape[1] - 1)]
    sampled[~inside] = 0
    return sampled


def normalise(image: Float[Tensor, "*b 3 s s"]) -> Float[Tensor, "*b 3 s s"]:
    """ImageNet's mean and deviation, applied in this one place for training and inference."""
    mean = image.new_tensor(IMAGENET_MEAN)[:, None, None]
    deviation = image.new_tensor(IMAGENET_DEVIATION)[:, None, None]
    return (image - mean) / deviation


def crop(
    frame: Frame, detection: Detection, config: CropConfig, *, points_camera: Float[np.ndarray, "h w 3"]
) -> Crop:
    """Cut one object out of a frame.

    Args:
        points_camera: the frame's back-projected depth, computed once for all its objects.

    Raises:
        ObjectFailure: the mask has another size or no pixel, or too few of its pixels were measured.
    """
    mask = detection.mask
    if mask.shape != frame.depth_m.shape:
        raise ObjectFailure(
            "mask_size",
            f"the mask is {mask.shape[1]}x{mask.shape[0]} but the frame is "
            f"{frame.camera.width}x{frame.camera.height}: it must have the frame's size.",
        )
    if not mask.any():
        raise ObjectFailure("mask_empty", "the mask has no pixel: it must mark the object's visible pixels.")
    window = Window.around(mask)
    measured = mask & (frame.depth_m > 0)
    if not measured.any():
        raise ObjectFailure("depth_missing", "no pixel of the mask has a depth measurement.")
    valid = sample_nearest(measured, window, config.pnc_px)
    # Few pixels fill a fine grid many times over, and scattered ones may fall between its points.
    points_seen = min(int(valid.sum()), int(measured.sum()))
    if points_seen < config.min_points:
        raise ObjectFailure(
            "too_few_points",
            f"the crop holds {points_seen} measured points; at least {config.min_points} are needed.",
        )
    points = sample_nearest(points_camera, window, config.pnc_px)
    return Crop(
        image=normalise(resample_image(frame.rgb, window, config.image_px)),
        points_camera=torch.from_numpy(points * valid[..., None]),
        valid=torch.from_numpy(valid),
        box_px=tight_box(mask),
    )
