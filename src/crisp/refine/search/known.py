"""Where the corrector starts, if it is to find out which known object this is, and how it is turned (ours).

A descent mends some centimetres and some twenty degrees, and a shape step that starts under a wrong pose ends
with a wrong shape. Where all objects are known, the measured points can say more: each of the known shapes
that are nearest to the network's code is put where the registration has it, in every turn of the cube's group
about the object frame's origin, which lies in its middle; a few steps improve each; the best goes on. Where
none of them suits, more of the known shapes are tried; where none of those, all once more at the place of the
measured points, as the registration of a wrong shape's coordinates may be centimetres off. Which way round a
box is that fits both ways, the network is asked.
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
from crisp.refine.free_space import DepthMap, grown, outside_mask
from crisp.refine.pose_step import PoseStep, Se3Step, solvable
from crisp.refine.problem import Kernel, Observation, ShapeBasis, State, Truncated
from crisp.refine.search.candidates import TURNS, behind_points, cube_turns, improved
from crisp.refine.search.disambiguate import WayRound
from crisp.shape.library import code_distances
from crisp.shape.sdf import SignedDistance
from crisp.shape.surface import SurfacePoints

POINTS_AT_ONCE = 2**17  # through the field, which remembers them all for the way back


@dataclass(frozen=True)
class KnownSearch:
    """The best of some known shapes in 24 turns each.

    Their cost is the root of the objective under `kernel`, in metres, plus `outside_m` times the share of the
    surface that the camera should have seen and that is not in the mask. For a shape whose code is x times
    as far from the network's as the nearest one's, the root counts 1 + doubt (x - 1) times, and `favour`
    times for the nearest shape as the registration turned it: points alone cannot tell a box from the same
    box turned by 180 degrees, nor see what is printed on it.

    Args:
        shapes: how many known shapes are tried.
        more_shapes: and how many if the best of those costs more than `content_m`.
        content_m: see above, metres.
        lost_m: if the best of all those costs more, they are tried with the origin not where the registration
            has it, but behind the median of the measured points; metres.
        elsewhere: how many times its cost counts what is found there; at least 1.
        glance, heat, final: improve all candidates of an object if they are many, those of the shortlist, and
            the best of these.
        glance_points, heat_points, points: at most so many of each object's, evenly spaced, in the three.
        shortlist, finalists: how many candidates come to the heat, and how many of these to the final.
        doubt: see above; 0 lets the points alone decide among the shapes.
        favour: factor of the registered candidate's root.
        kernel: by which candidates are compared. Points of the mask that are not on the object, as at its
            edges, must not decide between two shapes.
        coordinates_weight: what a metre of mean distance from the network's coordinates counts where the best
            shape fits more ways round than one, metres (`WayRound`); 0 leaves that out.
        outside_m: see above, metres. Points alone cannot tell the whole side of a brick from a piece of a
            greater one's. 0, or no depth map or masks, leaves it out.

    Raises:
        InputError: fewer points than a pose needs, or numbers that cannot be.
    """

    shapes: int = 3
    more_shapes: int = 32
    content_m: float = 0.002
    lost_m: float = 0.004
    elsewhere: float = 2.0
    glance: PoseStep = default(default_factory=lambda: Se3Step(iterations=2, tolerance=1e-2))
    heat: PoseStep = default(default_factory=lambda: Se3Step(iterations=4, tolerance=1e-2))
    final: PoseStep = default(default_factory=lambda: Se3Step(iterations=8, tolerance=1e-3))
    glance_points: int = 24
    heat_points: int = 64
    points: int = 150
    shortlist: int = 24
    finalists: int = 8
    doubt: float = 0.1
    favour: float = 0.9
    kernel: Kernel = default(default_factory=Truncated)
    outside_m: float = 0.02
    coordinates_weight: float = 0.01

    def __post_init__(self) -> None:
        at_least(self, MIN_POINTS, "glance_points", "heat_points", "points")
        at_least(self, 1, "shapes", "more_shapes", "shortlist", "finalists", "elsewhere")
        at_least(self, 0, "doubt", "outside_m", "content_m", "lost_m", "coordinates_weight")
        if not 0 < self.favour <= 1:
            raise InputError(f"favour must lie in (0, 1], got {self.favour}.")

    def __call__(
        self, field: SignedDistance, observation: Observation, start: State, *, basis: ShapeBasis
    ) -> State:
        """Poses and known codes for objects that can be solved; the others stay as they are."""
        able, _ = solvable(observation, start)
        rows = able.nonzero()[:, 0]
        if len(rows) == 0:
            return start
        task = self._task(field, observation.take(rows), start.take(rows), basis)
        found = self._search(task)
        T = self._meant(task, found) if self.coordinates_weight > 0 else found.T
        posed = replace(task.start, shape_code=basis.library[found.shape])
        return start.put(rows, posed.posed(T.to(start.T_camera_object), task.observation))

    def _task(
        self, field: SignedDistance, observation: Observation, start: State, basis: ShapeBasis
    ) -> _Task:
        """With what lies around the objects, where it is known and counts."""
        depth, masks, surface = observation.depth, observation.masks, basis.surface
        around = None
        if self.outside_m > 0 and depth is not None and masks is not None and surface is not None:
            around = _Around(surface, depth, grown(masks.to(observation.points_camera.device)))
        points = Observation(observation.points_camera, observation.valid)
        return _Task(field, points, start, basis.library, around)

    def _search(self, task: _Task) -> _Found:
        """The best candidate of each object; where it does not suit, more are tried, then all elsewhere."""
        found = self._best(task, ranks=range(self.shapes))
        known = max(self.shapes, min(self.more_shapes, len(task.library)))
        looks = (self.content_m, range(self.shapes, known), False), (self.lost_m, range(known), True)
        for enough_m, ranks, elsewhere in looks:
            unsure = (found.cost > enough_m).nonzero()[:, 0]
            if len(unsure) and ranks:
                better = self._best(task.take(unsure), ranks=ranks, elsewhere=elsewhere)
                found = found.or_better(better.priced(self.elsewhere if elsewhere else 1.0), unsure)
        return found

    def _best(self, task: _Task, *, ranks: range, elsewhere: bool = False) -> _Found:
        """The best candidate of each object among the shapes of these ranks, the nearest first.

        They are where the registration has the object, or `elsewhere`: where the measured points have it.
        """
        candidates = len(ranks) * TURNS
        _, points, _ = self._rounds(candidates)[0]
        parts = task.rows(points_each=candidates * points)
        return _Found.cat([self._best_of(task.take(some), ranks, elsewhere) for some in parts])

    def _best_of(self, task: _Task, ranks: range, elsewhere: bool) -> _Found:
        start, keeps = task.start, ranks.start == 0 and not elsewhere
        shape, price = self._shapes(start.shape_code, task.library, ranks=ranks)
        T = start.T_camera_object.double()[:, None].repeat(1, shape.shape[1], 1, 1)
        if elsewhere:
            T[..., :3, 3] = behind_points(task.field, task.observation, task.library[shape])
        T = (T[:, :, None] @ cube_turns().to(T.device)).flatten(1, 2)
        place = torch.arange(T.shape[1], device=T.device).expand(len(T), -1)
        price = price.repeat_interleave(TURNS, dim=1)
        if keeps:
            price[:, 0] *= self.favour
        for probe, points, kept in self._rounds(T.shape[1]):
            known = shape.gather(1, place // TURNS)
            T, root = self._probed(probe, points, task, T, known)
            cost = root * price.gather(1, place) + self._beside(task, T, known)
            # As the registration has it, it comes to the final whatever a glance says.
            order = cost.where((place != 0) | (kept == 1) | (not keeps), -torch.inf)
            order = order.argsort(dim=1, stable=True)[:, :kept]
            place, cost = place.gather(1, order), cost.gather(1, order)
            T = T.take_along_dim(order[..., None, None], dim=1)
        return _Found(T[:, 0], shape.gather(1, place // TURNS)[:, 0], cost[:, 0])

    def _meant(self, task: _Task, found: _Found) -> Float[Tensor, "b 4 4"]:
        """The poses that were found, or other ways round that the network's coordinates speak for."""
        choice = WayRound(self.coordinates_weight, self.points, self.finalists, self.final, self.kernel)
        parts = task.rows(points_each=choice.tried * self.points)
        return torch.cat([self._meant_of(task.take(some), found.take(some), choice) for some in parts])

    def _meant_of(self, task: _Task, found: _Found, choice: WayRound) -> Float[Tensor, "b 4 4"]:
        def beside(T: Float[Tensor, "b j 4 4"]) -> Float[Tensor, "b j"]:
            return self._beside(task, T, found.shape[:, None].expand(T.shape[:2]))

        state = State(task.start.pnc, found.T, task.library[found.shape])
        registered = task.start.T_camera_object
        return choice(task.field, task.observation, state, T_registered=registered, extra=beside)

    def _beside(
        self, task: _Task, T: Float[Tensor, "b j 4 4"], known: Int[Tensor, "b j"]
    ) -> Float[Tensor, "b j"]:
        """What lies beside the mask costs each candidate, metres; nothing where that is not known."""
        if task.around is None:
            return T.new_zeros(known.shape)
        return self.outside_m * task.around.outside(T, known)

    def _rounds(self, candidates: int) -> list[tuple[PoseStep, int, int]]:
        """What improves the candidates, on how many points, and how many of them go on."""
        rounds = [(self.heat, self.heat_points, self.finalists), (self.final, self.points, 1)]
        if candidates > self.shortlist:
            rounds.insert(0, (self.glance, self.glance_points, self.shortlist))
        return rounds

    def _shapes(
        self, codes: Float[Tensor, "b c"], library: Float[Tensor, "k c"], *, ranks: range
    ) -> tuple[Int[Tensor, "b s"], Float[Tensor, "b s"]]:
        """The known shapes of these ranks, and what the root of each is multiplied by."""
        distance, order = code_distances(codes, library).sort(dim=1)
        farther = distance / distance[:, :1].clamp(min=torch.finfo(distance.dtype).tiny)
        price = 1 + self.doubt * (farther.nan_to_num(1.0) - 1)
        return order[:, ranks.start : ranks.stop], price[:, ranks.start : ranks.stop]

    def _probed(
        self,
        probe: PoseStep,
        points: int,
        task: _Task,
        T: Float[Tensor, "b j 4 4"],
        known: Int[Tensor, "b j"],
    ) -> tuple[Float[Tensor, "b j 4 4"], Float[Tensor, "b j"]]:
        """Every candidate improved, and the root of its objective; infinite where it has none."""
        seen = task.observation
        few = Observation(*thinned(seen.points_camera, seen.valid, points))
        return improved(probe, task.field, few, T, task.library[known], kernel=self.kernel)


