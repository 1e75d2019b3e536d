from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from crisp.networks.config import NetworkConfig, preset
from crisp.networks.heads import neutral_code
from crisp.networks.model import FilmSirenDecoder
from crisp.shape.sdf import SignedDistance

Setup = tuple[FilmSirenDecoder, Tensor, Tensor]


def plain_twin(decoder: FilmSirenDecoder, points_object: Tensor, code: Tensor) -> Tensor:
    """The method's sentence, one object and one layer at a time: x <- sin(gamma * (W x + b) + beta)."""
    h = decoder.cube_half_m
    inside = points_object.clamp(-h, h)
    x = inside / h
    for number, layer in enumerate(decoder.layers):
        block = code[2 * decoder.width * number : 2 * decoder.width * (number + 1)]
        x = torch.sin(block[: decoder.width] * layer(x) + block[decoder.width :])
    return h * decoder.out(x)[:, 0] + (points_object - inside).norm(dim=-1)


@pytest.fixture
def setup() -> Setup:
    """The published decoder in float64, three codes near neutral, points inside the cube."""
    torch.manual_seed(0)
    config = preset("small")
    decoder = FilmSirenDecoder(config).double()
    codes = neutral_code(config.film_layers, config.hidden) + 0.2 * torch.randn(3, config.code_dim)
    points = decoder.cube_half_m * (2 * torch.rand(3, 7, 3) - 1)
    return decoder, points.double(), codes.double()


def test_folding_the_modulation_equals_the_plain_twin_in_value_and_gradient(setup: Setup) -> None:
    decoder, points, codes = setup
    leaves = [points.requires_grad_(), codes.requires_grad_(), *decoder.parameters()]
    fast = decoder(points, codes)
    plain = torch.stack([plain_twin(decoder, p, c) for p, c in zip(points, codes, strict=True)])
    assert torch.allclose(fast, plain, atol=1e-12)
    weights = torch.randn_like(fast)
    for a, b in zip(
        torch.autograd.grad((fast * weights).sum(), leaves),
        torch.autograd.grad((plain * weights).sum(), leaves),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-10, rtol=1e-9)


def test_second_derivatives_reach_the_parameters(setup: Setup) -> None:
    # The eikonal term of training differentiates |grad f| by the weights and the code.
    decoder, points, codes = setup
    points.requires_grad_()
    codes.requires_grad_()
    (slope,) = torch.autograd.grad(decoder(points, codes).sum(), points, create_graph=True)
    grads = torch.autograd.grad(slope.norm(dim=-1).sum(), [codes, decoder.layers[0].weight])
    assert all(torch.isfinite(g).all() and g.abs().max() > 0 for g in grads)


def test_many_codes_over_the_same_points_is_a_broadcast(setup: Setup) -> None:
    decoder, points, codes = setup
    one_cloud = points[0]
    table = decoder(one_cloud, codes)
    assert table.shape == (3, 7)
    for row, code in zip(table, codes, strict=True):
        assert torch.allclose(row, decoder(one_cloud, code), atol=1e-12)
    per_view = decoder(points[:, None], codes)  # (3 views, 1, 7, 3) under (3 codes): (3, 3, 7)
    assert torch.allclose(per_view[1], decoder(points[1], codes), atol=1e-12)


def test_one_object_without_batch_axes(setup: Setup) -> None:
    decoder, points, codes = setup
    assert torch.allclose(decoder(points[0], codes[0]), decoder(points, codes)[0], atol=1e-12)


def test_outside_the_cube_the_field_grows_by_the_distance_to_the_cube(setup: Setup) -> None:
    decoder, _, codes = setup
    h = decoder.cube_half_m
    corner = torch.tensor([[h, h, 0.3 * h]], dtype=torch.float64)
    # 0.3 m and 0.4 m past two faces is 0.5 m from the edge that they share.
    beyond = corner + torch.tensor([[0.3, 0.4, 0.0]], dtype=torch.float64)
    assert torch.allclose(decoder(beyond, codes[0]), decoder(corner, codes[0]) + 0.5, atol=1e-12)


def test_the_field_is_in_metres_whatever_the_cube() -> None:
    # The network works in units of the cube: twice the cube at twice the point is twice the distance,
    # and the slope |grad f| is the same.
    config = preset("small")
    torch.manual_seed(0)
    small = FilmSirenDecoder(config)
    large = FilmSirenDecoder(dataclasses.replace(config, cube_half_m=2 * config.cube_half_m))
    large.load_state_dict(small.state_dict())
    points = 0.1 * torch.randn(5, 3)
    code = neutral_code(config.film_layers, config.hidden)
    assert torch.allclose(large(2 * points, code), 2 * small(points, code), rtol=1e-5)


def test_it_stands_where_a_signed_distance_is_asked_for() -> None:
    field: SignedDistance = FilmSirenDecoder(preset("small"))
    assert field.cube_half_m == 0.2


def test_weights_start_in_the_published_ranges() -> None:
    # U(+-30/3) for the first layer, U(+-sqrt(6/256)) = U(+-0.153) for the others: the largest of 768 and of
    # 65,536 draws lies within a few per cent of the bound.
    torch.manual_seed(0)
    layers = FilmSirenDecoder(preset("small")).layers
    largest = [float(layer.weight.detach().abs().max()) for layer in layers]
    assert 9.7 < largest[0] <= 10.0
    assert all(0.1525 < value <= 0.15310 for value in largest[1:])


def test_tiny_configurations_work_too(token_config: NetworkConfig) -> None:
    assert FilmSirenDecoder(token_config)(torch.zeros(4, 3), torch.zeros(32)).shape == (4,)
