"""A pose step, a shape step and a start of one's own: all that is needed of each is in this file."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crisp.refine.free_space import SceneEvidence
from crisp.refine.pose_step import PoseStepResult
from crisp.refine.problem import Observation, ShapeBasis, SoftL1, State, objective
from crisp.refine.shape_step import ShapeFit, shape_objective
from crisp.shape.sdf import SignedDistance


@dataclass(frozen=True)
class SlideStep:
    """Tries translations along the optical axis, and keeps the best.

    Args:
        step_m: between two of them.
        tries: to either side.
    """

    step_m: float = 0.001
    tries: int = 20

    def __call__(self, field: SignedDistance, observation: Observation, state: State) -> PoseStepResult:
        best = state
        trace = [objective(field, state, observation, kernel=SoftL1())]
        for number in range(-self.tries, self.tries + 1):
            T = state.T_camera_object.clone()
            T[:, 2, 3] += number * self.step_m
            moved = state.posed(T, observation)
            value = objective(field, moved, observation, kernel=SoftL1())
            best = moved.where(value < trace[-1], best)
            trace.append(torch.minimum(value, trace[-1]))
        rounds = torch.full((len(trace[0]),), 2 * self.tries + 1)
        return PoseStepResult(best, trace[-1], rounds, torch.stack(trace, dim=1), ("",) * len(rounds))


@dataclass(frozen=True)
class NearestKnown:
    """Takes the known shape whose code is nearest to the network's."""

    def __call__(
        self,
        field: SignedDistance,
        pnc: Float[Tensor, "b n 3"],
        valid: Bool[Tensor, "b n"],
        *,
        basis: ShapeBasis,
        start: Float[Tensor, "b c"] | None = None,
    ) -> ShapeFit:
        nearest = torch.cdist(basis.network, basis.library).argmin(dim=1)
        code = basis.library[nearest]
        value = shape_objective(field, pnc, valid, code=code, kernel=SoftL1())
        return ShapeFit(code, torch.nn.functional.one_hot(nearest, len(basis.library)).to(pnc), value)


@dataclass(frozen=True)
class StartAtPoints:
    """Starts with the object's origin behind the mean of its measured points.

    Args:
        depth_m: how far behind.
    """

    depth_m: float = 0.0

    def __call__(
        self,
        field: SignedDistance,
        observation: Observation,
        start: State,
        *,
        basis: ShapeBasis,
        scene: SceneEvidence | None = None,
    ) -> State:
        valid = observation.valid[..., None]
        mean = torch.where(valid, observation.points_camera, 0.0).sum(1) / observation.counts()[:, None]
        T = start.T_camera_object.clone()
        T[:, :3, 3] = mean + torch.tensor([0.0, 0.0, self.depth_m])
        return replace(start, T_camera_object=T)
