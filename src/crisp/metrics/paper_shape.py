"""The shape errors of the paper's tables (method.md, section 9): `crisp-shape`, `spe3r-l1`, `nocs-shape`.

All are between two sampled surfaces of one frame. None of them is what we trust most: that is `chamfer-mm`
(`metrics.shape`). They are here so that published rows have something of ours beside them.
"""

from __future__ import annotations

from crisp.geometry.points import diameter, nearest_distance
from crisp.metrics.shape import SurfaceSample

CRISP_SHAPE_POINTS = 5000
"""A side."""
ESTIMATE_POINTS, TRUTH_POINTS = 2500, 10_000
"""Of `spe3r-l1` and `nocs-shape`."""


def normalised_error(estimate: SurfaceSample, truth: SurfaceSample) -> float:
    """Protocol `crisp-shape`: e_shape, without a unit.

    Both clouds are divided by their own diameter, the exact one; then the mean distance from each true point
    to the nearest estimated one. One-sided: a surplus of surface costs nothing, nor does a wrong size.

    Raises:
        InputError: a cloud is empty.
    """
    ours = estimate.points / diameter(estimate.points)
    theirs = truth.points / diameter(truth.points)
    return float(nearest_distance(theirs, ours).mean())


def chamfer_l1(estimate: SurfaceSample, truth: SurfaceSample) -> float:
    """Protocol `spe3r-l1`: sum of the two directions' mean nearest distances in the L1 norm, metres.

    The L1 norm depends on the axes: e_shape takes those of the object frame, e_pose the camera's.
    """
    to_truth = nearest_distance(estimate.points, truth.tree, norm=1.0)
    to_estimate = nearest_distance(truth.points, estimate.tree, norm=1.0)
    return float(to_truth.mean() + to_estimate.mean())


def chamfer_squared(estimate: SurfaceSample, truth: SurfaceSample) -> float:
    """Protocol `nocs-shape`: sum of the two directions' mean squared nearest distances, square metres."""
    to_truth = nearest_distance(estimate.points, truth.tree)
    to_estimate = nearest_distance(truth.points, estimate.tree)
    return float((to_truth**2).mean() + (to_estimate**2).mean())
