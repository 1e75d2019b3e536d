"""A true model with the samples that the protocols take of it, and the errors against them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, cKDTree

from crisp.data.dataset import Dataset, Instance, KnownObject
from crisp.data.layout import BOP_CONVENTIONS, Conventions
from crisp.evaluate.metrics.bop_errors import symmetry_motions
from crisp.evaluate.metrics.pose import add_s, rotation_error_deg, translation_error_m
from crisp.evaluate.metrics.shape import (
    CHAMFER_POINTS,
    CRISP_SHAPE_POINTS,
    ESTIMATE_POINTS,
    ESTIMATE_STREAM,
    TRUTH_POINTS,
    TRUTH_STREAM,
    SurfaceSample,
    chamfer_l1,
    chamfer_squared,
    compare,
    normalised_error,
    sample_surface,
)
from crisp.evaluate.object_errors import L1Error, NormalisedError, PoseError, ShapeError, SquaredError
from crisp.evaluate.protocols import ADD_S_POINTS, F_SCORE_M, SEED
from crisp.types import Mesh

SQUARED_FACTOR = 1000.0
Measure = Callable[[SurfaceSample, SurfaceSample], float]


@dataclass(frozen=True, eq=False)
class TrueModel:
    """A model with its samples, each made when it is first needed and then kept for all instances."""

    model: KnownObject
    conventions: Conventions = BOP_CONVENTIONS
    _truths: dict[int, SurfaceSample] = field(default_factory=dict, repr=False)

    @cached_property
    def add_s_points(self) -> np.ndarray:
        return sample_surface(self.model.mesh, ADD_S_POINTS, seed=SEED)

    @cached_property
    def add_s_tree(self) -> cKDTree:
        return cKDTree(self.add_s_points)

    @cached_property
    def motions(self) -> Float[np.ndarray, "s 4 4"]:
        """Symmetric motions, as `bop` steps through them."""
        return symmetry_motions(self.model.symmetries)

    @cached_property
    def corners(self) -> Float[np.ndarray, "n 3"]:
        """Vertices of the convex hull."""
        return self.model.mesh.vertices[ConvexHull(self.model.mesh.vertices).vertices]

    @cached_property
    def unit_m(self) -> float:
        """Of the lengths in `spe3r-l1` and `nocs-shape`."""
        return self.conventions.unit_m(self.model)

    @cached_property
    def _again(self) -> SurfaceSample:
        """The true surface, sampled as an estimate's is."""
        return _estimate(self.model.mesh, ESTIMATE_POINTS)

    @cached_property
    def floor_m(self) -> float:
        return self._floor(_chamfer_m, CHAMFER_POINTS, CHAMFER_POINTS)

    @cached_property
    def normalised_floor(self) -> float:
        return self._floor(normalised_error, CRISP_SHAPE_POINTS, CRISP_SHAPE_POINTS)

    @cached_property
    def l1_floor(self) -> float:
        return self._floor(chamfer_l1, ESTIMATE_POINTS, TRUTH_POINTS) / self.unit_m

    @cached_property
    def squared_floor(self) -> float:
        return self._squared(self._floor(chamfer_squared, ESTIMATE_POINTS, TRUTH_POINTS))

    def pose_error(self, T: np.ndarray | None, T_true: np.ndarray) -> PoseError:
        """Protocol `add-s`."""
        if T is None:
            return PoseError(np.inf, np.inf, np.inf)
        return PoseError(
            add_s_m=add_s(self.add_s_points, T, T_true, tree=self.add_s_tree),
            rotation_deg=rotation_error_deg(T, T_true, self.model.symmetries),
            translation_m=translation_error_m(T, T_true, self.model.symmetries),
        )

    def shape_error(self, mesh: Mesh | None) -> ShapeError:
        """Protocol `chamfer-mm`."""
        if mesh is None:
            return ShapeError(np.inf, tuple(0.0 for _ in F_SCORE_M), self.floor_m)
        found = compare(_estimate(mesh, CHAMFER_POINTS), self._truth(CHAMFER_POINTS))
        return ShapeError(found.chamfer_m, tuple(found.f_score(t) for t in F_SCORE_M), self.floor_m)

    def normalised_error(self, mesh: Mesh | None) -> NormalisedError:
        """Protocol `crisp-shape`."""
        if mesh is None:
            return NormalisedError(np.inf, self.normalised_floor)
        estimate = _estimate(mesh, CRISP_SHAPE_POINTS)
        return NormalisedError(
            normalised_error(estimate, self._truth(CRISP_SHAPE_POINTS)), self.normalised_floor
        )

    def l1_error(self, T: np.ndarray | None, T_true: np.ndarray, mesh: Mesh | None) -> L1Error:
        """Protocol `spe3r-l1`: two shapes in the object frame; the true model in two poses."""
        truth, again = self._truth(TRUTH_POINTS), self._again
        placed = _moved(truth, T_true)  # the floor depends on the pose, as the L1 norm does on the axes
        pose_floor = chamfer_l1(_moved(again, T_true), placed) / self.unit_m
        e_pose = np.inf if T is None else chamfer_l1(_moved(again, T), placed) / self.unit_m
        e_shape = np.inf
        if mesh is not None:
            e_shape = chamfer_l1(_estimate(mesh, ESTIMATE_POINTS), truth) / self.unit_m
        return L1Error(e_shape, e_pose, self.l1_floor, pose_floor)

    def squared_error(self, mesh: Mesh | None) -> SquaredError:
        """Protocol `nocs-shape`."""
        if mesh is None:
            return SquaredError(np.inf, self.squared_floor)
        found = chamfer_squared(_estimate(mesh, ESTIMATE_POINTS), self._truth(TRUTH_POINTS))
        return SquaredError(self._squared(found), self.squared_floor)

    def _squared(self, squared_m2: float) -> float:
        return SQUARED_FACTOR * squared_m2 / self.unit_m**2

    def _truth(self, count: int) -> SurfaceSample:
        if count not in self._truths:
            points = sample_surface(self.model.mesh, count, seed=SEED, stream=TRUTH_STREAM)
            self._truths[count] = SurfaceSample(points)
        return self._truths[count]

    def _floor(self, measure: Measure, estimate_points: int, truth_points: int) -> float:
        """What the true mesh scores as an estimate: two samples of one mesh are not 0 apart."""
        return measure(_estimate(self.model.mesh, estimate_points), self._truth(truth_points))


class TrueModels:
    """The true models of a data set, each in its instances' own size."""

    def __init__(self, dataset: Dataset, conventions: Conventions = BOP_CONVENTIONS) -> None:
        self._dataset, self._conventions = dataset, conventions
        self._kept: dict[int, TrueModel] = {}

    def of(self, instance: Instance) -> TrueModel:
        """With samples that are made once; a size of one image's own is not met again, and not kept."""
        model = self._dataset.object(instance.object_id)
        if instance.scale != 1.0:
            return TrueModel(model.scaled(instance.scale), self._conventions)
        if instance.object_id not in self._kept:
            self._kept[instance.object_id] = TrueModel(model, self._conventions)
        return self._kept[instance.object_id]


def _chamfer_m(estimate: SurfaceSample, truth: SurfaceSample) -> float:
    return compare(estimate, truth).chamfer_m


def _estimate(mesh: Mesh, count: int) -> SurfaceSample:
    return SurfaceSample(sample_surface(mesh, count, seed=SEED, stream=ESTIMATE_STREAM))


def _moved(sample: SurfaceSample, T: Float[np.ndarray, "4 4"]) -> SurfaceSample:
    return SurfaceSample(sample.points @ T[:3, :3].T + T[:3, 3])
