"""The corrector's problem: kernels, quantiles and the objective, by their laws."""

import pytest
import torch

from crisp.errors import InputError
from crisp.geometry import pose
from crisp.refine.problem import (
    Observation,
    ShapeBasis,
    SoftL1,
    Squares,
    State,
    Truncated,
    masked_quantile,
    object_points,
    objective,
)
from crisp.shape.sdf import AnalyticBox, AnalyticSphere

KERNELS = pytest.mark.parametrize("kernel", [Squares(), SoftL1(), SoftL1(0.1), Truncated(0.1)], ids=str)


def _scene(objects=3, points=40, seed=0):
    g = torch.Generator().manual_seed(seed)
    T = pose.from_rotation_translation(
        pose.random_rotation(objects, g), torch.randn(objects, 3, generator=g, dtype=torch.float64)
    )
    z = 0.1 * torch.randn(objects, points, 3, generator=g, dtype=torch.float64)
    valid = torch.rand(objects, points, generator=g) < 0.7
    code = torch.tensor([[0.05, 0.06, 0.07]], dtype=torch.float64).repeat(objects, 1)
    return Observation(pose.apply(T, z), valid), State(z, T, code)


@KERNELS
def test_weights_are_the_slope_over_twice_the_distance(kernel):
    r = torch.linspace(-0.2, 0.2, 40, dtype=torch.float64)[None].requires_grad_()  # without 0
    (slope,) = torch.autograd.grad(kernel.rho(r).sum(), r)
    torch.testing.assert_close(kernel.weights(r), slope / (2 * r.detach()))
    assert not kernel.weights(r).requires_grad


@KERNELS
def test_near_zero_every_kernel_is_the_square(kernel):
    """Also in float32, where sqrt(1 + u) - 1 would be 0 here."""
    r = torch.tensor([[1e-7, -1e-6]])
    torch.testing.assert_close(kernel.rho(r), r.square(), rtol=1e-5, atol=0)
    torch.testing.assert_close(kernel.weights(torch.zeros(1, 1)), torch.ones(1, 1))


def test_soft_l1_worked_case():
    # c = 3, r = 4: 2 * 9 * (sqrt(1 + 16/9) - 1) = 18 * (5/3 - 1) = 12; the weight is 1 / (5/3).
    r = torch.tensor([[4.0, -4.0]])
    torch.testing.assert_close(SoftL1(3.0).rho(r), torch.tensor([[12.0, 12.0]]))
    torch.testing.assert_close(SoftL1(3.0).weights(r), torch.tensor([[0.6, 0.6]]))
    with pytest.raises(InputError, match="positive length"):
        SoftL1(0.0)


def test_truncated_squares_stop_growing_at_their_scale():
    # c = 3: of 2 the square, of 3 and of -4 the square of 3.
    r = torch.tensor([[2.0, 3.0, -4.0]])
    torch.testing.assert_close(Truncated(3.0).rho(r), torch.tensor([[4.0, 9.0, 9.0]]))
    torch.testing.assert_close(Truncated(3.0).weights(r), torch.tensor([[1.0, 0.0, 0.0]]))
    with pytest.raises(InputError, match="positive length"):
        Truncated(-1.0)


@pytest.mark.parametrize("q", [0.0, 0.31, 0.5, 0.98, 1.0])
def test_masked_quantile_is_torchs_of_what_counts(q):
    g = torch.Generator().manual_seed(1)
    values = torch.randn(5, 33, generator=g, dtype=torch.float64, requires_grad=True)
    valid = torch.rand(5, 33, generator=g) < 0.6
    valid[1] = torch.arange(33) == 7  # one value alone
    found = masked_quantile(values, valid, q)
    expected = torch.stack([torch.quantile(v[m], q) for v, m in zip(values.detach(), valid, strict=True)])
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad


def test_masked_quantile_of_nothing_is_nan_and_of_padding_never():
    values = torch.tensor([[1.0, 2.0, 3.0], [9.0, 9.0, 9.0]])
    valid = torch.tensor([[True, True, False], [False, False, False]])
    found = masked_quantile(values, valid, 1.0)
    assert found[0] == 2 and found[1].isnan()


@KERNELS
def test_objective_is_the_mean_over_what_counts(kernel):
    observation, state = _scene()
    found = objective(AnalyticBox(), state, observation, kernel=kernel)
    for b in range(3):
        x = observation.points_camera[b][observation.valid[b]]
        z = pose.apply(pose.inverse(state.T_camera_object[b]), x)
        expected = kernel.rho(AnalyticBox()(z[None], state.shape_code[b : b + 1])).mean()
        torch.testing.assert_close(found[b], expected)


def test_padding_never_matters():
    observation, state = _scene()
    wild = torch.where(observation.valid[..., None], observation.points_camera, 1e3)
    padded = Observation(
        torch.cat([wild, torch.zeros(3, 9, 3, dtype=torch.float64)], dim=1),
        torch.cat([observation.valid, torch.zeros(3, 9, dtype=torch.bool)], dim=1),
    )
    before = objective(AnalyticBox(), state, observation, kernel=SoftL1())
    torch.testing.assert_close(objective(AnalyticBox(), state, padded, kernel=SoftL1()), before)
    nothing = Observation(observation.points_camera, torch.zeros_like(observation.valid))
    assert (objective(AnalyticBox(), state, nothing, kernel=SoftL1()) == 0).all()


@KERNELS
def test_objective_is_differentiable_in_pose_and_code(kernel):
    observation, state = _scene(objects=1, points=12)
    xi = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    code = state.shape_code.clone().requires_grad_()

    def value(xi, code):
        moved = State(state.pnc, state.T_camera_object @ pose.exp(xi), code)
        return objective(AnalyticSphere(), moved, observation, kernel=kernel)

    assert torch.autograd.gradcheck(value, (xi, code))


def test_posed_state_sees_the_measurement_and_take_keeps_rows():
    observation, state = _scene()
    turned = state.T_camera_object @ pose.exp(torch.full((3, 6), 0.1, dtype=torch.float64))
    posed = state.posed(turned, observation)
    torch.testing.assert_close(pose.apply(turned, posed.pnc), observation.points_camera)
    one = observation.take(torch.tensor([1]))
    torch.testing.assert_close(object_points(turned[1:2], one), posed.take(torch.tensor([1])).pnc)
    chosen = torch.tensor([True, False, True])
    mixed = posed.where(chosen, state)
    assert (mixed.pnc[1] == state.pnc[1]).all() and (mixed.pnc[0] == posed.pnc[0]).all()


def test_a_basis_needs_a_shape():
    with pytest.raises(InputError, match="no shape library"):
        ShapeBasis(torch.zeros(0, 4), torch.zeros(0), torch.zeros(2, 4))