@dataclass(frozen=True, eq=False)
class _Around:
    """What lies around the objects.

    Args:
        surface: of all known shapes.
        inside: (B, H, W) the objects' masks, with a margin.
    """

    surface: SurfacePoints
    depth: DepthMap
    inside: Bool[Tensor, "b h w"]

    def take(self, index: Tensor) -> _Around:
        return replace(self, inside=self.inside[index])

    def outside(self, T: Float[Tensor, "b j 4 4"], known: Int[Tensor, "b j"]) -> Float[Tensor, "b j"]:
        """Share of each candidate's surface that should be in the mask and is not; 0 without evidence."""
        points, each = self.surface.take(known.flatten()), torch.arange(len(known), device=T.device)
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
    around: _Around | None

    def rows(self, *, points_each: int) -> tuple[Tensor, ...]:
        """All objects, in parts of which not too many points go through the field."""
        return torch.arange(len(self.start.shape_code)).split(max(1, POINTS_AT_ONCE // points_each))

    def take(self, index: Tensor) -> _Task:
        around = None if self.around is None else self.around.take(index)
        return _Task(self.field, self.observation.take(index), self.start.take(index), self.library, around)


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

    def priced(self, times: float) -> _Found:
        return replace(self, cost=times * self.cost)

    def or_better(self, other: _Found, index: Tensor) -> _Found:
        """These, and at `index` the other's where they cost less."""
        better = other.cost < self.cost[index]
        rows = index[better]
        return _Found(
            self.T.index_copy(0, rows, other.T[better]),
            self.shape.index_copy(0, rows, other.shape[better]),
            self.cost.index_copy(0, rows, other.cost[better]),
        )
