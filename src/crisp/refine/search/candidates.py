"""Many poses of every object of a batch: compared, improved, and told apart by the network (ours).

A box fits its points in four poses, a can at any angle about its axis and upside down. Distances do not see
what is printed on them; the network does, so its coordinates decide between poses that fit alike. Which
poses are alike depends on what was seen: a mug whose handle is hidden has more of them than its shape has
symmetries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as default
from functools import cache

import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from crisp.documents import at_least
from crisp.refine.pose_step import PoseStep, Se3Step
from crisp.refine.problem import Kernel, Observation, State, Truncated, fewer_points, object_points, objective
from crisp.shape.sdf import SignedDistance

TURNS = 24
RESOLUTION_M = 1e-4  # two exact fits differ by rounding errors, of which no factor makes a preference


@cache
def cube_turns() -> Float[Tensor, "24 4 4"]:
    """The 24 turns that take a cube into itself, as poses, float64; the first is none."""
    turns = torch.eye(4, dtype=torch.float64).repeat(TURNS, 1, 1)
    turns[:, :3, :3] = torch.from_numpy(Rotation.create_group("O").as_matrix())
    first = turns.sub(torch.eye(4, dtype=torch.float64)).abs().sum((1, 2)).argsort(stable=True)
    return turns[first]


def behind_points(
    field: SignedDistance, observation: Observation, codes: Float[Tensor, "b s c"]
) -> Float[Tensor, "b s 3"]:
    """Where an object's origin may be, to judge by its measured points alone; metres, camera frame, float64.

    Behind the median of the valid points, by as much as the shape's surface is from its origin: what is seen
    is the side that faces the camera.
    """
    seen = observation.points_camera.double().masked_fill(~observation.valid[..., None], torch.nan)
    middle = seen.nanmedian(dim=1).values
    with torch.no_grad():
        origin = codes.new_zeros(codes.shape[0] * codes.shape[1], 1, 3)
        thick_m = field(origin, codes.flatten(0, 1)).abs().double().view(codes.shape[:2])
    ray = torch.nn.functional.normalize(middle, dim=-1)
    return middle[:, None] + thick_m[..., None] * ray[:, None]


def fits(
    field: SignedDistance,
    observation: Observation,
    T: Float[Tensor, "b j 4 4"],
    *,
    codes: Float[Tensor, "b j c"],
    kernel: Kernel,
) -> Float[Tensor, "b j"]:
    """Root of the objective of every candidate, metres, without gradient.

    Args:
        observation: of the B objects.
        T, codes: J poses for each, and the shapes that they are of.
    """
    each, state = _one_by_one(observation, T, codes)
    return _root(field, state, each, kernel=kernel).unflatten(0, T.shape[:2])


def improved(
    step: PoseStep,
    field: SignedDistance,
    observation: Observation,
    *,
    T: Float[Tensor, "b j 4 4"],
    codes: Float[Tensor, "b j c"],
    kernel: Kernel,
) -> tuple[Float[Tensor, "b j 4 4"], Float[Tensor, "b j"]]:
    """Every candidate after a pose step, and how it fits then; infinite where the step has no value."""
    each, begun = _one_by_one(observation, T, codes)
    found = step(field, each, begun)
    root = _root(field, found.state, each, kernel=kernel).where(found.objective.isfinite(), torch.inf)
    poses = found.state.T_camera_object.double()
    return poses.unflatten(0, T.shape[:2]), root.unflatten(0, T.shape[:2])


def _one_by_one(
    observation: Observation, T: Float[Tensor, "b j 4 4"], codes: Float[Tensor, "b j c"]
) -> tuple[Observation, State]:
    """Every candidate as an object of its own."""
    rows = torch.arange(len(T), device=T.device).repeat_interleave(T.shape[1])
    each, poses, shapes = observation.take(rows), T.flatten(0, 1), codes.flatten(0, 1)
    return each, State(object_points(poses, each).to(shapes), poses, shapes)


def _root(
    field: SignedDistance, state: State, observation: Observation, *, kernel: Kernel
) -> Float[Tensor, " b"]:
    with torch.no_grad():
        value = objective(field, state, observation, kernel=kernel)
    return (value + RESOLUTION_M**2).sqrt().double()


Extra = Callable[[Tensor], Tensor]
"""From poses (B, J, 4, 4) to metres (B, J)."""


@dataclass(frozen=True)
class Disambiguation:
    """The pose that was found, or another that fits as well and agrees better with the network's coordinates.

    The found pose, and the registered rotation at its translation, are tried in the 24 rotations of the cube.
    A pose costs the root of its objective plus `weight` times the mean distance of its object points from the
    network's coordinates, so that an orientation that fits clearly worse does not win. The best poses are
    improved and compared again.

    Args:
        weight: metres per metre.
        points: of each object, at most; evenly spaced.
        finalists: how many poses are improved.
        step: improves them.
        kernel: of the objective by which poses are compared.

    Raises:
        InputError: numbers out of range.
    """

    weight: float = 0.01
    points: int = 150
    finalists: int = 8
    step: PoseStep = default(default_factory=lambda: Se3Step(iterations=8, tolerance=1e-3))
    kernel: Kernel = default(default_factory=Truncated)

    def __post_init__(self) -> None:
        at_least(self, 0, "weight")
        at_least(self, 1, "points", "finalists")

    @property
    def tried(self) -> int:
        """Poses of each object."""
        return 2 * TURNS

    def __call__(
        self,
        field: SignedDistance,
        observation: Observation,
        found: State,
        *,
        T_registered: Float[Tensor, "b 4 4"],
        extra: Extra | None = None,
    ) -> Float[Tensor, "b 4 4"]:
        """The best pose of each object, float64; the found one where nothing can be compared.

        Args:
            observation: the measured points.
            found: pose and shape; its Z are the network's coordinates of these points.
            T_registered: the registration of those coordinates.
            extra: a further cost of the poses that are improved.
        """
        few, said = fewer_points(observation, found.pnc, self.points)
        own = found.T_camera_object.double()
        moved = T_registered.to(own).clone()
        moved[:, :3, 3] = own[:, :3, 3]
        T = (torch.stack([own, moved], dim=1)[:, :, None] @ cube_turns().to(own.device)).flatten(1, 2)
        codes = found.shape_code[:, None].expand(-1, T.shape[1], -1)
        cost = fits(field, few, T, codes=codes, kernel=self.kernel) + self.weight * _mean_distance(
            few, T, said
        )
        cost[:, 0] = -torch.inf  # what was found is among those that are improved
        best = cost.argsort(dim=1, stable=True)[:, : self.finalists]
        T, codes = T.take_along_dim(best[..., None, None], dim=1), codes[:, : best.shape[1]]
        T, cost = improved(self.step, field, few, T=T, codes=codes, kernel=self.kernel)
        cost = cost + self.weight * _mean_distance(few, T, said)
        if extra is not None:
            cost = cost + extra(T)
        return T[torch.arange(len(T), device=T.device), cost.argmin(dim=1)]


def _mean_distance(
    observation: Observation, T: Float[Tensor, "b j 4 4"], pnc: Float[Tensor, "b n 3"]
) -> Float[Tensor, "b j"]:
    """Of the points, seen from every pose, from the coordinates; metres."""
    rows = torch.arange(len(T), device=T.device).repeat_interleave(T.shape[1])
    each = observation.take(rows)
    distance = (object_points(T.flatten(0, 1), each) - pnc[rows]).norm(dim=-1)
    mean = torch.where(each.valid, distance, 0.0).sum(-1) / each.counts()
    return mean.view(T.shape[:2]).to(T)
