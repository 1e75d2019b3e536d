"""Smooths light that was sampled with few rays, along surfaces and not across their edges."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from crisp.geometry.camera import Camera

STEPS_PX = (1, 2, 4)
PLANE_M = 0.002
CONTRAST = 1.0
NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))
MARGIN_PX = max(STEPS_PX)


def smooth_light(
    light: Float[np.ndarray, "h w 3"], depth_m: Float[np.ndarray, "h w"], camera: Camera
) -> Float[np.ndarray, "h w 3"]:
    """Edge-avoiding wavelets (Dammertz et al., HPG 2010): binomial 3x3 means at growing steps.

    A neighbour counts as far as its depth continues the pixel's slope, it faces the same way, and is not far
    brighter or darker. Surfaces are taken from exact depth; light from nothing (depth 0) stays as it is.
    """
    depth = np.asarray(depth_m, dtype=np.float32)
    slopes = _slope(depth, axis=0), _slope(depth, axis=1)
    normals = _padded(_normals(depth, slopes, camera))
    depth_around = _padded(depth[None])[0]
    trust = _padded(_trust(depth, slopes)[None])[0]
    channels = np.ascontiguousarray(np.moveaxis(np.asarray(light, dtype=np.float32), 2, 0))
    for step in STEPS_PX:
        around = _padded(channels)
        brightness = around.mean(axis=0)
        local = _box_mean(brightness)
        scale = 1 / (CONTRAST * local + 1e-6)
        own = 4 * np.exp(-np.abs(_centre(brightness) - local) * scale) * _centre(trust)
        total, weights = own * channels, own.copy()
        for dy, dx in NEIGHBOURS:
            there = _window(depth.shape, dy * step, dx * step)
            off = np.abs(depth_around[there] - depth - step * (dy * slopes[0] + dx * slopes[1]))
            off *= -1 / PLANE_M
            off -= np.abs(brightness[there] - local) * scale
            facing = sum(here * other[there] for here, other in zip(_centre(normals), normals, strict=True))
            weight = np.exp(off) * np.maximum(facing, 0) ** 8
            weight *= trust[there] * (4 >> (abs(dy) + abs(dx)))
            for mean, channel in zip(total, around, strict=True):
                mean += weight * channel[there]
            weights += weight
        channels = np.where((depth > 0) & (weights > 1e-9), total / np.maximum(weights, 1e-9), channels)
        trust.fill(1.0)  # edges have now taken their light from inside the surface
    return np.moveaxis(channels, 0, 2)


def _trust(
    depth: Float[np.ndarray, "h w"], slopes: tuple[np.ndarray, np.ndarray]
) -> Float[np.ndarray, "h w"]:
    """Next to nothing at edges, where a pixel's one ray of light may have met the other surface."""
    around = _padded(depth[None])[0]
    smooth = np.ones(depth.shape, dtype=bool)
    for dy, dx in NEIGHBOURS:
        there = around[_window(depth.shape, dy, dx)]
        smooth &= np.abs(there - depth - dy * slopes[0] - dx * slopes[1]) < 2 * PLANE_M
    return np.where(smooth, 1.0, 1e-3).astype(np.float32)


def _slope(depth: Float[np.ndarray, "h w"], *, axis: int) -> Float[np.ndarray, "h w"]:
    """Change of depth to the next pixel: the smaller of the two one-sided ones, so as not to span edges."""
    step = np.diff(depth, axis=axis)
    last, first = step.take([-1], axis=axis), step.take([0], axis=axis)
    forward, backward = np.concatenate([step, last], axis), np.concatenate([first, step], axis)
    return np.where(np.abs(forward) <= np.abs(backward), forward, backward)


def _normals(
    depth: Float[np.ndarray, "h w"], slopes: tuple[np.ndarray, np.ndarray], camera: Camera
) -> Float[np.ndarray, "3 h w"]:
    """Of a surface z(u, v) seen through K: (fx z_u, fy z_v, -(z + (u - cx) z_u + (v - cy) z_v)) made unit."""
    K = camera.K.astype(np.float32)
    u = np.arange(camera.width, dtype=np.float32) - K[0, 2]
    v = (np.arange(camera.height, dtype=np.float32) - K[1, 2])[:, None]
    z_v, z_u = slopes
    normals = np.stack([K[0, 0] * z_u, K[1, 1] * z_v, -(depth + u * z_u + v * z_v)])
    return normals / np.maximum(np.sqrt((normals * normals).sum(axis=0)), 1e-12)


def _padded(channels: Float[np.ndarray, "c h w"]) -> Float[np.ndarray, "c a b"]:
    return np.pad(channels, ((0, 0), (MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX)), mode="edge")


def _window(shape: tuple[int, ...], dy: int, dx: int) -> tuple[slice, slice]:
    """Where, in a padded image, the pixels at this offset from each pixel are."""
    return (
        slice(MARGIN_PX + dy, MARGIN_PX + dy + shape[0]),
        slice(MARGIN_PX + dx, MARGIN_PX + dx + shape[1]),
    )


def _centre(padded: np.ndarray) -> np.ndarray:
    return padded[..., MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def _box_mean(padded: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "h w"]:
    """5x5 mean, without the margin."""
    height, width = padded.shape[0] - 2 * MARGIN_PX, padded.shape[1] - 2 * MARGIN_PX
    first = MARGIN_PX - 2
    rows = np.sum([padded[first + k : first + k + height] for k in range(5)], axis=0)
    return np.sum([rows[:, first + k : first + k + width] for k in range(5)], axis=0) / 25
