"""Training crops of single objects, cropped as at inference and optionally augmented, with their PNC targets.

A target is the back-projected depth transformed into the object frame (method, section 8).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import gaussian_filter
from torch import Tensor

from crisp.crop import Window, resample_image, sample_nearest
from crisp.learn.recipe import Augmentation


@dataclass(frozen=True, eq=False)
class View:
    """One training crop.

    Args:
        image: (3, S, S) colours in [0, 1], not yet normalised.
        target: (G, G, 3) metres, object frame.
        valid: (G, G) on the object and with a depth measurement.
    """

    image: Float[Tensor, "3 s s"]
    target: Float[Tensor, "g g 3"]
    valid: Bool[Tensor, "g g"]


@dataclass(frozen=True, eq=False)
class Scenery:
    """The images of a labelled frame, shared by all its objects."""

    rgb: UInt8[np.ndarray, "h w 3"]
    depth_m: Float[np.ndarray, "h w"]
    points_camera: Float[np.ndarray, "h w 3"]


def cut_view(
    scenery: Scenery,
    mask: Bool[np.ndarray, "h w"],
    T_camera_object: Float[np.ndarray, "4 4"],
    *,
    image_px: int,
    pnc_px: int,
    augmentation: Augmentation | None = None,
    rng: np.random.Generator | None = None,
) -> View | None:
    """The crop and its targets; None where the object has too few depth measurements."""
    rgb, window = scenery.rgb, None
    if augmentation is not None and rng is not None:
        rgb, mask = _cover(rgb, mask, augmentation, rng=rng)
    if not mask.any():
        return None
    if augmentation is not None and rng is not None:
        window = _turned_window(mask, augmentation, rng)
    window = window or Window.around(mask)
    valid = sample_nearest(mask & (scenery.depth_m > 0), window, pnc_px)
    if valid.sum() < 32:
        return None
    points = sample_nearest(scenery.points_camera, window, pnc_px)
    R, t = T_camera_object[:3, :3], T_camera_object[:3, 3]
    target = ((points - t) @ R).astype(np.float32) * valid[..., None]
    image = resample_image(rgb, window, image_px)
    if augmentation is not None and rng is not None:
        image = _recolour(image, augmentation, rng)
    return View(image, torch.from_numpy(target), torch.from_numpy(valid))


def _cover(
    rgb: np.ndarray, mask: np.ndarray, augmentation: Augmentation, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Occlude up to 35 % of the object by a half-plane filled with another part of the image."""
    if rng.random() >= augmentation.occlusion or not mask.any():
        return rgb, mask
    rows, columns = np.nonzero(mask)
    angle = rng.uniform(0, 2 * np.pi)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    hidden = along > np.quantile(along, rng.uniform(0.65, 0.95))
    shift = (int(rng.integers(rgb.shape[0])), int(rng.integers(rgb.shape[1])))
    covered, visible = rgb.copy(), mask.copy()
    r, c = rows[hidden], columns[hidden]
    covered[r, c] = rgb[(r + shift[0]) % rgb.shape[0], (c + shift[1]) % rgb.shape[1]]
    visible[r, c] = False
    return covered, visible


def _turned_window(mask: np.ndarray, augmentation: Augmentation, rng: np.random.Generator) -> Window:
    """The mask's tight box in axes rotated by a random angle, with jittered sides."""
    angle = np.deg2rad(rng.uniform(-1, 1) * augmentation.rotation_deg)
    rows, columns = np.nonzero(mask)
    pixels = np.stack([columns, rows], axis=-1).astype(float)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = pixels @ turn
    low, high = turned.min(0) - 0.5, turned.max(0) + 0.5
    sides = high - low
    low = low + rng.uniform(-1, 1, 2) * augmentation.box_jitter * sides
    high = high + rng.uniform(-1, 1, 2) * augmentation.box_jitter * sides
    centre = turn @ ((low + high) / 2) + 0.5
    half = (high - low) / 2
    return Window((*(centre - half), *(centre + half)), angle)


def _recolour(
    image: Float[Tensor, "3 s s"], augmentation: Augmentation, rng: np.random.Generator
) -> Float[Tensor, "3 s s"]:
    """Random brightness, contrast, saturation, hue (a rotation about the grey axis), blur and noise."""
    a = augmentation
    image = image * float(np.exp(rng.uniform(-1, 1) * a.brightness))
    mean = image.mean()
    image = (image - mean) * float(np.exp(rng.uniform(-1, 1) * a.contrast)) + mean
    grey = image.mean(0, keepdim=True)
    image = (image - grey) * float(np.exp(rng.uniform(-1, 1) * a.saturation)) + grey
    image = torch.einsum("ij,jhw->ihw", _hue_turn(2 * np.pi * rng.uniform(-1, 1) * a.hue), image)
    if a.blur_px > 0:
        sigma = rng.uniform(0, a.blur_px)
        if sigma > 0.3:
            image = torch.from_numpy(gaussian_filter(image.numpy(), (0, sigma, sigma)))
    noise = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
    return (image + rng.uniform(0, a.noise) * noise).clamp(0, 1).float()


def _hue_turn(angle_rad: float) -> Float[Tensor, "3 3"]:
    """Rotation by an angle about (1, 1, 1), in colour space (Rodrigues)."""
    n = torch.ones(3) / 3**0.5
    cross = torch.tensor([[0, -n[2], n[1]], [n[2], 0, -n[0]], [-n[1], n[0], 0]])
    return torch.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * (cross @ cross)
