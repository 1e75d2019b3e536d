"""Candidates compared and improved together are what each would be by itself."""

from __future__ import annotations

import torch
from box_scene import CODE, box_scene

from crisp.geometry import pose
from crisp.refine.candidates import RESOLUTION_M, cube_turns, fits, improved
from crisp.refine.problem import Observation, State, Truncated, object_points, objective
from crisp.refine.se3_step import Se3Step
from crisp.shape.field import AnalyticBox

BOX = AnalyticBox()
SCENE = box_scene((0.02, 0.0, 0.6), (-0.1, 0.05, 0.7))
SEEN = SCENE.sight().pixels
TRUE = torch.stack([torch.from_numpy(T) for T in SCENE.poses])
MOVED = pose.exp(torch.tensor([0.004, -0.003, 0.002, 0.05, -0.04, 0.03], dtype=torch.float64))
T = (TRUE @ MOVED)[:, None] @ cube_turns()[:5]
CODES = CODE.expand(2, 5, -1) * torch.tensor([1.0, 1.0, 1.1, 0.9, 1.0])[:, None]


def alone(row: int, column: int) -> tuple[Observation, State]:
    observation = SEEN.take(torch.tensor([row]))
    start = T[row, column][None]
    return observation, State(object_points(start, observation), start, CODES[row, column][None])


def test_fits_are_the_roots_of_each_objective() -> None:
    found = fits(BOX, SEEN, T, CODES, kernel=Truncated())
    for row in range(2):
        for column in range(5):
            observation, state = alone(row, column)
            value = objective(BOX, state, observation, Truncated()) + RESOLUTION_M**2
            assert torch.allclose(found[row, column], value.sqrt().double()[0], rtol=1e-5)


def test_improved_together_is_improved_one_by_one() -> None:
    step = Se3Step(iterations=6)
    poses, found = improved(step, BOX, SEEN, T, CODES, kernel=Truncated())
    assert (found <= fits(BOX, SEEN, T, CODES, kernel=Truncated()) + 1e-6).all()
    for row in range(2):
        for column in range(5):
            end = step(BOX, *alone(row, column)).state.T_camera_object[0]
            assert torch.allclose(poses[row, column], end.double(), atol=1e-5)


def test_without_points_a_candidate_fits_nothing() -> None:
    valid = SEEN.valid.clone()
    valid[0] = False
    poses, found = improved(
        Se3Step(), BOX, Observation(SEEN.points_camera, valid), T, CODES, kernel=Truncated()
    )
    assert found[0].isinf().all() and torch.equal(poses[0], T[0]) and found[1].isfinite().all()


def test_the_turns_are_a_group_that_begins_with_none() -> None:
    turns = cube_turns()
    assert torch.equal(turns[0], torch.eye(4, dtype=torch.float64))
    products = (turns[:, None] @ turns[None]).flatten(0, 1)
    assert torch.cdist(products.flatten(1), turns.flatten(1)).min(dim=1).values.max() < 1e-12
    assert torch.unique(turns.flatten(1).round(decimals=6), dim=0).shape[0] == 24
