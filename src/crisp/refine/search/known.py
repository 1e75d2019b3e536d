"""Search among the known shapes for the corrector's start: which object it is and how it is turned (ours).

A descent corrects a few centimetres and some twenty degrees, and a shape step that starts from a wrong pose
ends with a wrong shape. Where all objects are known, the measured points can tell more. The known shapes
nearest to the network's code are placed at the registered pose, in each of the 24 rotations of the cube about
the object frame's origin, which lies in the middle of the object. A few pose steps improve each candidate,
coarse to fine, and the best one is kept. If it fits badly, more of the known shapes are tried; if it still
does, all of them are tried at the place of the measured points, since the registration of a wrong shape's
coordinates may be centimetres off. Where a shape fits in several orientations, the network's coordinates
decide (`disambiguate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from dataclasses import field as default

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from crisp.documents import at_least
from crisp.errors import InputError
from crisp.geometry.align import MIN_POINTS
from crisp.geometry.points import thinned
from crisp.refine.free_space import DepthMap, SceneEvidence, grown, outside_mask
from crisp.refine.pose_step import PoseStep, Se3Step, solvable
from crisp.refine.problem import Kernel, Observation, ShapeBasis, State, Truncated
from crisp.refine.search.candidates import TURNS, Disambiguation, behind_points, cube_turns, improved
from crisp.shape.library import code_distances
from crisp.shape.sdf import SignedDistance
from crisp.shape.surface import SurfacePoints

POINTS_AT_ONCE = 2**17  # through the field, which remembers them all for the way back


RENAMED: dict[str, str] = {
    "more_shapes": "max_shapes",
    "content_m": "accept_m",
    "lost_m": "relocate_m",
    "elsewhere": "relocated_factor",
    "glance": "coarse",
    "heat": "medium",
    "final": "fine",
    "glance_points": "coarse_points",
    "heat_points": "medium_points",
    "points": "fine_points",
    "shortlist": "medium_candidates",
    "finalists": "fine_candidates",
    "doubt": "code_prior",
    "favour": "registered_prior",
    "outside_m": "outside_mask_m",
}
"""Keys of `KnownSearch` that older recipes may have, and what they are called now."""


@dataclass(frozen=True)
class KnownSearch:
    """The best of the known shapes, each in 24 rotations.

    A candidate costs the root of its objective under `kernel`, in metres, plus `outside_mask_m` times the
    share of its visible surface that lies outside the object's mask. The root counts
    1 + code_prior (x - 1) times for a shape whose code is x times as far from the network's code as the
    nearest one, and `registered_prior` times for the nearest shape at the registered pose: points alone can
    neither tell a box from the same box turned by 180 degrees, nor see what is printed on it.

    Args:
        shapes: how many known shapes are tried first.
        max_shapes: how many in all, if the best of the first costs more than `accept_m`.
        accept_m: metres.
        relocate_m: if the best still costs more, all are tried again with the object's origin not where the
            registration has it, but behind the median of the measured points; metres.
        relocated_factor: multiplies the cost of candidates found there; at least 1.
        coarse, medium, fine: pose steps that improve the candidates, in this order; each keeps the best. The
            coarse one is left out where there are at most `medium_candidates`.
        coarse_points, medium_points, fine_points: at most so many points of each object, evenly spaced.
        medium_candidates, fine_candidates: how many candidates of each object reach those steps.
        code_prior: see above; with 0 the points alone decide between shapes.
        registered_prior: see above, in (0, 1].
        kernel: compares candidates. Points in the mask that are not on the object, as at its edges, must not
            decide between two shapes.
        outside_mask_m: see above, metres. Points alone cannot tell the whole side of a brick from a part of a
            larger one's. 0, or no scene, leaves it out.
        coordinates_weight: metres per metre of mean distance from the network's coordinates, where the best
            shape fits in several orientations (`Disambiguation`); 0 leaves that out.

    Raises:
        InputError: fewer points than a pose needs, or numbers out of range.
    """

    shapes: int = 3
    max_shapes: int = 32
    accept_m: float = 0.002
    relocate_m: float = 0.004
    relocated_factor: float = 2.0
    coarse: PoseStep = default(default_factory=lambda: Se3Step(iterations=2, tolerance=1e-2))
    medium: PoseStep = default(default_factory=lambda: Se3Step(iterations=4, tolerance=1e-2))
    fine: PoseStep = default(default_factory=lambda: Se3Step(iterations=8, tolerance=1e-3))
    coarse_points: int = 24
    medium_points: int = 64
    fine_points: int = 150
    medium_candidates: int = 24
    fine_candidates: int = 8
    code_prior: float = 0.1
    registered_prior: float = 0.9
    kernel: Kernel = default(default_factory=Truncated)
    outside_mask_m: float = 0.02
    coordinates_weight: float = 0.01

    def __post_init__(self) -> None:
        at_least(self, MIN_POINTS, "coarse_points", "medium_points", "fine_points")
        at_least(self, 1, "shapes", "max_shapes", "medium_candidates", "fine_candidates", "relocated_factor")
        at_least(self, 0, "code_prior", "outside_mask_m", "accept_m", "relocate_m", "coordinates_weight")
        if not 0 < self.registered_prior <= 1:
            raise InputError(f"registered_prior must lie in (0, 1], got {self.registered_prior}.")

    def __call__(
        self,
        field: SignedDistance,
        observation: Observation,
        start: State,
        *,
        basis: ShapeBasis,
        scene: SceneEvidence | None = None,
    ) -> State:
        """Poses and known codes for objects that can be solved; the others stay as they are."""
        able, _ = solvable(observation, start)
        rows = able.nonzero()[:, 0]
        if len(rows) == 0:
            return start
        outside = self._outside_mask(scene, rows)
        task = _Task(field, observation.take(rows), start.take(rows), basis.library, outside)
        found = self._search(task)
        T = self._disambiguated(task, found) if self.coordinates_weight > 0 else found.T
        posed = replace(task.start, shape_code=basis.library[found.shape])
        return start.put(rows, posed.posed(T.to(start.T_camera_object), task.observation))

    def _outside_mask(self, scene: SceneEvidence | None, rows: Tensor) -> _OutsideMask | None:
        """For the objects at `rows`, where the scene is known and counts."""
        if scene is None or scene.surfaces is None or self.outside_mask_m == 0:
            return None
        masks = scene.take(rows).masks.to(rows.device)
        return _OutsideMask(scene.surfaces, scene.depth, grown(masks))

    def _search(self, task: _Task) -> _Found:
        """The best candidate of each object; where it fits badly, more are tried, then all relocated."""
        found = self._best(task, ranks=range(self.shapes))
        known = max(self.shapes, min(self.max_shapes, len(task.library)))
        passes = (self.accept_m, range(self.shapes, known), False), (self.relocate_m, range(known), True)
        for enough_m, ranks, relocated in passes:
            unsure = (found.cost > enough_m).nonzero()[:, 0]
            if len(unsure) and ranks:
                better = self._best(task.take(unsure), ranks=ranks, relocated=relocated)
                found = found.or_better(better.times(self.relocated_factor if relocated else 1.0), unsure)
        return found

    def _best(self, task: _Task, *, ranks: range, relocated: bool = False) -> _Found:
        """The best candidate of each object among the shapes of these ranks, the nearest first.

        Their origins are the registered ones or, `relocated`, those that the measured points suggest.
        """
        candidates = len(ranks) * TURNS
        _, points, _ = self._levels(candidates)[0]
        parts = task.rows(points_each=candidates * points)
        return _Found.cat([self._best_of(task.take(some), ranks, relocated) for some in parts])

    def _best_of(self, task: _Task, ranks: range, relocated: bool) -> _Found:
        start, has_registered = task.start, ranks.start == 0 and not relocated
        shape, factor = self._shapes(start.shape_code, task.library, ranks=ranks)
        T = start.T_camera_object.double()[:, None].repeat(1, shape.shape[1], 1, 1)
        if relocated:
            T[..., :3, 3] = behind_points(task.field, task.observation, task.library[shape])
        T = (T[:, :, None] @ cube_turns().to(T.device)).flatten(1, 2)
        place = torch.arange(T.shape[1], device=T.device).expand(len(T), -1)
        factor = factor.repeat_interleave(TURNS, dim=1)
        if has_registered:
            factor[:, 0] *= self.registered_prior
        for step, points, kept in self._levels(T.shape[1]):
            known = shape.gather(1, place // TURNS)
            few = Observation(*thinned(task.observation.points_camera, task.observation.valid, points))
            T, root = improved(step, task.field, few, T=T, codes=task.library[known], kernel=self.kernel)
            cost = root * factor.gather(1, place) + self._outside_cost(task, T, known)
            # The registered candidate reaches the fine step whatever the coarser ones say of it.
            order = cost.where((place != 0) | (kept == 1) | (not has_registered), -torch.inf)
            order = order.argsort(dim=1, stable=True)[:, :kept]
            place, cost = place.gather(1, order), cost.gather(1, order)
            T = T.take_along_dim(order[..., None, None], dim=1)
        return _Found(T[:, 0], shape.gather(1, place // TURNS)[:, 0], cost[:, 0])

    def _disambiguated(self, task: _Task, found: _Found) -> Float[Tensor, "b 4 4"]:
        """The poses found, or others of equal fit that agree better with the network's coordinates."""
        choice = Disambiguation(
            self.coordinates_weight,
            points=self.fine_points,
            finalists=self.fine_candidates,
            step=self.fine,
            kernel=self.kernel,
        )
        parts = task.rows(points_each=choice.tried * self.fine_points)
        return torch.cat([self._chosen(task.take(some), found.take(some), choice) for some in parts])

    def _chosen(self, task: _Task, found: _Found, choice: Disambiguation) -> Float[Tensor, "b 4 4"]:
        def outside_cost(T: Float[Tensor, "b j 4 4"]) -> Float[Tensor, "b j"]:
            return self._outside_cost(task, T, found.shape[:, None].expand(T.shape[:2]))

        state = State(task.start.pnc, found.T, task.library[found.shape])
        registered = task.start.T_camera_object
        return choice(task.field, task.observation, state, T_registered=registered, extra=outside_cost)

    def _outside_cost(
        self, task: _Task, T: Float[Tensor, "b j 4 4"], known: Int[Tensor, "b j"]
    ) -> Float[Tensor, "b j"]:
        """What surface outside the mask costs each candidate, metres; nothing where that is not known."""
        if task.outside is None:
            return T.new_zeros(known.shape)
        return self.outside_mask_m * task.outside.share(T, known)

    def _levels(self, candidates: int) -> list[tuple[PoseStep, int, int]]:
        """The steps for so many candidates, each with its points and how many candidates it keeps."""
        levels = [(self.medium, self.medium_points, self.fine_candidates), (self.fine, self.fine_points, 1)]
        if candidates > self.medium_candidates:
            levels.insert(0, (self.coarse, self.coarse_points, self.medium_candidates))
        return levels

    def _shapes(
        self, codes: Float[Tensor, "b c"], library: Float[Tensor, "k c"], *, ranks: range
    ) -> tuple[Int[Tensor, "b s"], Float[Tensor, "b s"]]:
        """The known shapes of these ranks, and the factor of each one's root."""
        distance, order = code_distances(codes, library).sort(dim=1)
        farther = distance / distance[:, :1].clamp(min=torch.finfo(distance.dtype).tiny)
        factor = 1 + self.code_prior * (farther.nan_to_num(1.0) - 1)
        return order[:, ranks.start : ranks.stop], factor[:, ranks.start : ranks.stop]


