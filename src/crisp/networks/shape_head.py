"""Features -> shape code (method, section 2: 2,825,216 parameters)."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crisp.networks.config import NetworkConfig
from crisp.networks.features import Features

_LAST_WEIGHT_SCALE = 0.1


class ShapeHead(nn.Module):
    """Linear, LayerNorm, ReLU three times, and a Linear to the code.

    The last layer starts at the decoder's neutral code, gamma 1 and beta 0, plus a tenth of the usual
    random spread: with gamma near 0 every sine would be constant and the decoder would not learn.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        wide = config.shape_hidden
        sizes = [5 * config.backbone.width, wide, wide, wide]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.LayerNorm(fan_out), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        self.out = nn.Linear(wide, config.code_dim)
        with torch.no_grad():
            self.out.weight.mul_(_LAST_WEIGHT_SCALE)
            self.out.bias.copy_(neutral_code(config.film_layers, config.hidden))

    @staticmethod
    def shape_input(features: Features) -> Float[Tensor, "b c"]:
        """(B, 5 D): the four class tokens and the mean patch token of the deepest tap."""
        return torch.cat([features.concatenated_cls(), features.taps[:, -1].mean(dim=1)], dim=-1)

    def forward_vector(self, x: Float[Tensor, "b c"]) -> Float[Tensor, "b code"]:
        """Codes (B, code_dim) from `shape_input`, so that training can cache 5 D numbers per crop."""
        return self.out(self.hidden(x))

    def forward(self, features: Features) -> Float[Tensor, "b code"]:
        """Codes (B, code_dim)."""
        return self.forward_vector(self.shape_input(features))


def neutral_code(film_layers: int, hidden: int) -> Float[Tensor, " code"]:
    """The code that modulates nothing: per layer `hidden` gammas of 1, then `hidden` betas of 0."""
    block = torch.cat([torch.ones(hidden), torch.zeros(hidden)])
    return block.repeat(film_layers)
