"""What table 11 rests on: the registration with a scale (24), and fields of shapes in their unit boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from experiments.paper.unit_box import SizedField, SizedShapes, aligned, choose_shape, descend

from crisp.geometry.pose import apply, random_rotation
from crisp.refine.problem import Observation, object_points
from crisp.shape.sdf import AnalyticBox


def _pair(scale: float) -> tuple[torch.Tensor, Observation, torch.Tensor]:
    """Coordinates of `scale` units per metre, what a camera saw of them, and the pose."""
    rng = np.random.default_rng(3)
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3] = random_rotation(1, torch.Generator().manual_seed(3))[0]
    T[:3, 3] = torch.tensor([0.1, -0.2, 0.9])
    metric = torch.from_numpy(rng.uniform(-0.1, 0.1, (1, 40, 3)))
    points = apply(T[None], metric)
    return scale * metric, Observation(points, torch.ones(1, 40, dtype=torch.bool)), T


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_alignment_finds_pose_and_scale(scale: float) -> None:
    z, observation, T = _pair(scale)
    found, s = aligned(z, observation, scaled=True)
    torch.testing.assert_close(found[0], T)
    assert float(s[0]) == pytest.approx(scale)


def test_coordinates_and_scale_can_shrink_together_only_in_unit_boxes() -> None:
    """(24) fits half the coordinates as well as the whole ones; without a scale half is missing."""
    z, observation, _ = _pair(1.0)

    def misfit(scaled: bool) -> float:
        T, s = aligned(0.5 * z, observation, scaled=scaled)
        return float((s[:, None, None] * object_points(T, observation) - 0.5 * z).norm(dim=-1).mean())

    centred = z - z.mean(1, keepdim=True)
    assert misfit(scaled=True) < 1e-12
    assert misfit(scaled=False) == pytest.approx(float(0.5 * centred.norm(dim=-1).mean()))


def test_a_box_twice_the_mean_is_a_box_of_mean_size_in_its_unit_box() -> None:
    """Half extents 8, 6, 4 cm with r = 2 are 4, 3, 2 cm in units of the mean size."""
    points = torch.from_numpy(np.random.default_rng(0).uniform(-0.05, 0.05, (1, 50, 3)))
    box = SizedField(AnalyticBox())(points, torch.tensor([[0.08, 0.06, 0.04, 2.0]]).double())
    torch.testing.assert_close(box, AnalyticBox()(points, torch.tensor([[0.04, 0.03, 0.02]]).double()))


def _shapes(*, scaled: bool) -> SizedShapes:
    """Three boxes; their sizes are their own diagonals."""
    half = torch.tensor([[0.03, 0.05, 0.08], [0.05, 0.05, 0.05], [0.02, 0.02, 0.10]])
    return SizedShapes.of(AnalyticBox(), half, 2 * half.norm(dim=1), scaled=scaled)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_right_box_is_chosen_and_a_descent_never_ends_worse(scaled: bool) -> None:
    """Points on all sides of box 0: only its own field is 0 at all of them."""
    shapes = _shapes(scaled=scaled)
    code, ratio = shapes.codes[:1], float(shapes.codes[0, -1])
    side = torch.rand(1, 60, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    face = torch.arange(60) % 3
    side[0, torch.arange(60), face] = side[0, torch.arange(60), face].sign()
    metric = side * code[0, :3]
    observation = Observation(metric + torch.tensor([0.0, 0.0, 1.0]), torch.ones(1, 60, dtype=torch.bool))
    noise = 0.004 * torch.randn(1, 60, 3, generator=torch.Generator().manual_seed(1))
    wrong = shapes.codes[1:2]
    z0 = metric / ratio + noise
    _, start = descend(shapes, observation, z0, wrong, iterations=0, rate=1e-3)
    _, posed = descend(shapes, observation, z0, wrong, iterations=20, rate=1e-3)
    assert float(posed.objective) < float(start.objective)
    found = choose_shape(shapes, observation, start, (wrong, shapes.size[1:2]))
    torch.testing.assert_close(found.code, code)
