"""Procedural textures for what surrounds the objects: table tops, walls, clutter."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import zoom

SIZE_PX = 512


def random_texture(rng: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
    """One of wood, cloth, speckle, tiles, plain and cloudy, in colours drawn at random."""
    makers = (_wood, _cloth, _speckle, _tiles, _plain, _cloudy)
    image = makers[int(rng.integers(len(makers)))](rng)
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def noise(rng: np.random.Generator, *, cells: tuple[int, int], size_px: int = SIZE_PX) -> np.ndarray:
    """Smooth noise in 0..1, (size_px, size_px); `cells` are its lumps along rows and columns."""
    coarse = rng.random((cells[0] + 1, cells[1] + 1))
    scale = [size_px / n for n in coarse.shape]
    return zoom(coarse, scale, order=1, mode="nearest", grid_mode=True)[:size_px, :size_px]


def layered_noise(rng: np.random.Generator, *, coarsest: int = 3, layers: int = 5) -> np.ndarray:
    """Noise of several sizes, each half as strong as the one before; in 0..1."""
    total = sum(noise(rng, cells=(coarsest * 2**k, coarsest * 2**k)) * 0.5**k for k in range(layers)) / (
        2 - 0.5 ** (layers - 1)
    )
    return np.asarray(total)


def random_colour(rng: np.random.Generator, *, saturation: float = 0.4) -> Float[np.ndarray, " 3"]:
    """sRGB in 0..1: a grey of random brightness, tinted."""
    grey = rng.uniform(0.12, 0.92)
    return np.clip(grey + saturation * rng.uniform(0, 1) * rng.uniform(-0.5, 0.5, 3), 0.02, 0.98)


def _mix(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    return a + (b - a) * share[..., None]


def _wood(rng: np.random.Generator) -> np.ndarray:
    light = np.array([0.78, 0.58, 0.38]) * rng.uniform(0.45, 1.2) + rng.uniform(-0.06, 0.06, 3)
    dark = light * rng.uniform(0.45, 0.8)
    y = np.linspace(0, rng.uniform(5, 16), SIZE_PX)[:, None]
    bend = 2.5 * noise(rng, cells=(4, 2)) + 0.4 * noise(rng, cells=(60, 3))
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (y + bend))
    fibre = noise(rng, cells=(250, 5))
    return _mix(light, dark, np.clip(0.6 * rings**2 + 0.5 * (fibre - 0.4), 0, 1))


def _cloth(rng: np.random.Generator) -> np.ndarray:
    base, stripe = random_colour(rng), random_colour(rng, saturation=0.6)
    pitch = int(rng.integers(24, 100))
    lines = (np.arange(SIZE_PX) % pitch) < pitch * rng.uniform(0.2, 0.6)
    across = lines[:, None] * 0.5 + lines[None, :] * (0.5 if rng.random() < 0.6 else 0.0)
    weave = 0.08 * (rng.random((SIZE_PX, SIZE_PX)) - 0.5)
    return _mix(base, stripe, across) + weave[..., None]


def _speckle(rng: np.random.Generator) -> np.ndarray:
    image = _mix(random_colour(rng), random_colour(rng), 0.3 * layered_noise(rng))
    for _ in range(int(rng.integers(1, 4))):
        spots = noise(rng, cells=(int(rng.integers(60, 250)),) * 2) > rng.uniform(0.75, 0.93)
        image[spots] = random_colour(rng, saturation=0.6)
    return image


def _tiles(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(3, 10))
    tile = SIZE_PX // count + 1
    row, column = np.indices((SIZE_PX, SIZE_PX)) // tile
    own = 0.12 * (rng.random((count + 1, count + 1, 1)) - 0.5)[row, column]
    image = random_colour(rng) + own + 0.1 * (layered_noise(rng)[..., None] - 0.5)
    if rng.random() < 0.4:
        image[(row + column) % 2 == 1] = random_colour(rng)
    joint = (np.indices((SIZE_PX, SIZE_PX)) % tile < max(2, tile // 30)).any(axis=0)
    image[joint] = random_colour(rng, saturation=0.1)
    return image


def _plain(rng: np.random.Generator) -> np.ndarray:
    return random_colour(rng, saturation=0.6) + 0.06 * (layered_noise(rng)[..., None] - 0.5)


def _cloudy(rng: np.random.Generator) -> np.ndarray:
    share = np.clip(1.6 * layered_noise(rng, coarsest=int(rng.integers(2, 9))) - 0.3, 0, 1)
    return _mix(random_colour(rng, saturation=0.6), random_colour(rng, saturation=0.6), share)
