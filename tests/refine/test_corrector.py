"""The corrector only ever improves an answer, ends where pose and shape are right, and says how it ended."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from crisp.errors import InputError
from crisp.geometry import pose
from crisp.refine.corrector import Correction, Corrector
from crisp.refine.pose_step import PoseStepResult, Se3Step
from crisp.refine.problem import (
    Observation,
    PooledPoints,
    ShapeBasis,
    Squares,
    State,
    object_points,
    objective,
)
from crisp.refine.shape_step import ActiveShape, HullDescent, ShapeFit
from crisp.refine.z_step import ZGradientStep
from crisp.shape.sdf import AnalyticBox

FIELD = AnalyticBox()
HALVES = torch.tensor([[0.03, 0.04, 0.05], [0.05, 0.04, 0.03], [0.04, 0.04, 0.07]])
TRUE = torch.tensor([0.04, 0.04, 0.04])  # half of the first and half of the second
POSE = pose.exp(torch.tensor([0.02, -0.03, 0.6, 0.4, -0.7, 0.3], dtype=torch.float64))


def surface(half: Tensor, count: int, seed: int, *, sides: int = 1) -> Tensor:
    """Points on the three faces x, y, z = +half; with two sides on all six."""
    generator = torch.Generator().manual_seed(seed)
    points = (2 * torch.rand(count, 3, generator=generator) - 1) * half
    face, sign = torch.arange(count) % 3, 1 - 2 * (torch.arange(count) // 3 % sides)
    points[torch.arange(count), face] = sign * half[face]
    return points


def off_by(xi: list[float]) -> Tensor:
    return POSE @ pose.exp(torch.tensor(xi, dtype=torch.float64))


def problem(
    codes: Tensor, *, offsets: Tensor | None = None, count: int = 300, sides: int = 1
) -> tuple[Observation, State]:
    """Boxes of the true size, seen under POSE, answered with `codes` and poses that are a little off."""
    B = len(codes)
    z = surface(TRUE, count, seed=0, sides=sides).expand(B, -1, -1)
    x = pose.apply(POSE.float().expand(B, 4, 4), z)
    observation = Observation(x, torch.ones(B, count, dtype=torch.bool))
    T = torch.stack([off_by([0.004, -0.003, 0.002, 0.05, -0.04, 0.03])] * B) if offsets is None else offsets
    return observation, State(object_points(T.float(), observation), T, codes)


def basis(network: Tensor) -> ShapeBasis:
    return ShapeBasis(HALVES, 2 * HALVES.norm(dim=-1), network)


def run(corrector: Corrector, observation: Observation, start: State, **more: object) -> Correction:
    return corrector(FIELD, observation, start, basis=basis(start.shape_code), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape_step", [HullDescent(), ActiveShape()], ids=["bcd", "lsq"])
@pytest.mark.parametrize("pose_step", [Se3Step(), ZGradientStep()], ids=["se3", "z"])
def test_pose_and_shape_come_right(pose_step: object, shape_step: object) -> None:
    """The truth is half of two known boxes; the network said a third one, the pose is 5 mm and 4 deg off."""
    observation, start = problem(HALVES[2:])
    found = run(Corrector(pose_step, shape_step, rounds=8, tolerance=0.0), observation, start)  # type: ignore[arg-type]
    assert found.objective[0] < 0.02 * found.objective_start[0]
    assert float(found.objective[0]) ** 0.5 < 6e-4
    # Only faces +x, +y, +z are seen: of shape and place, their sum is what the points tell.
    T = found.state.T_camera_object[0]
    corner = pose.apply(T, found.state.shape_code.double())[0]
    assert (corner - pose.apply(POSE, TRUE.double()[None])[0]).norm() < 2e-3


def test_the_pose_alone_where_no_shape_step_is_given() -> None:
    observation, start = problem(TRUE[None])
    found = run(Corrector(Se3Step(iterations=20)), observation, start)
    assert torch.equal(found.state.shape_code, start.shape_code)
    assert torch.allclose(found.state.T_camera_object[0], POSE, atol=1e-5)
    assert found.weights is None and found.gram is None and found.status == ("converged",)


@dataclass(frozen=True)
class Spoils:
    """A shape step that proposes worse and worse shapes."""

    def __call__(
        self, field: object, pnc: Tensor, valid: Tensor, *, basis: ShapeBasis, start: Tensor | None = None
    ) -> ShapeFit:
        worse = 3 * basis.network
        return ShapeFit(worse, torch.ones(len(pnc), 1), torch.full((len(pnc),), 1.0))


def test_the_best_answer_is_returned_not_the_last_and_is_a_copy() -> None:
    observation, start = problem(TRUE[None], sides=2)
    alone = run(Corrector(Se3Step(), rounds=1), observation, start)
    before = start.shape_code.clone(), start.T_camera_object.clone()
    spoiled = run(Corrector(Se3Step(), Spoils(), rounds=3), observation, start)
    assert torch.equal(spoiled.state.shape_code, TRUE[None])
    assert spoiled.objective[0] <= alone.objective[0]
    assert torch.equal(start.shape_code, before[0]) and torch.equal(start.T_camera_object, before[1])
    # What is said of the answer is true of it.
    value = objective(FIELD, spoiled.state, observation, kernel=Corrector(Se3Step()).kernel)
    assert torch.allclose(value, spoiled.objective)


@dataclass(frozen=True)
class Wanders:
    """A pose step that moves each object away."""

    def __call__(self, field: object, observation: Observation, state: State) -> PoseStepResult:
        T = state.T_camera_object @ pose.exp(torch.tensor([0.02, 0, 0, 0, 0, 0], dtype=torch.float64))
        nothing = torch.zeros(len(T))
        moved = state.posed(T.to(state.pnc), observation)
        return PoseStepResult(
            replace(moved, T_camera_object=T), nothing, nothing.long(), nothing[:, None], ("",) * len(T)
        )


def test_an_answer_that_no_step_improves_stays_to_the_bit() -> None:
    observation, start = problem(TRUE[None], offsets=POSE[None])
    found = run(Corrector(Wanders(), rounds=2), observation, start)
    assert torch.equal(found.state.T_camera_object, start.T_camera_object)
    assert found.status == ("unimproved",) and "stays as it was" in found.reasons[0]
    assert found.objective[0] == found.objective_start[0]


def test_objects_do_not_touch_one_another() -> None:
    """A batch of a good object, one with NaN and one with three points gives the good one's own answer."""
    observation, start = problem(HALVES)
    points, valid = observation.points_camera.clone(), observation.valid.clone()
    points[1, 5] = torch.nan
    valid[2, 3:] = False
    plan = Corrector(Se3Step(), ActiveShape())
    batch = run(plan, Observation(points, valid), start)
    single = run(plan, observation.take(torch.tensor([0])), start.take(torch.tensor([0])))
    assert torch.allclose(batch.state.T_camera_object[0], single.state.T_camera_object[0], atol=1e-6)
    assert torch.allclose(batch.objective[0], single.objective[0], rtol=1e-4)
    assert batch.status[1:] == ("unsolvable", "unsolvable")
    assert "finite" in batch.reasons[1] and "four points" in batch.reasons[2]
    for row in (1, 2):
        assert torch.equal(batch.state.T_camera_object[row], start.T_camera_object[row])
        assert torch.equal(batch.state.shape_code[row], start.shape_code[row])


