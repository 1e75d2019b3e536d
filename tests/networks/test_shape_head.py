from __future__ import annotations

import torch

from crisp.networks.backbone import Features
from crisp.networks.config import NetworkConfig
from crisp.networks.heads import ShapeHead, neutral_code


def test_input_is_four_class_tokens_and_the_mean_of_the_deepest_patches(features: Features) -> None:
    x = ShapeHead.shape_input(features)
    assert x.shape == (2, 5 * 24)
    for tap in range(4):
        assert torch.equal(x[:, 24 * tap : 24 * (tap + 1)], features.cls[:, tap])
    assert torch.allclose(x[:, 96:], features.taps[:, 3].mean(dim=1))


def test_from_the_vector_equals_from_the_features(token_config: NetworkConfig, features: Features) -> None:
    head = ShapeHead(token_config)
    assert torch.equal(head(features), head.forward_vector(ShapeHead.shape_input(features)))


def test_codes_start_near_the_neutral_code(token_config: NetworkConfig, features: Features) -> None:
    # Layout: per layer 8 gammas, then 8 betas.
    neutral = neutral_code(2, 8)
    assert torch.equal(neutral, torch.tensor(([1.0] * 8 + [0.0] * 8) * 2))
    torch.manual_seed(0)
    codes = ShapeHead(token_config)(features)
    assert (codes - neutral).abs().max() < 0.3
    assert (codes[0] - codes[1]).abs().max() > 1e-4
