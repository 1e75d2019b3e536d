"""The heads on the backbone's features: the shape head, and the two PNC heads (method, section 2).

`ShapeHead` (2,825,216 parameters) predicts the shape code.

`TokenPncHead`, of preset `small`, is an MLP on every token, then a pixel shuffle. It costs almost nothing
(the dense head costs four times the backbone), and it can be trained on cached features of only the tokens
that lie on the object.

`DptPncHead`, of preset `paper`, is a dense prediction transformer (13,968,147 parameters). It departs from
the usual order of operations in two places, with equal results: the 1x1 convolution of a fusion block runs
before its upsampling (a quarter of the work; bilinear weights sum to 1, so the two commute), and a block
upsamples to the size of the next finer tap, which is twice its own size wherever that is even.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from crisp.networks.backbone import Features
from crisp.networks.config import DptHeadConfig, NetworkConfig, TokenHeadConfig


class PncHead(Protocol):
    """Features -> pose-normalised coordinates (B, G, G, 3), metres in each object's frame."""

    def __call__(self, features: Features) -> Float[Tensor, "b g g 3"]: ...


def build_pnc_head(config: NetworkConfig) -> nn.Module:
    """The head that `config.head` describes; satisfies `PncHead`."""
    if isinstance(config.head, TokenHeadConfig):
        return TokenPncHead(config)
    return DptPncHead(config)


_LAST_WEIGHT_SCALE = 0.1


class ShapeHead(nn.Module):
    """Three times Linear, LayerNorm and ReLU, then a Linear to the code.

    The last layer's bias starts at the decoder's neutral code (gamma 1, beta 0) and its weights at a tenth of
    the usual random scale: with gamma near 0 every sine would be constant and the decoder would not learn.
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
    """The code of no modulation: per layer `hidden` gammas of 1, then `hidden` betas of 0."""
    block = torch.cat([torch.ones(hidden), torch.zeros(hidden)])
    return block.repeat(film_layers)


LEAST_DEVIATION = 1e-6


class Standardise(nn.Module):
    """(x - mean) / standard deviation per channel, both measured once on training features.

    The taps' magnitudes differ by a factor of 40 between the shallowest and the deepest, and single channels
    are ten times larger still. A LayerNorm over the whole token would make the shallow taps almost vanish.
    """

    mean: Float[Tensor, " c"]
    deviation: Float[Tensor, " c"]

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    @torch.no_grad()
    def measure(self, x: Float[Tensor, "n c"]) -> None:
        """Measure mean and standard deviation of rows of features; constant channels are not scaled."""
        deviation = x.std(0, correction=0)
        self.mean.copy_(x.mean(0))
        self.deviation.copy_(torch.where(deviation > LEAST_DEVIATION, deviation, 1.0))

    def forward(self, x: Float[Tensor, "*batch c"]) -> Float[Tensor, "*batch c"]:
        return (x - self.mean) / self.deviation


class TokenPncHead(nn.Module):
    """Four taps and the class tokens -> a small square of PNC pixels per token.

    Call `standardise_on` once with training features before training the head.

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
        # The position embedding is the sum of a row's and a column's: 2 x side vectors instead of side^2.
        sides = (self.tokens_per_side, head.width)
        self.row = nn.Parameter(torch.zeros(sides)) if head.position_embedding else None
        self.column = nn.Parameter(torch.zeros(sides)) if head.position_embedding else None
        self.norms = nn.ModuleList(nn.LayerNorm(head.width) for _ in range(head.residual_layers))
        self.hidden = nn.ModuleList(nn.Linear(head.width, head.width) for _ in range(head.residual_layers))
        self.dropout = nn.Dropout(head.dropout)
        self.out = nn.Linear(head.width, 3 * head.pixels_per_token**2)

    def standardise_on(self, taps: Float[Tensor, "n c"], cls: Float[Tensor, "m c"]) -> None:
        """Measure the inputs' means and standard deviations.

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
        """PNC of any subset of tokens, metres; training uses it on the object's tokens only.

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
    """Pixel shuffle: a square of P pixels per token -> one map. Inverse of `grid_to_tokens`."""
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