def test_padding_changes_nothing() -> None:
    observation, start = problem(HALVES[2:])
    more = torch.full((1, 50, 3), 7.0)
    padded = Observation(
        torch.cat([observation.points_camera, more], dim=1),
        torch.cat([observation.valid, torch.zeros(1, 50, dtype=torch.bool)], dim=1),
    )
    wide = replace(start, pnc=torch.cat([start.pnc, more], dim=1))
    plan = Corrector(Se3Step(), ActiveShape())
    found, expected = run(plan, padded, wide), run(plan, observation, start)
    assert torch.allclose(found.objective, expected.objective, rtol=1e-4)
    assert torch.allclose(found.state.shape_code, expected.state.shape_code, atol=1e-5)


def test_rounds_end_when_the_objective_stops_falling() -> None:
    observation, start = problem(TRUE[None])
    found = run(Corrector(Se3Step(iterations=30), ActiveShape(), rounds=50), observation, start)
    assert found.rounds[0] < 10 and found.status == ("converged",)
    assert (found.trace[1:] <= found.trace[:-1]).all() and len(found.trace) == found.rounds[0] + 1
    hasty = run(Corrector(Se3Step(iterations=1), rounds=1), observation, start)
    assert hasty.status == ("budget",) and "more rounds" in hasty.reasons[0]


