"""From linear radiance to an 8-bit picture: exposure, lens blur, noise, sRGB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import convolve, gaussian_filter


@dataclass(frozen=True, eq=False)
class Exposure:
    """How a camera takes the light in.

    Args:
        brightness: linear value that the metered brightness becomes (0.2 is well exposed).
        balance: linear gain per channel.
        defocus_px: standard deviation of the blur of a lens out of focus.
        motion_px: (u, v) that the image moves while the shutter is open.
        read_noise: standard deviation, as a share of white.
        shot_noise: standard deviation at white; it grows with the root of the light.
    """

    brightness: float = 0.2
    balance: Float[np.ndarray, " 3"] | tuple[float, float, float] = (1.0, 1.0, 1.0)
    defocus_px: float = 0.0
    motion_px: tuple[float, float] = (0.0, 0.0)
    read_noise: float = 0.0
    shot_noise: float = 0.0


def develop(
    radiance: Float[np.ndarray, "h w 3"],
    exposure: Exposure,
    rng: np.random.Generator,
    *,
    metered: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """An sRGB picture of linear radiance.

    Args:
        metered: the pixels that the light meter looks at; all unless given. At least one must be on.
    """
    measured = radiance.reshape(-1, 3) if metered is None else radiance[metered]
    image = radiance * (exposure.brightness / _metered(measured))
    image = np.minimum(image * np.asarray(exposure.balance, dtype=np.float32), 4.0)  # wells are finite
    if exposure.defocus_px > 0:
        image = gaussian_filter(image, (exposure.defocus_px, exposure.defocus_px, 0))
    if max(map(abs, exposure.motion_px)) >= 1:
        image = convolve(image, _streak(exposure.motion_px)[..., None], mode="nearest")
    if exposure.read_noise > 0 or exposure.shot_noise > 0:
        sigma = np.sqrt(exposure.read_noise**2 + exposure.shot_noise**2 * np.clip(image, 0, 1))
        image = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return (srgb_from_linear(np.clip(image, 0, 1)) * 255).round().astype(np.uint8)


def _metered(radiance: Float[np.ndarray, "n 3"]) -> float:
    """A light meter's reading, between the median and what it would be if the brightest parts were white:
    a dark table must not burn out the white things on it."""
    middle, bright = np.quantile(radiance.mean(axis=1), (0.5, 0.96))
    return max(float(np.sqrt(middle * 0.3 * bright)), 1e-6)


def srgb_from_linear(linear: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """IEC 61966-2-1's curve, both in 0..1."""
    linear = np.maximum(linear, 1e-9)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def linear_from_srgb(srgb: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The inverse of `srgb_from_linear`."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def without_speckle(image: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    """3x3 median of each channel: removes the single bright pixels that few samples leave."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = image.shape[:2]
    p = [padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    # The least number of exchanges that bring the median of nine to the middle (Paeth, Graphics Gems, 1990).
    for a, b in _EXCHANGES:
        p[a], p[b] = np.minimum(p[a], p[b]), np.maximum(p[a], p[b])
    return p[4]


_EXCHANGES = (
    (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
    (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
)  # fmt: skip


def _streak(motion_px: tuple[float, float]) -> Float[np.ndarray, "k k"]:
    half = int(np.ceil(max(map(abs, motion_px)) / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.float32)
    for share in np.linspace(-0.5, 0.5, 4 * half + 1):
        kernel[round(half + share * motion_px[1]), round(half + share * motion_px[0])] += 1
    return kernel / kernel.sum()
