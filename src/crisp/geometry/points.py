"""Distances within and between point sets (NumPy, float64, metres); subsets of padded batches (PyTorch)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import ConvexHull, cKDTree
from scipy.spatial.distance import cdist
from torch import Tensor

from crisp.errors import InputError

FLAT = 1e-9  # a spread below this share of the largest one counts as none
PAIRWISE_ROWS = 1024


def nearest_distance(
    query: Float[np.ndarray, "n 3"], reference: Float[np.ndarray, "m 3"] | cKDTree, *, norm: float = 2.0
) -> Float[np.ndarray, " n"]:
    """Distance of each query point to the nearest reference point.

    Args:
        reference: points, or a tree of them (build it once for several queries).
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
    """Vertices of the convex hull. A flat set has no 3D hull: its hull is taken within its plane or line."""
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


def valid_first(valid: Bool[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """Indices that put each object's valid points first, in their order, then the invalid ones."""
    return (~valid).to(torch.uint8).argsort(dim=-1, stable=True)


def gather_points(points: Float[Tensor, "b n 3"], index: Int[Tensor, "b ..."]) -> Float[Tensor, "b ... 3"]:
    """The points at the indices."""
    flat = index.flatten(1).unsqueeze(-1).expand(-1, -1, 3)
    return points.gather(1, flat).unflatten(1, tuple(index.shape[1:]))


def scoring_subset(valid: Bool[Tensor, "b n"], size: int) -> tuple[Int[Tensor, "b m"], Bool[Tensor, "b m"]]:
    """At most `size` points per object, evenly spaced among its valid ones: indices, and which are valid."""
    wanted = min(size, valid.shape[1])
    count = valid.sum(-1, keepdim=True)
    used = count.clamp(max=wanted)
    k = torch.arange(wanted, device=valid.device).expand(len(valid), -1)
    counts = k < used
    rank = torch.where(counts, (k * count) // used.clamp(min=1), 0)
    return valid_first(valid).gather(1, rank), counts


def take_points(
    points: Float[Tensor, "b n 3"], index: Int[Tensor, "b m"], counts: Bool[Tensor, "b m"]
) -> Float[Tensor, "b m 3"]:
    """The points of a `scoring_subset`; zero where an index is not valid."""
    return torch.where(counts.unsqueeze(-1), gather_points(points, index), 0.0)


def thinned(
    points: Float[Tensor, "b n 3"], valid: Bool[Tensor, "b n"], most: int
) -> tuple[Float[Tensor, "b m 3"], Bool[Tensor, "b m"]]:
    """At most `most` valid points per object, evenly spaced among them, and which of them are valid."""
    index, counts = scoring_subset(valid, most)
    return take_points(points, index, counts), counts
