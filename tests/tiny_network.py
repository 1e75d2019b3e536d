"""A small network of the real architecture."""

from __future__ import annotations

import torch

from crisp.networks.config import BackboneConfig, NetworkConfig, TokenHeadConfig
from crisp.networks.model import CrispNetwork, build_network

TINY = NetworkConfig(
    preset="tiny",
    image_px=56,
    pnc_px=16,
    head=TokenHeadConfig(width=64, dropout=0.0),
    backbone=BackboneConfig(width=24, blocks=4, attention_heads=2, trained_px=70, taps=(1, 2, 3, 4)),
    code_dim=2 * 48 * 3,
    hidden=48,
    film_layers=3,
    shape_hidden=32,
    cube_half_m=0.1,
)


def build_tiny() -> CrispNetwork:
    torch.manual_seed(0)
    return build_network(TINY)
