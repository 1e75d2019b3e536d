"""Small networks of the real architecture: the laws do not depend on width."""

from __future__ import annotations

import pytest
import torch

from crisp.networks.backbone import Features
from crisp.networks.config import BackboneConfig, DptHeadConfig, NetworkConfig, TokenHeadConfig
from crisp.networks.model import CrispNetwork, build_network

TINY_BACKBONE = BackboneConfig(width=24, blocks=4, attention_heads=2, trained_px=70, taps=(1, 2, 3, 4))


def tiny_config(head: TokenHeadConfig | DptHeadConfig) -> NetworkConfig:
    """56 px = 4 x 4 tokens, 16 px of PNC, codes of 2 x 2 x 8 = 32 numbers."""
    return NetworkConfig(
        preset="tiny",
        image_px=56,
        pnc_px=16,
        head=head,
        backbone=TINY_BACKBONE,
        code_dim=32,
        hidden=8,
        film_layers=2,
        shape_hidden=16,
    )


@pytest.fixture
def tiny_backbone() -> BackboneConfig:
    return TINY_BACKBONE


@pytest.fixture
def token_config() -> NetworkConfig:
    return tiny_config(TokenHeadConfig(width=20))


@pytest.fixture
def dpt_config() -> NetworkConfig:
    return tiny_config(DptHeadConfig(features=8, tap_channels=(4, 8, 12, 16), cnn_channels=(8, 4), groups=2))


@pytest.fixture
def tiny_network(token_config: NetworkConfig) -> CrispNetwork:
    torch.manual_seed(0)
    return build_network(token_config).eval()


@pytest.fixture
def features() -> Features:
    """Two crops of the tiny backbone: 16 tokens, width 24."""
    generator = torch.Generator().manual_seed(1)
    return Features(
        taps=torch.randn(2, 4, 16, 24, generator=generator), cls=torch.randn(2, 4, 24, generator=generator)
    )
