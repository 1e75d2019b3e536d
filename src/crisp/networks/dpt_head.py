"""The PNC head of `paper`: a dense prediction transformer (method, section 2: 13,968,147 parameters).

Two departures from the plain order of operations, both equal in value: the 1x1 convolution of a fusion block
runs before its upsampling (a quarter of the work; bilinear weights sum to 1, so the two commute), and a
block's upsampling goes to the size of the next finer tap, which is twice its own wherever that is even.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crisp.networks.config import DptHeadConfig, NetworkConfig
from crisp.networks.features import Features


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
    """Tokens -> maps at 4, 2, 1 and 1/2 times the token grid; the class token is mixed into each token."""

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
    """Add the coarser level to this one, refine, and hand on at the next finer size.

    Args:
        units: 2, or 1 in the coarsest block, which has nothing to add.
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
    """Pre-activation: twice (ReLU, 3x3 convolution without bias, GroupNorm), added to the input."""

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
    """Bilinear, corner pixels on corner pixels."""
    return nn.functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=True)