@dataclass(frozen=True, eq=False)
class _OutsideMask:
    """Measures how much of a candidate's visible surface lies outside its object's mask.

    Args:
        surfaces: of all known shapes.
        inside: (B, H, W) the objects' masks, with a margin.
    """

    surfaces: SurfacePoints
    depth: DepthMap
    inside: Bool[Tensor, "b h w"]

    def take(self, index: Tensor) -> _OutsideMask:
        return replace(self, inside=self.inside[index])

    def share(self, T: Float[Tensor, "b j 4 4"], known: Int[Tensor, "b j"]) -> Float[Tensor, "b j"]:
        """Of each candidate's surface that should be in the mask, what is not; 0 without evidence."""
        points, each = self.surfaces.take(known.flatten()), torch.arange(len(known), device=T.device)
        share = outside_mask(
            points,
            T.flatten(0, 1).to(points.points_object),
            self.depth,
            inside=self.inside,
            of=each.repeat_interleave(known.shape[1]),
        )
        return share.nan_to_num(0.0).to(T).view(known.shape)


@dataclass(frozen=True, eq=False)
class _Task:
    field: SignedDistance
    observation: Observation
    start: State
    library: Float[Tensor, "k c"]
    outside: _OutsideMask | None

    def rows(self, *, points_each: int) -> tuple[Tensor, ...]:
        """All objects, in parts of which not too many points go through the field."""
        return torch.arange(len(self.start.shape_code)).split(max(1, POINTS_AT_ONCE // points_each))

    def take(self, index: Tensor) -> _Task:
        outside = None if self.outside is None else self.outside.take(index)
        return _Task(self.field, self.observation.take(index), self.start.take(index), self.library, outside)


@dataclass(frozen=True, eq=False)
class _Found:
    """The best candidate of each object: pose, which known shape, and its cost in metres."""

    T: Float[Tensor, "b 4 4"]
    shape: Int[Tensor, " b"]
    cost: Float[Tensor, " b"]

    @classmethod
    def cat(cls, parts: Sequence[_Found]) -> _Found:
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in ("T", "shape", "cost")))

    def take(self, index: Tensor) -> _Found:
        return _Found(self.T[index], self.shape[index], self.cost[index])

    def times(self, factor: float) -> _Found:
        return replace(self, cost=factor * self.cost)

    def or_better(self, other: _Found, index: Tensor) -> _Found:
        """These, and at `index` the other's where they cost less."""
        better = other.cost < self.cost[index]
        rows = index[better]
        return _Found(
            self.T.index_copy(0, rows, other.T[better]),
            self.shape.index_copy(0, rows, other.shape[better]),
            self.cost.index_copy(0, rows, other.cost[better]),
        )
