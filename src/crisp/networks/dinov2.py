"""DINOv2's vision transformer, as far as it is read here: frozen, without dropout, masks and pooling.

The modules bear the names of the tensors that Meta publishes (`facebook/dinov2-small`), so its files load as
they are.

Source: Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, 2024.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crisp.networks.config import BackboneConfig

_EPS = 1e-6
_MLP_RATIO = 4
_INIT_STD = 0.02


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.output = nn.ModuleDict({"dense": nn.Linear(width, width)})
        self.heads = heads

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        q, k, v = (
            self.attention[name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.output["dense"](mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a perceptron, each after a norm and scaled channel by channel before it is added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attention = Attention(width, heads)
        self.layer_scale1 = nn.ParameterDict({"lambda1": nn.Parameter(torch.ones(width))})
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        hidden = _MLP_RATIO * width
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self.layer_scale2 = nn.ParameterDict({"lambda1": nn.Parameter(torch.ones(width))})

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        x = self.attention(self.norm1(x)) * self.layer_scale1["lambda1"] + x
        hidden = F.gelu(self.mlp["fc1"](self.norm2(x)))
        return self.mlp["fc2"](hidden) * self.layer_scale2["lambda1"] + x


class Embeddings(nn.Module):
    """Patches to tokens, with the class token before them, and the positions of both."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        width, patch, side = config.width, config.patch_px, config.trained_px // config.patch_px
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of the pre-training; in every published file
        self.patch_embeddings = nn.ModuleDict({"projection": nn.Conv2d(3, width, patch, stride=patch)})
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + side * side, width))

    def forward(
        self, image: Float[Tensor, "b 3 s s"], positions: Float[Tensor, "1 t d"]
    ) -> Float[Tensor, "b t d"]:
        patches = self.patch_embeddings["projection"](image).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(image), -1, -1), patches], dim=1) + positions

    def positions_for(self, side: int) -> Float[Tensor, "1 t d"]:
        """The positions of a class token and side x side patches, interpolated from the trained ones."""
        trained = self.position_embeddings
        was = round((trained.shape[1] - 1) ** 0.5)
        if side == was:
            return trained.clone()
        grid = trained[:, 1:].unflatten(1, (was, was)).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
        return torch.cat([trained[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


class Dinov2(nn.Module):
    """The whole transformer, with random weights.

    Its parts are run by `Backbone`, which reads tokens between the blocks; the final norm is there for the
    published files alone.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        blocks = [Block(config.width, config.attention_heads) for _ in range(config.blocks)]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(blocks)})
        self.layernorm = nn.LayerNorm(config.width, eps=_EPS)
        self.apply(_initialise)

    @property
    def blocks(self) -> nn.ModuleList:
        """In the order in which tokens pass them."""
        found = self.encoder["layer"]
        assert isinstance(found, nn.ModuleList)
        return found


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    if isinstance(module, Embeddings):
        nn.init.trunc_normal_(module.position_embeddings, std=_INIT_STD)
        nn.init.trunc_normal_(module.cls_token, std=_INIT_STD)
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=_INIT_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
