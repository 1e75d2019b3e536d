"""Laws of SE(3) over batch shapes and angles, down to zero and up to half a turn."""

import math

import pytest
import torch

from crisp.geometry import pose

BATCHES = [(), (1,), (5,), (2, 3)]
ANGLES = [0.0, 1e-9, 1e-4, 0.00999, 0.01001, 1.0, 3.0, math.pi - 1e-6]


def _motions(batch, seed=0):
    g = torch.Generator().manual_seed(seed)
    n = math.prod(batch)
    t = torch.randn(n, 3, generator=g, dtype=torch.float64)
    return pose.from_rotation_translation(pose.random_rotation(n, g), t).reshape(*batch, 4, 4)


def _tangents(angle, batch=(7,)):
    g = torch.Generator().manual_seed(1)
    axis = torch.nn.functional.normalize(torch.randn(*batch, 3, generator=g, dtype=torch.float64), dim=-1)
    return torch.cat([torch.randn(*batch, 3, generator=g, dtype=torch.float64), angle * axis], dim=-1)


@pytest.mark.parametrize("batch", BATCHES)
def test_group_laws(batch):
    a, b, c = (_motions(batch, seed) for seed in range(3))
    identity = torch.eye(4, dtype=torch.float64).expand(*batch, 4, 4)
    torch.testing.assert_close(pose.inverse(a) @ a, identity)
    torch.testing.assert_close(a @ pose.inverse(a), identity)
    torch.testing.assert_close(pose.inverse(a @ b), pose.inverse(b) @ pose.inverse(a))
    torch.testing.assert_close((a @ b) @ c, a @ (b @ c))


@pytest.mark.parametrize("batch", BATCHES)
def test_apply_is_an_action(batch):
    a, b = _motions(batch, 0), _motions(batch, 1)
    points = torch.randn(*batch, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(pose.apply(a @ b, points), pose.apply(a, pose.apply(b, points)))
    torch.testing.assert_close(pose.apply(pose.inverse(a), pose.apply(a, points)), points)
    torch.testing.assert_close(torch.cdist(*[pose.apply(a, points)] * 2), torch.cdist(points, points))


def test_apply_worked_case():
    # A quarter turn about z takes x to y; then one metre along z.
    R = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    T = pose.from_rotation_translation(R, torch.tensor([0.0, 0, 1]))
    assert pose.apply(T, torch.tensor([[2.0, 0, 0]])).tolist() == [[0, 2, 1]]


@pytest.mark.parametrize("angle", ANGLES)
def test_log_of_exp(angle):
    xi = _tangents(angle)
    # Near half a turn the axis is found from the square root of a rounding error.
    torch.testing.assert_close(pose.log(pose.exp(xi)), xi, atol=1e-8, rtol=1e-7)


@pytest.mark.parametrize("batch", BATCHES)
def test_exp_of_log(batch):
    T = _motions(batch)
    torch.testing.assert_close(pose.exp(pose.log(T)), T)


@pytest.mark.parametrize("angle", ANGLES)
def test_exp_is_the_matrix_exponential(angle):
    xi = _tangents(angle)
    v, (x, y, z) = xi[:, :3], xi[:, 3:].unbind(-1)
    hat = torch.zeros(7, 4, 4, dtype=torch.float64)
    hat[:, 0, 1], hat[:, 0, 2], hat[:, 1, 2] = -z, y, -x
    hat[:, 1, 0], hat[:, 2, 0], hat[:, 2, 1] = z, -y, x
    hat[:, :3, 3] = v
    torch.testing.assert_close(pose.exp(xi), torch.linalg.matrix_exp(hat), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("angle", [0.0, 1e-4, 0.5])
def test_exp_gradient(angle):
    assert torch.autograd.gradcheck(pose.exp, _tangents(angle, (2,)).requires_grad_())


def test_rotation_angle():
    xi = torch.zeros(4, 6, dtype=torch.float64)
    xi[:, 5] = torch.deg2rad(torch.tensor([0.0, 1e-6, 30.0, 180.0], dtype=torch.float64))
    R = pose.exp(xi)[:, :3, :3]
    base = pose.random_rotation(4, torch.Generator().manual_seed(3))
    angles = pose.rotation_angle_deg(base @ R, base)
    torch.testing.assert_close(
        angles, torch.tensor([0.0, 1e-6, 30, 180], dtype=torch.float64), atol=2e-6, rtol=0
    )


def test_random_rotations_are_rotations_and_spread():
    R = pose.random_rotation(4000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(R @ R.mT, torch.eye(3, dtype=torch.float64).expand_as(R))
    assert torch.linalg.det(R).min() > 0
    # Uniform on SO(3): every entry has mean 0 and variance 1/3; the mean of 4000 deviates by about 0.01.
    assert R.mean(0).abs().max() < 0.05
    assert (R.square().mean(0) - 1 / 3).abs().max() < 0.05
    assert R.equal(pose.random_rotation(4000, torch.Generator().manual_seed(0)))