class DptPncHead(nn.Module):
    """Reassemble the four taps into a pyramid, fuse it from coarse to fine, decode to the PNC map.

    Raises:
        TypeError: the configuration's head is not a DPT head.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        head = config.head
        if not isinstance(head, DptHeadConfig):
            raise TypeError(f"expected a DPT head configuration, got {type(head).__name__}")
        self.pnc_px = config.pnc_px
        self.reassemble = Reassemble(config.backbone.width, head.tap_channels)
        self.lateral = nn.ModuleList(
            nn.Conv2d(channels, head.features, 3, padding=1, bias=False) for channels in head.tap_channels
        )
        coarsest = len(head.tap_channels) - 1
        self.fusion = nn.ModuleList(
            FusionBlock(head.features, head.groups, units=1 if level == coarsest else 2)
            for level in range(coarsest + 1)
        )
        self.project = nn.Conv2d(head.features, head.features, 3, padding=1)
        wide, narrow = head.cnn_channels
        self.cnn_in = nn.Conv2d(head.features, wide, 3, padding=1)
        self.cnn_out = nn.Sequential(
            nn.GroupNorm(head.groups, wide),
            nn.Conv2d(wide, narrow, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(narrow, 3, 1),
        )

    def forward(self, features: Features) -> Float[Tensor, "b g g 3"]:
        """PNC maps (B, pnc_px, pnc_px, 3), metres."""
        pyramid = [conv(tap) for conv, tap in zip(self.lateral, self.reassemble(features), strict=True)]
        x: Tensor | None = None
        for level in reversed(range(len(pyramid))):
            skip = pyramid[level]
            finer = pyramid[level - 1].shape[-1] if level > 0 else 2 * skip.shape[-1]
            x = self.fusion[level](skip, x, size=finer)
        assert x is not None
        x = resize(self.cnn_in(self.project(x)), self.pnc_px)
        return self.cnn_out(x).movedim(1, -1)


class Reassemble(nn.Module):
    """Tokens -> maps at 4, 2, 1 and 1/2 times the token grid; the class token is merged into each token."""

    def __init__(self, width: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.readout = nn.ModuleList(nn.Sequential(nn.Linear(2 * width, width), nn.GELU()) for _ in channels)
        self.narrow = nn.ModuleList(nn.Conv2d(width, c, 1, bias=False) for c in channels)
        c0, c1, _, c3 = channels
        self.scale = nn.ModuleList(
            [
                nn.ConvTranspose2d(c0, c0, 4, stride=4),
                nn.ConvTranspose2d(c1, c1, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(c3, c3, 3, stride=2, padding=1),
            ]
        )

    def forward(self, features: Features) -> list[Tensor]:
        """Four maps (B, C, side, side), finest first."""
        side = round(features.taps.shape[2] ** 0.5)
        maps = []
        for tap in range(len(self.scale)):
            tokens = features.taps[:, tap]
            cls = features.cls[:, tap, None].expand_as(tokens)
            x = self.readout[tap](torch.cat([tokens, cls], dim=-1))
            x = x.transpose(1, 2).unflatten(2, (side, side))
            maps.append(self.scale[tap](self.narrow[tap](x)))
        return maps


class FusionBlock(nn.Module):
    """Add the coarser level to this one, refine it, and upsample it to the next finer size.

    Args:
        units: 2, or 1 in the coarsest block, which has no coarser level to add.
    """

    def __init__(self, features: int, groups: int, *, units: int) -> None:
        super().__init__()
        self.skip_unit = ResidualUnit(features, groups) if units == 2 else None
        self.unit = ResidualUnit(features, groups)
        self.project = nn.Conv2d(features, features, 1)

    def forward(
        self, skip: Float[Tensor, "b c s s"], coarser: Float[Tensor, "b c s s"] | None, *, size: int
    ) -> Float[Tensor, "b c _s _s"]:
        x = skip
        if coarser is not None and self.skip_unit is not None:
            x = coarser + self.skip_unit(skip)
        return resize(self.project(self.unit(x)), size)


class ResidualUnit(nn.Module):
    """Pre-activation residual unit: twice (ReLU, 3x3 convolution without bias, GroupNorm), plus the input."""

    def __init__(self, features: int, groups: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [
                nn.ReLU(),
                nn.Conv2d(features, features, 3, padding=1, bias=False),
                nn.GroupNorm(groups, features),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "b c s s"]) -> Float[Tensor, "b c s s"]:
        return x + self.layers(x)


def resize(x: Float[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c size size"]:
    """Bilinear resizing with aligned corners."""
    return nn.functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=True)
