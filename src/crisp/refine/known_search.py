"""Where the corrector starts, if it is to find out which known object this is, and how it is turned (ours).

A descent mends some centimetres and some twenty degrees, and a shape step that starts under a wrong pose ends
with a wrong shape. Where all objects are known, the measured points can say more: each of the known shapes
that are nearest to the network's code is put where the registration has it, in every turn of the cube's group
about the object frame's origin, which lies in its middle; a few steps improve each; the best goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from dataclasses import field as default
from functools import cache

import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation
from torch import Tensor

from crisp.errors import InputError
from crisp.geometry.align import MIN_POINTS
from crisp.geometry.subset import scoring_subset, take_points
from crisp.refine.free_space import DepthMap, free_space
from crisp.refine.pose_step import PoseStep, solvable
from crisp.refine.problem import Observation, ShapeBasis, State, object_points
from crisp.refine.se3_step import Se3Step
from crisp.shape.coarse import SurfacePoints
from crisp.shape.field import SignedDistance
from crisp.shape.library import code_distances

TURNS = 24


@dataclass(frozen=True)
class KnownSearch:
    """The best of some known shapes in 24 turns each.

    They are compared by the root of the probe's objective, in metres. A shape whose code is x times as far
    from the network's as the nearest one's must fit 1 + doubt (x - 1) times as well as that, and the nearest
    shape as the registration turned it is favoured by `favour`: points alone cannot tell a box from the same
    box turned by 180 degrees, nor see what is printed on it.

    Args:
        shapes: how many known shapes are tried.
        heat, final: improve all candidates, and the best of them.
        heat_points, points: at most so many of each object's, evenly spaced, in the two.
        finalists: how many candidates of the heat go on.
        doubt: see above; 0 lets the points alone decide among the shapes.
        favour: factor of the registered candidate's root.
        seen_through_m: times the share of the surface that the camera should have seen and did not (as the
            certificate counts it), metres, is added to the root. Points alone cannot tell the whole side of
            a brick from a piece of a greater one's. 0, or no depth map, leaves it out.

    Raises:
        InputError: fewer points than a pose needs, or numbers that cannot be.
    """

    shapes: int = 3
    heat: PoseStep = default(default_factory=lambda: Se3Step(iterations=4, tolerance=1e-2))
    final: PoseStep = default(default_factory=lambda: Se3Step(iterations=8, tolerance=1e-3))
    heat_points: int = 64
    points: int = 150
    finalists: int = 8
    doubt: float = 0.25
    favour: float = 0.9
    seen_through_m: float = 0.0

    def __post_init__(self) -> None:
        if min(self.heat_points, self.points) < MIN_POINTS:
            raise InputError(f"heat_points and points must be at least {MIN_POINTS}.")
        if self.shapes < 1 or self.finalists < 1:
            raise InputError("shapes and finalists of the search must be at least 1.")
        if not min(self.doubt, self.seen_through_m) >= 0 or not 0 < self.favour <= 1:
            raise InputError(
                "doubt and seen_through_m must not be negative and favour must lie in (0, 1], got "
                f"{self.doubt}, {self.seen_through_m} and {self.favour}."
            )

    def __call__(
        self, field: SignedDistance, observation: Observation, start: State, *, basis: ShapeBasis
    ) -> State:
        """Poses and known codes for objects that can be solved; the others stay as they are."""
        able, _ = solvable(observation, start)
        rows = able.nonzero()[:, 0]
        if len(rows) == 0:
            return start
        some, seen = start.take(rows), observation.take(rows)
        T, codes = self._best(field, seen, some, basis=basis)
        found = replace(some, shape_code=codes).posed(T.to(some.T_camera_object), seen)
        return start.put(rows, found)

    def _best(
        self, field: SignedDistance, observation: Observation, start: State, *, basis: ShapeBasis
    ) -> tuple[Float[Tensor, "b 4 4"], Float[Tensor, "b c"]]:
        """The pose and the known code of each object that fit best."""
        objects = len(start.shape_code)
        shape, price = self._shapes(start.shape_code, basis.library)
        turns = cube_turns().to(start.T_camera_object.device)
        T = (start.T_camera_object.double()[:, None] @ turns).repeat(1, shape.shape[1], 1, 1)
        place = torch.arange(T.shape[1], device=T.device).expand(objects, -1)
        price = price.repeat_interleave(TURNS, dim=1)
        price[:, 0] *= self.favour
        for probe, points, kept in (
            (self.heat, self.heat_points, self.finalists),
            (self.final, self.points, 1),
        ):
            known = shape.gather(1, place // TURNS)
            T, root = _probed(probe, field, _thinned(observation, points), T, basis.library[known])
            cost = root * price.gather(1, place)
            if self.seen_through_m > 0:
                share = _seen_through(T, known, observation.depth, basis.surface)
                cost = cost + self.seen_through_m * share
            order = cost.argsort(dim=1, stable=True)[:, :kept]
            place, T = place.gather(1, order), T.take_along_dim(order[..., None, None], dim=1)
        return T[:, 0], basis.library[shape.gather(1, place // TURNS)[:, 0]]

    def _shapes(
        self, codes: Float[Tensor, "b c"], library: Float[Tensor, "k c"]
    ) -> tuple[Int[Tensor, "b s"], Float[Tensor, "b s"]]:
        """The nearest known shapes, and what the root of each is multiplied by."""
        distance, order = code_distances(codes, library).sort(dim=1)
        distance, order = distance[:, : self.shapes], order[:, : self.shapes]
        farther = distance / distance[:, :1].clamp(min=torch.finfo(distance.dtype).tiny)
        return order, 1 + self.doubt * (farther.nan_to_num(1.0) - 1)


def _thinned(observation: Observation, points: int) -> Observation:
    index, counts = scoring_subset(observation.valid, points)
    return Observation(take_points(observation.points_camera, index, counts), counts)


def _seen_through(
    T: Float[Tensor, "b j 4 4"],
    shape: Int[Tensor, "b j"],
    depth: DepthMap | None,
    surface: SurfacePoints | None,
) -> Float[Tensor, "b j"]:
    """Share of each candidate's surface that the camera should have seen and did not; 0 without evidence."""
    if depth is None or surface is None:
        return T.new_zeros(shape.shape)
    points = surface.take(shape.flatten())
    found = free_space(points, T.flatten(0, 1).to(points.points_object), depth)
    return found.share.nan_to_num(0.0).to(T).view(shape.shape)


