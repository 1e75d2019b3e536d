from __future__ import annotations

import dataclasses

import pytest
import torch

from crisp.networks.backbone import Features
from crisp.networks.config import NetworkConfig
from crisp.networks.heads import TokenPncHead, grid_to_tokens, tokens_to_grid


@pytest.fixture
def head(token_config: NetworkConfig) -> TokenPncHead:
    torch.manual_seed(0)
    head = TokenPncHead(token_config).eval()
    with torch.no_grad():  # as after training: the position matters
        head.row.normal_()
        head.column.normal_()
    return head


def test_tokens_and_grid_are_inverse() -> None:
    grid = torch.randn(2, 12, 12, 3)
    assert torch.equal(tokens_to_grid(grid_to_tokens(grid, 4)), grid)


def test_where_a_pixel_goes() -> None:
    # 8 x 8 pixels, 4 a side per token: pixel (row 5, column 2) is token (1, 0) = 2, its pixel (1, 2) = 6.
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 5, 2] = True
    assert torch.equal(grid_to_tokens(mask, 4).nonzero(), torch.tensor([[0, 2, 6]]))


def test_a_subset_of_tokens_gives_those_pixels_of_the_whole(head: TokenPncHead, features: Features) -> None:
    whole = head(features)
    assert whole.shape == (2, 16, 16, 3)
    chosen = torch.tensor([[0, 5, 11], [15, 3, 3]])
    taps = features.concatenated_taps()[torch.arange(2)[:, None], chosen]
    part = head.forward_tokens(taps, features.concatenated_cls(), chosen)
    expected = grid_to_tokens(whole, 4)[torch.arange(2)[:, None], chosen]
    assert part.shape == (2, 3, 16, 3)
    assert torch.allclose(part, expected, atol=1e-6)


def test_tokens_without_a_batch_axis(head: TokenPncHead, features: Features) -> None:
    one = head.forward_tokens(
        features.concatenated_taps()[1], features.concatenated_cls()[1], torch.arange(16)
    )
    assert torch.allclose(one, grid_to_tokens(head(features), 4)[1], atol=1e-6)


def test_the_same_token_elsewhere_decodes_differently_only_with_a_position_embedding(
    head: TokenPncHead, features: Features, token_config: NetworkConfig
) -> None:
    taps, cls = features.concatenated_taps()[0, :1], features.concatenated_cls()[0]
    first, last = (head.forward_tokens(taps, cls, torch.tensor([i])) for i in (0, 15))
    assert not torch.allclose(first, last)
    without = dataclasses.replace(token_config.head, position_embedding=False)
    plain = TokenPncHead(dataclasses.replace(token_config, head=without)).eval()
    first, last = (plain.forward_tokens(taps, cls, torch.tensor([i])) for i in (0, 15))
    assert torch.equal(first, last)


def test_dropout_acts_in_training_only(token_config: NetworkConfig, features: Features) -> None:
    often = dataclasses.replace(token_config.head, dropout=0.5)
    head = TokenPncHead(dataclasses.replace(token_config, head=often)).eval()
    assert torch.equal(head(features), head(features))
    head.train()
    assert not torch.equal(head(features), head(features))


def test_the_inputs_are_standardised_as_measured(token_config: NetworkConfig) -> None:
    """Shifted and stretched features mean the same to a head that measured them; a dead channel stays."""
    torch.manual_seed(1)
    head = TokenPncHead(token_config).eval()
    width = head.token_in.in_features
    taps, cls = torch.randn(50, width), torch.randn(20, width)
    taps[:, 0] = 3.0
    scale, shift = torch.logspace(-2, 2, width), torch.linspace(-5, 5, width)
    index = torch.arange(16)
    head.standardise_on(taps, cls)
    assert torch.allclose(head.token_norm(taps)[:, 1:].std(0, correction=0), torch.ones(width - 1), atol=1e-4)
    assert torch.equal(head.token_norm(taps)[:, 0], torch.zeros(50))
    expected = head.forward_tokens(taps[:16], cls[0], index)
    head.standardise_on(taps * scale + shift, cls * scale + shift)
    found = head.forward_tokens(taps[:16] * scale + shift, cls[0] * scale + shift, index)
    assert torch.allclose(found, expected, atol=1e-4)


def test_the_unit_scales_the_output(token_config: NetworkConfig, features: Features) -> None:
    one_metre = dataclasses.replace(token_config, head=dataclasses.replace(token_config.head, pnc_unit_m=1.0))
    tenth, one = TokenPncHead(token_config).eval(), TokenPncHead(one_metre).eval()
    one.load_state_dict(tenth.state_dict())
    assert torch.allclose(0.1 * one(features), tenth(features), rtol=1e-5)
