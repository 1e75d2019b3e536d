"""Where a shape fits in several orientations, the network's coordinates decide between them (ours).

A box fits its points in four poses, a can at any angle about its axis and upside down. What is printed on
them decides: distances do not see it, the network does. Which poses are equivalent depends on what was seen:
a mug whose handle is hidden has more of them than its shape has symmetries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as default

import torch
from jaxtyping import Float
from torch import Tensor

from crisp.documents import at_least
from crisp.refine.pose_step import PoseStep, Se3Step
from crisp.refine.problem import Kernel, Observation, State, Truncated, fewer_points, object_points
from crisp.refine.search.candidates import TURNS, cube_turns, fits, improved
from crisp.shape.sdf import SignedDistance

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
