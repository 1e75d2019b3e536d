"""Known shapes on a grid: equal to plain interpolation, near to the field that they were made from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from crisp.errors import InputError
from crisp.shape.grid import STEP, ShapeGrids
from crisp.shape.sdf import AnalyticBox, AnalyticSphere, SignedDistance

HALF_M = 0.1
RADII = torch.tensor([[0.03], [0.05], [0.08]])


@pytest.fixture(scope="module")
def spheres() -> ShapeGrids:
    return ShapeGrids.of(AnalyticSphere(HALF_M), RADII, nodes=24)


def points(rows: int, count: int, *, reach: float = 0.9) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return HALF_M * reach * (2 * torch.rand(rows, count, 3, generator=draw, dtype=torch.float64) - 1)


def plainly(grids: ShapeGrids, at: Tensor, shape: int) -> Tensor:
    """By PyTorch's own interpolation, whose axes run backwards."""
    volume = grids.values_m[shape][None, None].double()
    where = (at / grids.cube_half_m).flip(-1)[None, :, None, None]
    return F.grid_sample(volume, where, align_corners=True).flatten()


def test_value_and_gradient_are_those_of_plain_interpolation(spheres: ShapeGrids) -> None:
    at, code = points(3, 200), spheres.codes[[2, 0, 1]]
    mine = at.clone().requires_grad_()
    value = spheres(mine, code)
    (slope,) = torch.autograd.grad(value.sum(), mine)
    for row, shape in enumerate((2, 0, 1)):
        plain = at[row].clone().requires_grad_()
        expected = plainly(spheres, plain, shape)
        (expected_slope,) = torch.autograd.grad(expected.sum(), plain)
        torch.testing.assert_close(value[row], expected.detach(), atol=1e-9, rtol=0)
        torch.testing.assert_close(slope[row], expected_slope, atol=1e-6, rtol=0)


def test_nodes_have_the_fields_own_values() -> None:
    field, code = AnalyticBox(HALF_M), torch.tensor([[0.02, 0.05, 0.07]])
    grids = ShapeGrids.of(field, code, nodes=5)
    side = torch.linspace(-HALF_M, HALF_M, 5)
    nodes = torch.cartesian_prod(side, side, side)[None]
    torch.testing.assert_close(grids(nodes, grids.codes), field(nodes, code), atol=1e-7, rtol=0)


def test_a_finer_grid_is_nearer() -> None:
    at = points(1, 500)
    errors = []
    for nodes in (8, 16, 32):
        grids = ShapeGrids.of(AnalyticSphere(HALF_M), RADII[1:2], nodes=nodes)
        errors.append(float((grids(at, grids.codes) - AnalyticSphere(HALF_M)(at, RADII[1:2])).abs().mean()))
    assert errors[1] < errors[0] / 2 and errors[2] < errors[1] / 2


def test_beyond_the_cube_it_goes_on_as_the_decoder_does(spheres: ShapeGrids) -> None:
    at = torch.tensor([[[2 * HALF_M, 0.0, 0.0]]], requires_grad=True)
    value = spheres(at, spheres.codes[:1])
    # 0.1 from the sphere's grid value at (0.1, 0, 0), which is 0.1 - 0.03, and 0.1 more beyond the cube.
    torch.testing.assert_close(value, torch.tensor([[0.17]]), atol=1e-3, rtol=0)
    (slope,) = torch.autograd.grad(value.sum(), at)
    torch.testing.assert_close(slope[0, 0], torch.tensor([1.0, 0.0, 0.0]), atol=0.05, rtol=0)


def test_it_satisfies_the_protocol_and_takes_any_batch(spheres: ShapeGrids) -> None:
    assert isinstance(spheres, SignedDistance)
    at = points(6, 10).view(2, 3, 10, 3)
    code = torch.tensor([0.0, 1, 2, 2, 1, 0]).view(2, 3, 1)
    found = spheres(at, code)
    assert found.shape == (2, 3, 10)
    torch.testing.assert_close(found.flatten(0, 1), spheres(at.flatten(0, 1), code.flatten(0, 1)))


def test_an_index_that_no_shape_has_is_refused(spheres: ShapeGrids) -> None:
    with pytest.raises(IndexError):
        spheres(points(1, 1), torch.tensor([[3.0]]))


def test_packing_keeps_each_value_within_half_a_step(spheres: ShapeGrids) -> None:
    packed = spheres.packed()
    found = ShapeGrids.unpacked(packed, shapes=3, nodes=24, cube_half_m=HALF_M)
    bend = (0.005**2 + spheres.values_m.square()).sqrt()
    assert ((found.values_m - spheres.values_m).abs() <= 0.51 * STEP * bend + 1e-6).all()
    assert len(packed) < spheres.values_m.numel()  # less than a byte a node


def test_damaged_bytes_are_refused(spheres: ShapeGrids) -> None:
    packed = spheres.packed()
    for wrong in (packed[: len(packed) // 2], packed[10:], torch.zeros(0, dtype=torch.uint8)):
        with pytest.raises(InputError):
            ShapeGrids.unpacked(wrong, shapes=3, nodes=24, cube_half_m=HALF_M)
    with pytest.raises(InputError):
        ShapeGrids.unpacked(packed, shapes=2, nodes=24, cube_half_m=HALF_M)


@pytest.mark.parametrize("values", [torch.zeros(1, 1, 1, 1), torch.full((1, 2, 2, 2), torch.nan)])
def test_grids_that_cannot_be_are_refused(values: Tensor) -> None:
    with pytest.raises(InputError):
        ShapeGrids(values, HALF_M)