def _probed(
    probe: PoseStep,
    field: SignedDistance,
    few: Observation,
    T: Float[Tensor, "b j 4 4"],
    codes: Float[Tensor, "b j c"],
) -> tuple[Float[Tensor, "b j 4 4"], Float[Tensor, "b j"]]:
    """Every candidate improved, and the root of its objective; infinite where it has none."""
    objects, count = T.shape[:2]
    each = torch.arange(objects, device=T.device).repeat_interleave(count)
    seen, flat = few.take(each), T.flatten(0, 1)
    begun = State(object_points(flat, seen).to(codes), flat, codes.flatten(0, 1))
    found = probe(field, seen, begun)
    root = torch.where(found.objective.isfinite(), found.objective, torch.inf).sqrt()
    poses = found.state.T_camera_object.double()
    return poses.unflatten(0, (objects, count)), root.double().unflatten(0, (objects, count))


@cache
def cube_turns() -> Float[Tensor, "24 4 4"]:
    """The 24 turns that take a cube into itself, as poses, float64; the first is none."""
    turns = torch.eye(4, dtype=torch.float64).repeat(TURNS, 1, 1)
    turns[:, :3, :3] = torch.from_numpy(Rotation.create_group("O").as_matrix())
    first = turns.sub(torch.eye(4, dtype=torch.float64)).abs().sum((1, 2)).argsort(stable=True)
    return turns[first]
