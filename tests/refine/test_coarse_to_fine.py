"""Most of the way on a few points ends where the whole way on all of them does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from crisp.errors import InputError
from crisp.geometry import pose
from crisp.refine.pose_step import CoarseToFine, PoseStepResult, Se3Step
from crisp.refine.problem import Observation, SoftL1, State, object_points, objective
from crisp.shape.sdf import AnalyticEllipsoid, SignedDistance

FIELD = AnalyticEllipsoid()
CODES = torch.tensor([[0.05, 0.03, 0.02], [0.03, 0.06, 0.04]])
POSE = pose.exp(torch.tensor([0.02, -0.03, 0.6, 0.4, -0.7, 0.3], dtype=torch.float64))


def problem(count: int = 900) -> tuple[Observation, State]:
    """Two ellipsoids, 3 mm and 4 degrees off; the second is measured at a third of the points."""
    generator = torch.Generator().manual_seed(3)
    direction = torch.nn.functional.normalize(torch.randn(2, count, 3, generator=generator), dim=-1)
    x = pose.apply(POSE.float().expand(2, 4, 4), direction * CODES[:, None])
    valid = torch.ones(2, count, dtype=torch.bool)
    valid[1, count // 3 :] = False
    observation = Observation(x, valid)
    T = POSE @ pose.exp(torch.tensor([0.003, -0.001, 0.002, 0.05, -0.04, 0.03], dtype=torch.float64))
    T = T.expand(2, 4, 4).clone()
    return observation, State(object_points(T, observation), T, CODES)


def test_it_ends_where_all_points_lead() -> None:
    observation, start = problem()
    found = CoarseToFine(points=100)(FIELD, observation, start)
    whole = Se3Step(iterations=30)(FIELD, observation, start)
    assert torch.allclose(found.state.T_camera_object, whole.state.T_camera_object, atol=2e-5)
    assert torch.allclose(
        found.objective, objective(FIELD, found.state, observation, kernel=SoftL1()), rtol=1e-4
    )
    z = object_points(found.state.T_camera_object, observation)
    assert torch.allclose(found.state.pnc[observation.valid], z[observation.valid], atol=1e-6)


@dataclass
class Counts:
    """Notes how many points it was given, and leaves everything as it is."""

    seen: list[int]

    def __call__(self, field: SignedDistance, observation: Observation, state: State) -> PoseStepResult:
        self.seen.extend(observation.valid.sum(-1).tolist())
        nothing = torch.zeros(len(state.shape_code))
        return PoseStepResult(state, nothing, nothing.long() + 1, nothing[:, None], ("",) * len(nothing))


def test_the_first_part_sees_few_points_and_the_second_all() -> None:
    observation, start = problem()
    step = Counts([])
    found = CoarseToFine(step, step, points=400)(FIELD, observation, start)
    assert step.seen == [400, 300, 900, 300]  # of 300 points there are not 400
    assert found.iterations.tolist() == [2, 2]


def test_what_cannot_be_solved_says_so() -> None:
    observation, start = problem()
    valid = observation.valid.clone()
    valid[0, 3:] = False
    found = CoarseToFine()(FIELD, Observation(observation.points_camera, valid), start)
    assert "four points" in found.reasons[0] and found.reasons[1] == ""
    assert torch.equal(found.state.T_camera_object[0], start.T_camera_object[0])
    with pytest.raises(InputError, match="at least 4"):
        CoarseToFine(points=3)
