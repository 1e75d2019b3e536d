from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn.functional import gelu, group_norm, interpolate, relu

from crisp.networks.backbone import Features
from crisp.networks.config import NetworkConfig
from crisp.networks.heads import DptPncHead, FusionBlock, resize


def twice_as_large(x: torch.Tensor) -> torch.Tensor:
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def plain_twin(head: DptPncHead, features: Features) -> torch.Tensor:
    """Method, section 2, in its own order: every fusion block upsamples by 2 before its 1x1 convolution."""
    pyramid = []
    for tap in range(4):
        tokens = features.taps[:, tap]
        both = torch.cat([tokens, features.cls[:, tap, None].expand_as(tokens)], dim=-1)
        x = gelu(head.reassemble.readout[tap][0](both))
        x = x.transpose(1, 2).reshape(len(x), -1, 4, 4)
        x = head.reassemble.scale[tap](head.reassemble.narrow[tap](x))
        pyramid.append(head.lateral[tap](x))

    def unit(layers: torch.nn.Sequential, x: torch.Tensor) -> torch.Tensor:
        y = x
        for conv, norm in ((layers[1], layers[2]), (layers[4], layers[5])):
            y = group_norm(conv(relu(y)), 2, norm.weight, norm.bias)
        return x + y

    x = head.fusion[3].project(twice_as_large(unit(head.fusion[3].unit.layers, pyramid[3])))
    for level in (2, 1, 0):
        block = head.fusion[level]
        x = x + unit(block.skip_unit.layers, pyramid[level])
        x = block.project(twice_as_large(unit(block.unit.layers, x)))
    x = head.cnn_in(head.project(x))
    x = interpolate(x, size=(head.pnc_px, head.pnc_px), mode="bilinear", align_corners=True)
    norm, conv, _, last = head.cnn_out
    return last(relu(conv(group_norm(x, 2, norm.weight, norm.bias)))).permute(0, 2, 3, 1)


@pytest.fixture
def head(dpt_config: NetworkConfig) -> DptPncHead:
    torch.manual_seed(0)
    return DptPncHead(dpt_config).double()


@pytest.fixture
def doubles(features: Features) -> Features:
    return Features(taps=features.taps.double(), cls=features.cls.double())


def test_it_equals_the_plain_order_in_value_and_gradient(head: DptPncHead, doubles: Features) -> None:
    fast, plain = head(doubles), plain_twin(head, doubles)
    assert fast.shape == (2, 16, 16, 3)
    assert torch.allclose(fast, plain, atol=1e-12)
    weights = torch.randn_like(fast)
    parameters = list(head.parameters())
    for a, b in zip(
        torch.autograd.grad((fast * weights).sum(), parameters),
        torch.autograd.grad((plain * weights).sum(), parameters),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-10)


def test_a_one_by_one_convolution_commutes_with_upsampling() -> None:
    torch.manual_seed(0)
    block = FusionBlock(8, 2, units=1).double()
    x = torch.randn(1, 8, 5, 5, dtype=torch.float64)
    after = block.project(twice_as_large(block.unit(x)))
    assert torch.allclose(block(x, None, size=10), after, atol=1e-12)


def test_resize_keeps_the_corners() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    large = resize(x, 5)
    assert torch.allclose(large[0, 0, ::4, ::4], torch.tensor([[0.0, 2.0], [6.0, 8.0]]))
    assert float(large[0, 0, 0, 1]) == pytest.approx(0.5)


def test_odd_token_grids_and_any_map_size(dpt_config: NetworkConfig) -> None:
    # 5 tokens a side: the coarsest level has 3, whose double is not 5.
    config = dataclasses.replace(dpt_config, image_px=70, pnc_px=33)
    features = Features(taps=torch.randn(1, 4, 25, 24), cls=torch.randn(1, 4, 24))
    assert DptPncHead(config)(features).shape == (1, 33, 33, 3)
