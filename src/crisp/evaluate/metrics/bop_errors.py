"""The pose errors of the BOP benchmark (protocol `bop`): VSD, MSSD, MSPD.

Hodan et al., BOP Challenge 2020 on 6D Object Localization (ECCVW 2020), section 2.2; thresholds of BOP19.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from crisp.errors import InputError
from crisp.types import Symmetries

SYMMETRY_STEP = 0.01
"""A continuous symmetry is turned so far at a time that no vertex moves by more than this many diameters."""
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 11))
"""Of VSD (tau and theta alike), of MSSD in diameters, and of MSPD in hundreds of pixels at a width of 640."""
VISIBLE_WITHIN_M = 0.015
"""delta of VSD."""
MSPD_PX = 100.0
REFERENCE_WIDTH_PX = 640.0
PORTION = 2_000_000  # points in all symmetric poses that are projected at once: bounds memory


def symmetry_motions(symmetries: Symmetries, *, step: float = SYMMETRY_STEP) -> Float[np.ndarray, "s 4 4"]:
    """All motions that leave the object as it is, the identity first; continuous ones in ceil(pi/step) turns.

    Each discrete motion is followed by each turn about each axis, as BOP's toolkit does it.
    """
    discrete = np.stack([np.eye(4), *symmetries.discrete])
    turns = [_turns(axis, offset, int(np.ceil(np.pi / step))) for axis, offset in symmetries.continuous]
    if not turns:
        return discrete
    return (np.concatenate(turns)[None] @ discrete[:, None]).reshape(-1, 4, 4)


def _turns(
    axis: Float[np.ndarray, " 3"], offset: Float[np.ndarray, " 3"], count: int
) -> Float[np.ndarray, "n 4 4"]:
    """Rodrigues' formula at `count` equal angles from 0, about an axis through the offset."""
    x, y, z = axis / np.linalg.norm(axis)
    W = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = (2 * np.pi * np.arange(count) / count)[:, None, None]
    T = np.tile(np.eye(4), (count, 1, 1))
    T[:, :3, :3] = np.eye(3) + np.sin(angle) * W + (1 - np.cos(angle)) * (W @ W)
    T[:, :3, 3] = offset - T[:, :3, :3] @ offset
    return T


def mssd(
    vertices: Float[np.ndarray, "n 3"],
    T_estimated: Float[np.ndarray, "4 4"],
    T_true: Float[np.ndarray, "4 4"],
    *,
    motions: Float[np.ndarray, "s 4 4"],
) -> float:
    """Maximum symmetry-aware surface distance, metres: the least over motions of the farthest vertex.

    Args:
        vertices: of the model, object frame; those of its convex hull give the same value, since the
            distance between two affine images of a point is convex in the point.
        motions: of `symmetry_motions`.
    """
    apart = T_estimated - T_true @ motions
    moved = vertices @ apart[:, :3, :3].mT + apart[:, None, :3, 3]
    return float(np.sqrt((moved**2).sum(axis=-1)).max(axis=1).min())


def mspd(
    vertices: Float[np.ndarray, "n 3"],
    T_estimated: Float[np.ndarray, "4 4"],
    T_true: Float[np.ndarray, "4 4"],
    *,
    motions: Float[np.ndarray, "s 4 4"],
    K: Float[np.ndarray, "3 3"],
) -> float:
    """Maximum symmetry-aware projection distance, pixels. Infinite where a vertex lies behind the camera."""
    seen = _project(T_estimated[None], vertices, K)[0]
    if not np.isfinite(seen).all():
        return float("inf")
    poses = T_true @ motions
    rows = max(1, PORTION // len(vertices))
    farthest = [
        np.linalg.norm(seen - _project(poses[k : k + rows], vertices, K), axis=-1).max(axis=1)
        for k in range(0, len(poses), rows)
    ]
    return float(np.concatenate(farthest).min())


def _project(
    T: Float[np.ndarray, "s 4 4"], vertices: Float[np.ndarray, "n 3"], K: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "s n 2"]:
    points = vertices @ (K @ T[:, :3, :3]).mT + (T[:, :3, 3] @ K.T)[:, None]
    depth = points[..., 2:]
    return np.where(depth > 0, points[..., :2] / np.where(depth > 0, depth, 1.0), np.inf)


def vsd(
    estimated_m: Float[np.ndarray, "h w"],
    true_m: Float[np.ndarray, "h w"],
    measured_m: Float[np.ndarray, "h w"],
    *,
    diameter_m: float,
) -> Float[np.ndarray, " k"]:
    """Visible surface discrepancy at each tolerance tau of THRESHOLDS (in diameters); 0 to 1.

    Args:
        estimated_m, true_m: distance from the camera's centre to the model in either pose; 0 where it is not.
        measured_m: the same distance to what the camera measured; 0 where it measured nothing.

    Raises:
        InputError: the diameter is not positive.
    """
    if not diameter_m > 0:
        raise InputError(f"VSD needs a model with a positive diameter, got {diameter_m} m.")
    visible_true = _visible(true_m, measured_m)
    visible_estimate = _visible(estimated_m, measured_m) | (visible_true & (estimated_m > 0))
    both, either = visible_true & visible_estimate, visible_true | visible_estimate
    if not either.any():
        return np.ones(len(THRESHOLDS))
    apart = np.abs(estimated_m - true_m)[both] / diameter_m
    wrong = (apart[:, None] >= np.array(THRESHOLDS)).sum(axis=0)
    return (wrong + either.sum() - both.sum()) / either.sum()


def _visible(
    model_m: Float[np.ndarray, "h w"], measured_m: Float[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """As BOP19 has it: visible also where nothing was measured."""
    return (model_m > 0) & ((model_m - measured_m <= VISIBLE_WITHIN_M) | (measured_m == 0))


def recalls(
    errors: Float[np.ndarray, "p g *a"], thresholds: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " g"]:
    """Share of thresholds at which each of the g labels of one object in one frame is found.

    Estimates choose in their order (the most confident first): each takes the nearest label that is still
    free, if its error is below the threshold (BOP's localisation task). Extra axes of the errors (VSD's
    tolerances) count like thresholds.

    Args:
        errors: of p estimates against g labels; infinite where there is none.
        thresholds: in the errors' unit.
    """
    many = errors.reshape(*errors.shape[:2], -1)  # (p, g, a)
    taken = np.zeros((many.shape[1], many.shape[2], len(thresholds)), dtype=bool)
    for row in many:
        free = np.where(taken, np.inf, row[:, :, None])
        nearest = free.argmin(axis=0)[None]
        hit = np.take_along_axis(free, nearest, axis=0) < thresholds
        before = np.take_along_axis(taken, nearest, axis=0)
        np.put_along_axis(taken, nearest, before | hit, axis=0)
    return taken.mean(axis=(1, 2))
