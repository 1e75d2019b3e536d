"""Errors of a pose against the true one (method.md, section 9). Metres and degrees, float64."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from crisp.geometry.points import nearest_distance
from crisp.types import Symmetries

PARALLEL = 1 - 1e-9


def add(
    points_object: Float[np.ndarray, "n 3"],
    T_estimated: Float[np.ndarray, "4 4"],
    T_true: Float[np.ndarray, "4 4"],
) -> float:
    """ADD: mean distance between each model point in the estimated and in the true pose."""
    moved = _move(_motion_between(T_estimated, T_true), points_object)
    return float(np.linalg.norm(moved - points_object, axis=1).mean())


def add_s(
    points_object: Float[np.ndarray, "n 3"],
    T_estimated: Float[np.ndarray, "4 4"],
    T_true: Float[np.ndarray, "4 4"],
    *,
    tree: cKDTree | None = None,
) -> float:
    """ADD-S: mean distance from model points in the true pose to the nearest in the estimated pose.

    Distances do not change when both sets move together, so it is measured in the frame of the estimate:
    there one tree serves all poses of a model. Equal poses give exactly 0.

    Args:
        tree: of points_object, where there is one already.
    """
    if np.array_equal(T_estimated, T_true):
        return 0.0
    moved = _move(_motion_between(T_estimated, T_true), points_object)
    return float(nearest_distance(moved, points_object if tree is None else tree).mean())


def rotation_error_deg(
    T_estimated: Float[np.ndarray, "4 4"],
    T_true: Float[np.ndarray, "4 4"],
    symmetries: Symmetries | None = None,
) -> float:
    """Smallest angle to the true rotation or to one that a declared symmetry makes equal to it.

    Exact also for continuous symmetries: with the turn about the axis a free, what is left of a rotation Q is
    at least the angle between a and Q a, and the turn that takes one to the other attains it. Two axes that
    are not parallel free every rotation, and the error is 0.
    """
    symmetries = symmetries or Symmetries()
    turns = [np.eye(3), *(S[:3, :3] for S in symmetries.discrete)]
    left_over = [(T_true[:3, :3] @ turn).T @ T_estimated[:3, :3] for turn in turns]
    axes = [axis / np.linalg.norm(axis) for axis, _ in symmetries.continuous]
    if not axes:
        return min(_angle_deg(Q) for Q in left_over)
    if any(abs(axis @ axes[0]) < PARALLEL for axis in axes[1:]):
        return 0.0
    return min(_between_deg(axes[0], Q @ axes[0]) for Q in left_over)


def translation_error_m(
    T_estimated: Float[np.ndarray, "4 4"],
    T_true: Float[np.ndarray, "4 4"],
    symmetries: Symmetries | None = None,
) -> float:
    """Distance between the two places of the object's centre of symmetry.

    That is the frame's origin, except where a declared symmetry moves the origin: it must not cost anything.
    """
    centre = _fixed_point(symmetries or Symmetries())
    places = [T[:3, :3] @ centre + T[:3, 3] for T in (T_estimated, T_true)]
    return float(np.linalg.norm(places[0] - places[1]))


def _fixed_point(symmetries: Symmetries) -> Float[np.ndarray, " 3"]:
    """The mean of the places that a finite group gives the origin stays where it is under the group."""
    centre = np.mean([np.zeros(3), *(S[:3, 3] for S in symmetries.discrete)], axis=0)
    for axis, offset in symmetries.continuous:
        unit = axis / np.linalg.norm(axis)
        centre = offset + unit * (unit @ (centre - offset))
    return centre


def _motion_between(
    T_estimated: Float[np.ndarray, "4 4"], T_true: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "4 4"]:
    """From the object's true frame to its estimated one."""
    T = np.eye(4)
    T[:3, :3] = T_estimated[:3, :3].T @ T_true[:3, :3]
    T[:3, 3] = T_estimated[:3, :3].T @ (T_true[:3, 3] - T_estimated[:3, 3])
    return T


def _move(T: Float[np.ndarray, "4 4"], points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return points @ T[:3, :3].T + T[:3, 3]


def _angle_deg(R: Float[np.ndarray, "3 3"]) -> float:
    """|R - I|_F = 2 sqrt(2) sin(angle / 2): unlike the trace's arc cosine, precise for small angles."""
    sine = np.linalg.norm(R - np.eye(3)) / (2 * np.sqrt(2))
    return float(np.degrees(2 * np.arcsin(min(sine, 1.0))))


def _between_deg(a: Float[np.ndarray, " 3"], b: Float[np.ndarray, " 3"]) -> float:
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))