@dataclass(frozen=True)
class Stays:
    """A pose step that leaves everything as it is."""

    def __call__(self, field: object, observation: Observation, state: State) -> PoseStepResult:
        nothing = torch.zeros(len(state.shape_code))
        return PoseStepResult(state, nothing, nothing.long(), nothing[:, None], ("",) * len(nothing))


def test_points_of_other_frames_decide_what_this_one_leaves_open() -> None:
    """Of the face x = 0.04 nobody can tell how deep the box is; another frame saw its side y = 0.05."""
    halves = torch.tensor([[0.04, 0.03, 0.04], [0.04, 0.05, 0.04]])
    grid = torch.cartesian_prod(torch.linspace(-0.02, 0.02, 9), torch.linspace(-0.02, 0.02, 9))
    face = torch.cat([torch.full_like(grid[:, :1], 0.04), grid], dim=1)
    side = torch.cat([grid[:, :1], torch.full_like(grid[:, :1], 0.05), grid[:, 1:]], dim=1)
    observation = Observation(face[None], torch.ones(1, len(face), dtype=torch.bool))
    start = State(face[None], torch.eye(4, dtype=torch.float64)[None], halves[:1])
    shapes = ShapeBasis(halves, 2 * halves.norm(dim=-1), halves[:1])
    plan = Corrector(Stays(), ActiveShape(with_network=False), rounds=1, kernel=Squares())
    alone = plan(FIELD, observation, start, basis=shapes)
    seen = PooledPoints(side[None], torch.ones(1, len(side), dtype=torch.bool))
    pooled = plan(FIELD, observation, start, basis=shapes, pool=seen)
    assert alone.gram is not None and pooled.gram is not None
    assert alone.gram.matrix.abs().max() < 1e-12  # both boxes fit what was seen
    assert pooled.gram.points[0] == len(face) + len(side)
    assert pooled.weights is not None and pooled.weights[0, 1] > 0.999
    # And it is the answer: by this frame alone neither shape is better, so the start would have stayed.
    assert alone.status == ("unimproved",) and torch.equal(alone.state.shape_code, halves[:1])
    torch.testing.assert_close(pooled.state.shape_code, halves[1:], atol=1e-4, rtol=0)
    # The start misses the side's points by 0.05 - 0.03, the face's not at all: half the mean of 0.02 squared.
    torch.testing.assert_close(pooled.objective_start, torch.tensor([0.02**2 / 2]))
    assert pooled.objective[0] < 1e-8


def test_padding_of_the_pool_changes_nothing() -> None:
    observation, start = problem(HALVES[:2])
    plan = Corrector(Se3Step(), ActiveShape(), rounds=2)
    alone = run(plan, observation, start)
    wild = PooledPoints(torch.full((2, 7, 3), 1e3), torch.zeros(2, 7, dtype=torch.bool))
    padded = run(plan, observation, start, pool=wild)
    assert torch.equal(padded.state.shape_code, alone.state.shape_code)
    assert torch.equal(padded.objective, alone.objective)


def test_an_empty_library_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="no shape library"):
        ShapeBasis(torch.zeros(0, 3), torch.zeros(0), torch.zeros(1, 3))


def test_contradictory_settings_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1 round"):
        Corrector(Se3Step(), rounds=0)
    with pytest.raises(InputError, match="tolerance"):
        Corrector(Se3Step(), tolerance=1.0)
