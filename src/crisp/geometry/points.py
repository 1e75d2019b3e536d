"""Distances within and between point sets. NumPy, float64, metres."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, cKDTree
from scipy.spatial.distance import cdist

from crisp.errors import InputError

FLAT = 1e-9  # a spread below this share of the largest one counts as none
PAIRWISE_ROWS = 1024


def nearest_distance(
    query: Float[np.ndarray, "n 3"], reference: Float[np.ndarray, "m 3"] | cKDTree, *, norm: float = 2.0
) -> Float[np.ndarray, " n"]:
    """Distance of each query point to the nearest reference point.

    Args:
        reference: points, or their tree where it is asked more than once.
        norm: p of the distance: 2, or 1 for the sum of the coordinates' differences.

    Raises:
        InputError: there is no reference point.
    """
    tree = reference if isinstance(reference, cKDTree) else cKDTree(np.reshape(reference, (-1, 3)))
    if tree.n == 0:
        raise InputError("there is no point to measure the distance to: the reference set is empty.")
    return np.asarray(tree.query(query, p=norm)[0], dtype=np.float64)


def box_diagonal(points: Float[np.ndarray, "n 3"]) -> float:
    """Diagonal of the axis-aligned bounding box.

    Raises:
        InputError: there is no point.
    """
    _check_any(points)
    return float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))


def diameter(points: Float[np.ndarray, "n 3"]) -> float:
    """Largest distance between two of the points, exact: it is attained between vertices of the convex hull.

    Raises:
        InputError: there is no point.
    """
    _check_any(points)
    corners = _hull_vertices(np.asarray(points, dtype=np.float64))
    rows = range(0, len(corners), PAIRWISE_ROWS)
    return float(max(cdist(corners[k : k + PAIRWISE_ROWS], corners).max() for k in rows))


def _hull_vertices(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "k 3"]:
    """Flat sets have no 3D hull: theirs is taken within the plane or the line in which they lie."""
    if len(points) == 1:
        return points
    centred = points - points.mean(axis=0)
    spreads, axes = np.linalg.svd(centred, full_matrices=False)[1:]
    dimensions = int((spreads > FLAT * spreads[0]).sum()) if spreads[0] > 0 else 0
    if dimensions == 0:
        return points[:1]
    along = centred @ axes[:dimensions].T
    if dimensions == 1:
        return points[[along[:, 0].argmin(), along[:, 0].argmax()]]
    return points[ConvexHull(along).vertices]


def _check_any(points: Float[np.ndarray, "n 3"]) -> None:
    if len(points) == 0:
        raise InputError("an empty point set has no size.")
