"""Overlap and pose errors of boxes as the NOCS benchmark measures them, for many pairs at once.

A box is a pose, a centre and a size in the object frame. The benchmark does not intersect the turned boxes
themselves but their bounds along the camera's axes. Its published code took those bounds over the wrong axis
of its (3, 8) array of corners: for each corner the largest and the smallest of its three coordinates. Both
are here: the published numbers were made with the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

TURNS = 20
"""About the axis of a symmetric object, of which the best overlap counts."""
_CORNERS = np.array([[x, y, z] for x in (0.5, -0.5) for y in (0.5, -0.5) for z in (0.5, -0.5)])
CM_PER_M = 100.0
PORTION = 100_000

Overlap = Callable[[Float[np.ndarray, "*n 3 8"], Float[np.ndarray, "*n 3 8"]], Float[np.ndarray, "*n"]]


@dataclass(frozen=True, eq=False)
class Boxes:
    """Posed boxes, metres.

    Args:
        T: camera from object.
        centre, size: of the box along the object frame's axes.
    """

    T: Float[np.ndarray, "n 4 4"]
    centre: Float[np.ndarray, "n 3"]
    size: Float[np.ndarray, "n 3"]

    def take(self, rows: Int[np.ndarray, " m"]) -> Boxes:
        """These, in this order."""
        return Boxes(self.T[rows], self.centre[rows], self.size[rows])


def bounds_overlap(a: Float[np.ndarray, "*n 3 8"], b: Float[np.ndarray, "*n 3 8"]) -> Float[np.ndarray, "*n"]:
    """IoU of two boxes' bounds along the camera's axes, from their corners."""
    return _overlap(a, b, axis=-1)


def original_overlap(
    a: Float[np.ndarray, "*n 3 8"], b: Float[np.ndarray, "*n 3 8"]
) -> Float[np.ndarray, "*n"]:
    """The same with the published code's fault: bounds over the coordinates of each corner."""
    return _overlap(a, b, axis=-2)


def _overlap(a: np.ndarray, b: np.ndarray, *, axis: int) -> np.ndarray:
    high_a, low_a = a.max(axis=axis), a.min(axis=axis)
    high_b, low_b = b.max(axis=axis), b.min(axis=axis)
    sides = np.minimum(high_a, high_b) - np.maximum(low_a, low_b)
    common = np.where((sides < 0).any(axis=-1), 0.0, sides.prod(axis=-1))
    union = (high_a - low_a).prod(axis=-1) + (high_b - low_b).prod(axis=-1) - common
    return np.where(union > 0, common / np.where(union > 0, union, 1.0), 0.0)


def box_overlaps(
    estimates: Boxes, labels: Boxes, *, free: Bool[np.ndarray, " n"], axis: int, overlap: Overlap
) -> Float[np.ndarray, " n"]:
    """IoU of each estimate with the label at the same place.

    Args:
        free: where the object may turn about its axis: the best of TURNS turns of the estimate counts.
        axis: of the object frame, 0 to 2.
        overlap: `bounds_overlap` or `original_overlap`.
    """
    found = np.zeros(len(free))
    for turned, rows in ((False, np.flatnonzero(~free)), (True, np.flatnonzero(free))):
        turns = _turns(axis) if turned else np.eye(3)[None]
        for k in range(0, len(rows), max(1, PORTION // len(turns))):
            part = rows[k : k + max(1, PORTION // len(turns))]
            ours = _corners(estimates.take(part), turns)
            theirs = _corners(labels.take(part), np.eye(3)[None])
            found[part] = overlap(ours, np.broadcast_to(theirs, ours.shape)).max(axis=1)
    return found


def _corners(boxes: Boxes, turns: Float[np.ndarray, "r 3 3"]) -> Float[np.ndarray, "n r 3 8"]:
    corners = boxes.centre[:, :, None] + boxes.size[:, :, None] * _CORNERS.T
    posed = boxes.T[:, None, :3, :3] @ (turns @ corners[:, None])
    return posed + boxes.T[:, None, :3, 3:]


def _turns(axis: int) -> Float[np.ndarray, "r 3 3"]:
    angle = 2 * np.pi * np.arange(TURNS) / TURNS
    first, second = (axis + 1) % 3, (axis + 2) % 3
    R = np.tile(np.eye(3), (TURNS, 1, 1))
    R[:, first, first] = R[:, second, second] = np.cos(angle)
    R[:, second, first], R[:, first, second] = np.sin(angle), -np.sin(angle)
    return R


def turn_errors_deg(
    estimates: Boxes, labels: Boxes, *, free: Bool[np.ndarray, " n"], axis: int
) -> Float[np.ndarray, " n"]:
    """Angle of the turn between each estimate and label; between their axes where the object may turn."""
    R, Q = estimates.T[:, :3, :3], labels.T[:, :3, :3]
    # |R - Q|_F = 2 sqrt(2) sin(angle / 2), and |a - b| = 2 sin(angle / 2): precise for small angles.
    whole = np.linalg.norm(R - Q, axis=(1, 2)) / (2 * np.sqrt(2))
    between = np.linalg.norm(R[:, :, axis] - Q[:, :, axis], axis=1) / 2
    return np.degrees(2 * np.arcsin(np.minimum(np.where(free, between, whole), 1.0)))


def shift_errors_cm(estimates: Boxes, labels: Boxes) -> Float[np.ndarray, " n"]:
    """Distance between the origins of the object frames."""
    return CM_PER_M * np.linalg.norm(estimates.T[:, :3, 3] - labels.T[:, :3, 3], axis=1)
