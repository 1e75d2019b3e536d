"""Candidates compared and improved together are what each would be by itself; where points alone put them."""

from __future__ import annotations

import numpy as np
import torch
from box_scene import CODE, box_scene

from crisp.geometry import pose
from crisp.refine.pose_step import Se3Step
from crisp.refine.problem import Observation, State, Truncated, object_points, objective
from crisp.refine.search.candidates import RESOLUTION_M, behind_points, cube_turns, fits, improved
from crisp.shape.sdf import AnalyticBox

BOX = AnalyticBox()
SCENE = box_scene((0.02, 0.0, 0.6), (-0.1, 0.05, 0.7))
SEEN = SCENE.sight().pixels
TRUE = torch.stack([torch.from_numpy(T) for T in SCENE.poses])
MOVED = pose.exp(torch.tensor([0.004, -0.003, 0.002, 0.05, -0.04, 0.03], dtype=torch.float64))
T = (TRUE @ MOVED)[:, None] @ cube_turns()[:5]
CODES = CODE.expand(2, 5, -1) * torch.tensor([1.0, 1.0, 1.1, 0.9, 1.0])[:, None]
HALF = torch.tensor([[0.05, 0.04, 0.03], [0.1, 0.02, 0.06]])


def alone(row: int, column: int) -> tuple[Observation, State]:
    observation = SEEN.take(torch.tensor([row]))
    start = T[row, column][None]
    return observation, State(object_points(start, observation), start, CODES[row, column][None])


def test_fits_are_the_roots_of_each_objective() -> None:
    found = fits(BOX, SEEN, T, codes=CODES, kernel=Truncated())
    for row in range(2):
        for column in range(5):
            observation, state = alone(row, column)
            value = objective(BOX, state, observation, kernel=Truncated()) + RESOLUTION_M**2
            assert torch.allclose(found[row, column], value.sqrt().double()[0], rtol=1e-5)


def test_improved_together_is_improved_one_by_one() -> None:
    step = Se3Step(iterations=6)
    poses, found = improved(step, BOX, SEEN, T=T, codes=CODES, kernel=Truncated())
    assert (found <= fits(BOX, SEEN, T, codes=CODES, kernel=Truncated()) + 1e-6).all()
    for row in range(2):
        for column in range(5):
            end = step(BOX, *alone(row, column)).state.T_camera_object[0]
            assert torch.allclose(poses[row, column], end.double(), atol=1e-5)


def test_without_points_a_candidate_fits_nothing() -> None:
    valid = SEEN.valid.clone()
    valid[0] = False
    poses, found = improved(
        Se3Step(), BOX, Observation(SEEN.points_camera, valid), T=T, codes=CODES, kernel=Truncated()
    )
    assert found[0].isinf().all() and torch.equal(poses[0], T[0]) and found[1].isfinite().all()


def test_the_turns_are_a_group_that_begins_with_none() -> None:
    turns = cube_turns()
    assert torch.equal(turns[0], torch.eye(4, dtype=torch.float64))
    products = (turns[:, None] @ turns[None]).flatten(0, 1)
    assert torch.cdist(products.flatten(1), turns.flatten(1)).min(dim=1).values.max() < 1e-12
    assert torch.unique(turns.flatten(1).round(decimals=6), dim=0).shape[0] == 24


def test_the_origin_of_a_box_seen_from_its_flat_side_is_found() -> None:
    """Its upper side, half a metre straight ahead; one point in ten is of something far behind."""
    grid = torch.cartesian_prod(torch.linspace(-1, 1, 9), torch.linspace(-1, 1, 9), torch.tensor([-1.0]))
    points = grid * HALF[0] + torch.tensor([0.0, 0.0, 0.53])
    points = torch.cat([points, torch.tensor([[0.4, 0.4, 2.0]]).expand(9, 3)])
    seen = Observation(points[None], torch.ones(1, len(points), dtype=torch.bool))
    place = behind_points(BOX, seen, HALF[None, :1])
    assert torch.allclose(place, torch.tensor([[[0.0, 0.0, 0.53]]], dtype=torch.float64), atol=1e-6)


def test_it_is_what_a_plain_loop_over_objects_and_shapes_finds() -> None:
    """Padding, which is anything, does not count."""
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(3, 40, 3, generator=generator) * 0.05 + torch.tensor([0.1, -0.2, 0.8])
    valid = torch.arange(40)[None] < torch.tensor([[40], [7], [1]])
    points[~valid] = 1e6
    codes = HALF[torch.tensor([[0, 1], [1, 0], [1, 1]])]
    place = behind_points(BOX, Observation(points, valid), codes)
    for b in range(3):
        own = points[b][valid[b]].double().sort(dim=0).values
        middle = own[(len(own) - 1) // 2].numpy()
        for s in range(2):
            expected = middle * (1 + float(codes[b, s].min()) / np.linalg.norm(middle))
            assert np.allclose(place[b, s].numpy(), expected, atol=1e-6)
