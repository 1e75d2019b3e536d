"""Losses: worked cases, and the choice among equivalent targets against a dense search."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from crisp.learn.losses import (
    SdfWeights,
    SymmetryTargets,
    closest_equivalent,
    nearest_targets,
    pnc_loss,
    sdf_loss,
    soft_l1,
)
from crisp.types import Symmetries

HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
AXIS = np.array([0.0, 0.6, 0.8])
OFFSET = np.array([0.01, -0.02, 0.03])


def random(*shape: int, seed: int = 0, spread: float = 0.1) -> torch.Tensor:
    return spread * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_soft_l1_worked_cases() -> None:
    # zeta 0.1: 0.04^2 / 0.2 = 0.008 below; 0.3 - 0.05 = 0.25 above; even.
    error = torch.tensor([0.0, 0.04, -0.04, 0.3, -0.3])
    assert torch.allclose(soft_l1(error, 0.1), torch.tensor([0.0, 0.008, 0.008, 0.25, 0.25]))


def test_soft_l1_is_smooth_where_it_turns() -> None:
    zeta = 0.1
    error = torch.tensor([zeta - 1e-6, zeta, zeta + 1e-6], dtype=torch.float64, requires_grad=True)
    value = soft_l1(error, zeta)
    (slope,) = torch.autograd.grad(value.sum(), error)
    assert torch.allclose(value, torch.full_like(value, zeta / 2), atol=2e-6)
    assert torch.allclose(slope, torch.ones_like(slope), atol=2e-5)


def test_pnc_loss_is_the_mean_over_valid_points_of_the_sum_over_axes() -> None:
    pnc = torch.zeros(1, 3, 3)
    target = torch.tensor([[[0.3, 0.04, 0.0], [0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]])
    valid = torch.tensor([[True, True, False]])
    # (0.25 + 0.008 + 0) and 0, over two points.
    assert pnc_loss(pnc, target, valid, zeta=0.1).item() == pytest.approx(0.129)


def test_invalid_points_have_no_say() -> None:
    pnc, target = random(2, 6, 3).requires_grad_(), random(2, 6, 3, seed=1)
    valid = torch.tensor([[True] * 3 + [False] * 3, [False] * 6])
    (slope,) = torch.autograd.grad(pnc_loss(pnc, target, valid, zeta=0.1), pnc)
    assert slope[0, :3].abs().sum() > 0 and not slope[~valid].any()
    nothing = pnc_loss(pnc, target, torch.zeros_like(valid), zeta=0.1)
    assert nothing.item() == 0  # not NaN


def test_without_symmetry_a_target_is_its_own_nearest() -> None:
    trivial = SymmetryTargets.of(Symmetries())
    target = random(2, 5, 3)
    assert trivial.trivial
    found = closest_equivalent(
        random(2, 5, 3, seed=1), target, torch.ones(2, 5, dtype=torch.bool), symmetries=trivial
    )
    assert torch.equal(found, target)


def test_the_nearer_of_two_equivalent_targets_is_taken_per_object() -> None:
    target = random(2, 8, 3)
    turned = target * torch.tensor([-1.0, -1.0, 1.0])
    pnc = torch.stack([turned[0], target[1]]) + random(2, 8, 3, seed=2, spread=0.01)
    valid = torch.ones(2, 8, dtype=torch.bool)
    found = closest_equivalent(pnc, target, valid, symmetries=SymmetryTargets.of(Symmetries((HALF_TURN,))))
    assert torch.allclose(found, torch.stack([turned[0], target[1]]))


def test_invalid_points_do_not_decide_between_targets() -> None:
    target = random(1, 8, 3)
    turned = target * torch.tensor([-1.0, -1.0, 1.0])
    pnc = target.clone()
    pnc[:, 2:] = 10 * turned[:, 2:]  # the invalid majority cries for the half turn
    valid = torch.zeros(1, 8, dtype=torch.bool)
    valid[:, :2] = True
    found = closest_equivalent(pnc, target, valid, symmetries=SymmetryTargets.of(Symmetries((HALF_TURN,))))
    assert torch.equal(found, target)


def turn_about(points: torch.Tensor, angle: float, axis: np.ndarray, offset: np.ndarray) -> torch.Tensor:
    """Rodrigues' formula, written out."""
    a, o = torch.tensor(axis, dtype=points.dtype), torch.tensor(offset, dtype=points.dtype)
    p = points - o
    cross = torch.linalg.cross(a.expand_as(p), p)
    along = (p @ a)[..., None] * a
    return o + math.cos(angle) * p + math.sin(angle) * cross + (1 - math.cos(angle)) * along


