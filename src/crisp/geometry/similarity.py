"""A pose, and where it is not known a size, from pairs of points some of which are wrong. NumPy, float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

DRAWS, SAMPLE = 256, 4
REFITS = 10
LEAST_POINTS = 8
LEAST_SPREAD = 1e-3  # of the second direction, as a share of the first: less is a line


@dataclass(frozen=True, eq=False)
class Similarity:
    """x = scale R z + t for most pairs (z, x).

    Args:
        T: (4, 4) with R and t.
        inlier_share: of the pairs, those that agree within the bound.
    """

    T: Float[np.ndarray, "4 4"]
    scale: float
    inlier_share: float


def fit_similarity(
    points_object: Float[np.ndarray, "n 3"],
    points_camera: Float[np.ndarray, "n 3"],
    *,
    inlier_m: float,
    scale: float | None = None,
) -> Similarity | None:
    """The best of many small samples, refitted to the pairs that agree (Umeyama, PAMI 1991, with draws).

    Args:
        inlier_m: pairs further apart than this do not count, in units of `points_camera`.
        scale: where it is known.

    Returns:
        None where fewer than eight pairs agree, or where those lie on a line. Equal pairs give equal answers.
    """
    if len(points_object) < LEAST_POINTS:
        return None
    chosen = np.random.default_rng(0).integers(len(points_object), size=(DRAWS, SAMPLE))
    R, t, s = _solve(points_object[chosen], points_camera[chosen], scale)
    judges = np.linspace(0, len(points_object) - 1, min(len(points_object), 512)).astype(np.int64)
    moved = s[:, None, None] * (points_object[judges] @ R.swapaxes(1, 2)) + t[:, None]
    off = np.linalg.norm(moved - points_camera[judges], axis=-1)
    best = int(np.minimum(off, inlier_m).sum(axis=1).argmin())
    near = _near(points_object, points_camera, (R[best], t[best], float(s[best])), bound=2 * inlier_m)
    for _ in range(REFITS):
        z, x = points_object[near], points_camera[near]
        if len(z) < LEAST_POINTS or _on_a_line(z):
            return None
        rotations, shifts, scales = _solve(z[None], x[None], scale)
        solved = rotations[0], shifts[0], float(scales[0])
        again = _near(points_object, points_camera, solved, bound=inlier_m)
        if (again == near).all():
            break
        near = again
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = solved[0], solved[1]
    return Similarity(T, solved[2], float(near.mean()))


def _solve(
    z: Float[np.ndarray, "b n 3"], x: Float[np.ndarray, "b n 3"], scale: float | None
) -> tuple[Float[np.ndarray, "b 3 3"], Float[np.ndarray, "b 3"], Float[np.ndarray, " b"]]:
    z_mean, x_mean = z.mean(axis=1), x.mean(axis=1)
    z_off, x_off = z - z_mean[:, None], x - x_mean[:, None]
    left, sizes, right = np.linalg.svd(x_off.swapaxes(1, 2) @ z_off)
    sizes[:, 2] *= np.linalg.det(left) * np.linalg.det(right)
    left[:, :, 2] *= (np.linalg.det(left) * np.linalg.det(right))[:, None]  # a rotation, no reflection
    R = left @ right
    power = np.maximum((z_off**2).sum(axis=(1, 2)), np.finfo(np.float64).tiny)
    s = sizes.sum(axis=1) / power if scale is None else np.full(len(z), scale)
    return R, x_mean - s[:, None] * (R @ z_mean[..., None])[..., 0], s


def _near(
    z: Float[np.ndarray, "n 3"],
    x: Float[np.ndarray, "n 3"],
    solved: tuple[np.ndarray, np.ndarray, float],
    *,
    bound: float,
) -> np.ndarray:
    R, t, s = solved
    return np.linalg.norm(s * (z @ R.T) + t - x, axis=-1) < bound


def _on_a_line(points: Float[np.ndarray, "n 3"]) -> bool:
    spreads = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spreads[1] <= LEAST_SPREAD * spreads[0])
