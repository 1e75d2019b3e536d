"""The PNC head of `small`: a perceptron on every token, then a pixel shuffle.

A dense head (`dpt_head`) costs four times the backbone; this one costs almost nothing and, working token by
token, trains on cached features of only the tokens that lie on the object.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from crisp.networks.config import NetworkConfig, TokenHeadConfig
from crisp.networks.features import Features

LEAST_DEVIATION = 1e-6


class Standardise(nn.Module):
    """(x - mean) / deviation, channel by channel, both measured once on training features.

    The taps' sizes differ by 40 times between the shallowest and the deepest, and single channels stand out
    by ten times more: a norm over a whole token would leave the shallow taps next to nothing.
    """

    mean: Float[Tensor, " c"]
    deviation: Float[Tensor, " c"]

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    @torch.no_grad()
    def measure(self, x: Float[Tensor, "n c"]) -> None:
        """Take mean and deviation from rows of features; a channel that never changes is left unscaled."""
        deviation = x.std(0, correction=0)
        self.mean.copy_(x.mean(0))
        self.deviation.copy_(torch.where(deviation > LEAST_DEVIATION, deviation, 1.0))

    def forward(self, x: Float[Tensor, "*batch c"]) -> Float[Tensor, "*batch c"]:
        return (x - self.mean) / self.deviation


class TokenPncHead(nn.Module):
    """Four taps and the class tokens -> a small square of PNC pixels per token.

    `standardise_on` must see training features once before the head is trained.

    Raises:
        TypeError: the configuration's head is not a token head.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        head = config.head
        if not isinstance(head, TokenHeadConfig):
            raise TypeError(f"expected a token head configuration, got {type(head).__name__}")
        self.tokens_per_side = config.tokens_per_side
        self.pixels_per_token = head.pixels_per_token
        self.pnc_unit_m = head.pnc_unit_m
        tapped = 4 * config.backbone.width
        self.token_norm = Standardise(tapped)
        self.token_in = nn.Linear(tapped, head.width)
        self.cls_norm = Standardise(tapped)
        self.cls_in = nn.Linear(tapped, head.width, bias=False)
        # Row and column embeddings add up to the position's: 2 x side instead of side^2 vectors to learn.
        sides = (self.tokens_per_side, head.width)
        self.row = nn.Parameter(torch.zeros(sides)) if head.position_embedding else None
        self.column = nn.Parameter(torch.zeros(sides)) if head.position_embedding else None
        self.norms = nn.ModuleList(nn.LayerNorm(head.width) for _ in range(head.residual_layers))
        self.hidden = nn.ModuleList(nn.Linear(head.width, head.width) for _ in range(head.residual_layers))
        self.dropout = nn.Dropout(head.dropout)
        self.out = nn.Linear(head.width, 3 * head.pixels_per_token**2)

    def standardise_on(self, taps: Float[Tensor, "n c"], cls: Float[Tensor, "m c"]) -> None:
        """Measure the inputs' means and deviations.

        Args:
            taps: (N, 4 D) tokens of many crops.
            cls: (M, 4 D) class tokens.
        """
        self.token_norm.measure(taps)
        self.cls_norm.measure(cls)

    def forward(self, features: Features) -> Float[Tensor, "b g g 3"]:
        """PNC maps (B, G, G, 3), metres, G = pixels_per_token x tokens_per_side."""
        b, _, t, _ = features.taps.shape
        index = torch.arange(t, device=features.taps.device).expand(b, t)
        tokens = self.forward_tokens(features.concatenated_taps(), features.concatenated_cls(), index)
        return tokens_to_grid(tokens)

    def forward_tokens(
        self,
        taps: Float[Tensor, "*batch t c"],
        cls: Float[Tensor, "*batch c"],
        token_index: Int[Tensor, "*batch t"],
    ) -> Float[Tensor, "*batch t p 3"]:
        """PNC of any subset of tokens, metres: what training on the object's tokens alone calls.

        Args:
            taps: (..., T, 4 D), `Features.concatenated_taps` or a selection of its tokens.
            cls: (..., 4 D), `Features.concatenated_cls` of the crop that the tokens are from.
            token_index: (..., T) where the tokens lie, row x tokens_per_side + column.

        Returns:
            (..., T, P, 3): each token's pixels, row by row; P = pixels_per_token squared.
        """
        x = self.token_in(self.token_norm(taps)) + self.cls_in(self.cls_norm(cls)).unsqueeze(-2)
        if self.row is not None and self.column is not None:
            side = self.tokens_per_side
            row = token_index.div(side, rounding_mode="floor")
            x = x + self.row[row] + self.column[token_index - row * side]
        x = self.dropout(nn.functional.gelu(x))
        for norm, layer in zip(self.norms, self.hidden, strict=True):
            x = x + self.dropout(nn.functional.gelu(layer(norm(x))))
        return self.pnc_unit_m * self.out(x).unflatten(-1, (-1, 3))


def tokens_to_grid(tokens: Float[Tensor, "b t p 3"]) -> Float[Tensor, "b g g 3"]:
    """The pixel shuffle: a square of P pixels per token -> one map. Inverse of `grid_to_tokens`."""
    side, pixels = _root(tokens.shape[1]), _root(tokens.shape[2])
    x = tokens.unflatten(2, (pixels, pixels)).unflatten(1, (side, side))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def grid_to_tokens(grid: Tensor, pixels_per_token: int) -> Tensor:
    """Cut maps into each token's pixels, row by row: targets for `forward_tokens`.

    Args:
        grid: (B, G, G, ...), such as PNC targets (B, G, G, 3) or a validity mask (B, G, G).

    Returns:
        (B, T, P, ...), P = pixels_per_token squared.
    """
    side = grid.shape[1] // pixels_per_token
    x = grid.unflatten(2, (side, pixels_per_token)).unflatten(1, (side, pixels_per_token))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _root(square: int) -> int:
    root = round(square**0.5)
    if root * root != square:
        raise ValueError(f"{square} is not a square number")
    return root
