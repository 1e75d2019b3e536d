"""Sampled surfaces of one frame and the distances between them (method.md, section 9). Metres.

Of the distances we trust `chamfer-mm` most. Those of the paper's tables are here so that published rows have
something of ours beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import trimesh
from jaxtyping import Float
from scipy.spatial import cKDTree

from crisp.errors import InputError
from crisp.geometry.points import diameter, nearest_distance
from crisp.types import Mesh

CHAMFER_POINTS = 10_000
ESTIMATE_POINTS, TRUTH_POINTS = 2500, 10_000
"""Of `spe3r-l1` and `nocs-shape`."""
ESTIMATE_STREAM, TRUTH_STREAM = 0, 1


def sample_surface(mesh: Mesh, count: int, *, seed: int = 0, stream: int = 0) -> Float[np.ndarray, "n 3"]:
    """Points uniform over the mesh's area; the same for the same arguments.

    Args:
        stream: independent samples of one seed; two meshes that are compared must not share random numbers.

    Raises:
        InputError: the mesh has no area, or count is not positive.
    """
    if count < 1:
        raise InputError(f"a surface sample needs at least one point, got {count}.")
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    if len(mesh.faces) == 0 or not 0 < surface.area < np.inf:
        raise InputError("the mesh has no area to sample: it needs at least one proper triangle.")
    # trimesh hands the seed to NumPy, which takes a pair as well as a number.
    sampled = trimesh.sample.sample_surface(surface, count, seed=np.random.default_rng((seed, stream)))
    return np.asarray(sampled[0], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class SurfaceSample:
    """Points of a surface with their search tree, built once however often they are compared."""

    points: Float[np.ndarray, "n 3"]

    @cached_property
    def tree(self) -> cKDTree:
        """Over the points."""
        return cKDTree(self.points)


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Nearest distances between two surfaces, both ways.

    Args:
        to_truth: (n,) from each estimated point to the true surface.
        to_estimate: (m,) from each true point to the estimated surface.
    """

    to_truth: Float[np.ndarray, " n"]
    to_estimate: Float[np.ndarray, " m"]

    @property
    def chamfer_m(self) -> float:
        """Average of the two directions' means (protocol `chamfer-mm`, in metres)."""
        return float(self.to_truth.mean() + self.to_estimate.mean()) / 2

    def f_score(self, threshold_m: float) -> float:
        """Harmonic mean of precision (estimated points near the truth) and recall (true points near)."""
        precision = float((self.to_truth < threshold_m).mean())
        recall = float((self.to_estimate < threshold_m).mean())
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def compare(estimate: SurfaceSample, truth: SurfaceSample) -> SurfaceDistances:
    """Nearest distances between two sampled surfaces of one frame."""
    return SurfaceDistances(
        to_truth=nearest_distance(estimate.points, truth.tree),
        to_estimate=nearest_distance(truth.points, estimate.tree),
    )


def chamfer(estimate: Mesh, truth: Mesh, *, count: int = CHAMFER_POINTS, seed: int = 0) -> SurfaceDistances:
    """Protocol `chamfer-mm`: both meshes in the object frame, `count` area-weighted samples a side."""
    return compare(
        SurfaceSample(sample_surface(estimate, count, seed=seed, stream=ESTIMATE_STREAM)),
        SurfaceSample(sample_surface(truth, count, seed=seed, stream=TRUTH_STREAM)),
    )


def sampling_floor(mesh: Mesh, *, count: int = CHAMFER_POINTS, seed: int = 0) -> SurfaceDistances:
    """What a perfect estimate scores: two samples of one mesh are not 0 apart."""
    return chamfer(mesh, mesh, count=count, seed=seed)


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