@pytest.mark.parametrize("discrete", [(), (np.diag([1.0, -1.0, -1.0, 1.0]),)])
def test_the_closed_form_beats_a_dense_search(discrete: tuple[np.ndarray, ...]) -> None:
    symmetries = Symmetries(discrete, ((AXIS, OFFSET),))
    pnc, target = random(3, 20, 3), random(3, 20, 3, seed=1)
    valid = torch.rand(3, 20, generator=torch.Generator().manual_seed(2)) > 0.3

    def distance(candidate: torch.Tensor) -> torch.Tensor:
        return ((candidate - pnc).square().sum(-1) * valid).sum(-1)

    found = distance(closest_equivalent(pnc, target, valid, symmetries=SymmetryTargets.of(symmetries)))
    starts = [np.eye(4), *discrete]
    dense = torch.stack(
        [
            distance(turn_about(target @ torch.tensor(T[:3, :3], dtype=torch.float32).T, angle, AXIS, OFFSET))
            for T in starts
            for angle in np.linspace(0, 2 * np.pi, 2000)
        ]
    ).amin(0)
    assert (found <= dense + 1e-6).all()
    assert torch.allclose(found, dense, rtol=1e-3)


def test_a_turned_target_is_found_again_whatever_the_axis_length() -> None:
    target = random(1, 12, 3)
    pnc = turn_about(target, 2.5, AXIS, OFFSET)
    doubled = SymmetryTargets.of(Symmetries((), ((2 * AXIS, OFFSET),)))
    found = closest_equivalent(pnc, target, torch.ones(1, 12, dtype=torch.bool), symmetries=doubled)
    assert torch.allclose(found, pnc, atol=1e-6)


def test_no_gradient_flows_through_the_choice() -> None:
    pnc, target = random(2, 6, 3).requires_grad_(), random(2, 6, 3, seed=1).requires_grad_()
    valid = torch.ones(2, 6, dtype=torch.bool)
    symmetries = SymmetryTargets.of(Symmetries((HALF_TURN,), ((AXIS, OFFSET),)))
    assert not closest_equivalent(pnc, target, valid, symmetries=symmetries).requires_grad


def test_each_object_of_a_batch_has_its_own_symmetry() -> None:
    both = [SymmetryTargets.of(Symmetries()), SymmetryTargets.of(Symmetries((HALF_TURN,)))]
    target = random(2, 8, 3)
    kept = target.clone()
    turned = target * torch.tensor([-1.0, -1.0, 1.0])
    found = nearest_targets(
        turned,
        target,
        torch.ones(2, 8, dtype=torch.bool),
        object_index=torch.tensor([0, 1]),
        symmetries=both,
    )
    assert torch.equal(found[0], target[0]) and torch.allclose(found[1], turned[1])
    assert torch.equal(target, kept)


def test_sdf_loss_by_hand() -> None:
    predicted, truth = torch.tensor([[0.01, -0.02]]), torch.tensor([[0.0, -0.03]])
    off = torch.tensor([[False, True]])
    gradient = torch.tensor([[[0.0, 3.0, 4.0], [0.0, 0.5, 0.0]]])
    weights = SdfWeights(distance=3e3, off_surface=2e2, eikonal=50.0)
    # 3000 x mean(0.01, 0.01) + 200 x exp(-2), over the one point off the surface, + 50 x mean(4, 0.5)
    wanted = 30 + 200 * math.exp(-2) + 50 * 2.25
    found = sdf_loss(predicted, truth, off, gradient=gradient, weights=weights)
    assert found.item() == pytest.approx(wanted, rel=1e-6)


def test_errors_far_from_the_surface_count_less_when_asked() -> None:
    # At 0 and at three times the focus: weights 1 and 1/4, divided by their mean 5/8.
    predicted, truth = torch.tensor([[0.001, 0.011]]), torch.tensor([[0.0, 0.009]])
    off = torch.zeros(1, 2, dtype=torch.bool)
    weights = SdfWeights(1.0, 0.0, 0.0, focus_m=0.003)
    found = sdf_loss(predicted, truth, off, gradient=None, weights=weights)
    assert float(found) == pytest.approx((1.6 * 0.001 + 0.4 * 0.002) / 2)
    equal = torch.full((1, 2), 0.004)
    same = sdf_loss(equal + 0.001, equal, off, gradient=None, weights=weights)
    assert float(same) == pytest.approx(0.001, rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        (SdfWeights(3e3, 0.0, 0.0), 30.0),
        (SdfWeights(0.0, 0.0, 50.0), 112.5),
        (SdfWeights(0.0, 0.0, 0.0), 0.0),
    ],
)
def test_each_term_of_the_sdf_loss_can_be_left_out(weights: SdfWeights, wanted: float) -> None:
    found = sdf_loss(
        torch.tensor([[0.01, -0.02]]),
        torch.tensor([[0.0, -0.03]]),
        torch.tensor([[False, False]]),
        gradient=torch.tensor([[[0.0, 3.0, 4.0], [0.0, 0.5, 0.0]]]),
        weights=weights,
    )
    assert found.item() == pytest.approx(wanted)
