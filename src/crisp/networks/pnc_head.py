"""What a PNC head is, and which one a configuration asks for."""

from __future__ import annotations

from typing import Protocol

from jaxtyping import Float
from torch import Tensor, nn

from crisp.networks.config import NetworkConfig, TokenHeadConfig
from crisp.networks.dpt_head import DptPncHead
from crisp.networks.features import Features
from crisp.networks.token_head import TokenPncHead


class PncHead(Protocol):
    """Features -> pose-normalised coordinates (B, G, G, 3), metres in each object's frame."""

    def __call__(self, features: Features) -> Float[Tensor, "b g g 3"]: ...


def build_pnc_head(config: NetworkConfig) -> nn.Module:
    """The head that `config.head` describes; satisfies `PncHead`."""
    if isinstance(config.head, TokenHeadConfig):
        return TokenPncHead(config)
    return DptPncHead(config)
