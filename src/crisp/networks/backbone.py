"""The frozen DINOv2 backbone: its modules, loading it, running it, and storing its weights as int8.

Modules and tensors have the names of the files that Meta publishes (`facebook/dinov2-small`), so these load
as they are; folders that newer versions of `transformers` write name some tensors otherwise. Dropout, masks
and pooling are left out, as they are not used here. `Features` are all that the heads need, so they can be
cached.

Weights are stored as int8 with one step per output channel: 22.8 MB instead of 88 in float32. The backbone
is quantised before the heads are trained on it, so quantisation costs no accuracy later. Quantising the
output of `dequantise` gives the same bytes again, so a network can be saved and loaded any number of times.

Source: Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, 2024.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from crisp.documents import read_json
from crisp.errors import InputError, needing
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


@dataclass(frozen=True, eq=False)
class Features:
    """Tokens of the four tapped blocks, without the backbone's final LayerNorm (method, section 2).

    Args:
        taps: (B, 4, T, D) patch tokens, row by row, shallowest tap first.
        cls: (B, 4, D) class tokens of the same taps.
    """

    taps: Float[Tensor, "b 4 t d"]
    cls: Float[Tensor, "b 4 d"]

    def concatenated_taps(self) -> Float[Tensor, "b t c"]:
        """(B, T, 4 D): each token's four taps side by side, shallowest first."""
        return self.taps.transpose(1, 2).flatten(2)

    def concatenated_cls(self) -> Float[Tensor, "b c"]:
        """(B, 4 D): the four class tokens side by side, shallowest first."""
        return self.cls.flatten(1)


_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_PUBLISHED_NAMES = (
    (".attention.q_proj.", ".attention.attention.query."),
    (".attention.k_proj.", ".attention.attention.key."),
    (".attention.v_proj.", ".attention.attention.value."),
    (".attention.o_proj.", ".attention.output.dense."),
)


class Backbone(nn.Module):
    """A frozen vision transformer: always in evaluation mode, no gradients, float32.

    Args:
        model: of this configuration; its parameters are frozen here.
        config: which blocks are read.
        image_px: the one image side that it will see; the position embedding is interpolated to it once.
    """

    model: Dinov2
    positions: Tensor

    def __init__(self, model: Dinov2, config: BackboneConfig, *, image_px: int) -> None:
        super().__init__()
        self.model = model.float().eval().requires_grad_(False)
        self.config = config
        self.image_px = image_px
        self.register_buffer("positions", self._interpolated_positions(), persistent=False)
        self.register_load_state_dict_post_hook(_refresh_positions)

    @classmethod
    def random(cls, config: BackboneConfig, *, image_px: int) -> Backbone:
        """Random weights, for tests and for counting."""
        return cls(Dinov2(config), config, image_px=image_px)

    @classmethod
    def from_state(cls, config: BackboneConfig, state: Mapping[str, Tensor], *, image_px: int) -> Backbone:
        """From tensors under their published names.

        Raises:
            InputError: a tensor is missing, unknown or of another shape.
        """
        with torch.device("meta"):
            model = Dinov2(config)
        own = model.state_dict()
        unknown, missing = sorted(set(state) - set(own)), sorted(set(own) - set(state))
        if unknown or missing:
            kind, name = ("unknown", unknown[0]) if unknown else ("missing", missing[0])
            raise InputError(f"the backbone weights do not fit the configuration: {kind} tensor {name}.")
        for name, value in own.items():
            wanted, got = tuple(value.shape), tuple(state[name].shape)
            if got != wanted:
                raise InputError(f"the backbone tensor {name} must be {wanted}, got {got}.")
        model.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
        return cls(model, config, image_px=image_px)

    def published_state(self) -> dict[str, Tensor]:
        """The weights under their published names (not a copy)."""
        return self.model.state_dict()

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode, even when the whole network is set to training."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Float[Tensor, "b 3 s s"]) -> Features:
        """Tokens after the configured blocks, without the final LayerNorm (method, section 2).

        Args:
            image: (B, 3, S, S) normalised with ImageNet's mean and deviation, S = image_px.

        Raises:
            InputError: another image size.
        """
        if tuple(image.shape[-2:]) != (self.image_px, self.image_px):
            raise InputError(
                f"this network reads crops of {self.image_px} px, got {tuple(image.shape[-2:])}."
            )
        x = self.model.embeddings(image, self.positions)
        tapped = []
        for number, block in enumerate(self.model.blocks, start=1):
            x = block(x)
            if number in self.config.taps:
                tapped.append(x)
            if number == self.config.taps[-1]:
                break
        tokens = torch.stack(tapped, dim=1)
        return Features(taps=tokens[:, :, 1:], cls=tokens[:, :, 0])

    @torch.no_grad()
    def _interpolated_positions(self) -> Tensor:
        return self.model.embeddings.positions_for(self.image_px // self.config.patch_px)


def load_backbone(source: str | Path, config: BackboneConfig, *, image_px: int) -> Backbone:
    """The backbone from a folder in the HuggingFace format, or from the hub (the only internet access).

    Args:
        source: a folder with `config.json` and `model.safetensors`, or a hub id ("facebook/dinov2-small").

    Raises:
        InputError: no such folder or id, another architecture, damaged files.
    """
    folder = Path(source)
    if not folder.is_dir():
        if not _HUB_ID.fullmatch(str(source)):
            raise InputError(f"there is no backbone folder {source}, and it is not a hub id (owner/name).")
        folder = _download(str(source))
    _check_architecture(folder, config)
    weights = folder / "model.safetensors"
    try:
        state = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise InputError(f"the backbone weights {weights} cannot be read: {error}.") from error
    return Backbone.from_state(config, {published_name(k): v for k, v in state.items()}, image_px=image_px)


def published_name(name: str) -> str:
    """A tensor's name in the published files; published names are returned unchanged."""
    for inside, published in _PUBLISHED_NAMES:
        name = name.replace(inside, published)
    return name


def _download(hub_id: str) -> Path:
    with needing("train"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=["config.json", "model.safetensors"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"the backbone {hub_id} cannot be fetched from the hub: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _check_architecture(folder: Path, config: BackboneConfig) -> None:
    path = folder / "config.json"
    found = read_json(path)
    wanted = {
        "model_type": "dinov2",
        "hidden_size": config.width,
        "num_hidden_layers": config.blocks,
        "num_attention_heads": config.attention_heads,
        "patch_size": config.patch_px,
        "image_size": config.trained_px,
    }
    for key, value in wanted.items():
        if found.get(key) != value:
            raise InputError(f"the backbone in {folder} has {key} {found.get(key)!r}, expected {value!r}.")


def _refresh_positions(module: nn.Module, _: Any) -> None:
    """Interpolate the position embedding again after new weights are loaded."""
    assert isinstance(module, Backbone)
    module.positions.copy_(module._interpolated_positions())


STEP_SUFFIX = ".int8_step"
_LARGEST = 127


def quantise(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of linear layers and convolutions as int8 with a step per output channel, the rest as float16.

    The rest is embeddings, biases, norms and layer scales. A matrix `name` becomes `name` (int8) and
    `name.int8_step` (bfloat16, one per row).
    """
    packed: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith(".weight") and value.ndim >= 2:
            packed[name], packed[name + STEP_SUFFIX] = _quantise_rows(value)
        else:
            packed[name] = value.to(torch.float16)
    return packed


def dequantise(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float32 weights that quantised tensors represent; other float tensors are cast to float32.

    Raises:
        InputError: an int8 tensor without its step.
    """
    state: dict[str, Tensor] = {}
    for name, value in packed.items():
        if name.endswith(STEP_SUFFIX):
            continue
        if value.dtype == torch.int8:
            if name + STEP_SUFFIX not in packed:
                raise InputError(f"the int8 tensor {name} has no {STEP_SUFFIX} beside it.")
            step = packed[name + STEP_SUFFIX].float()
            state[name] = value.float() * step.view(-1, *[1] * (value.ndim - 1))
        else:
            state[name] = value.float()
    return state


def quantise_backbone(backbone: Backbone) -> Backbone:
    """The same backbone with its weights rounded to int8, as its file will hold them: train heads on this."""
    state = dequantise(quantise(backbone.published_state()))
    return Backbone.from_state(backbone.config, state, image_px=backbone.image_px)


def _quantise_rows(weight: Float[Tensor, "*shape"]) -> tuple[Int8[Tensor, "*shape"], Tensor]:
    """Round each row to multiples of its step; the largest magnitude becomes 127 steps.

    The step is bfloat16. 127 times it is exact in float32, so quantising twice changes nothing. Its relative
    rounding error (2^-9) moves 127 steps by less than half a step.
    """
    rows = weight.float().flatten(1)
    step = (rows.abs().amax(dim=1) / _LARGEST).to(torch.bfloat16)
    step = torch.where(step > 0, step, torch.ones_like(step))
    whole = (rows / step.float()[:, None]).round().clamp(-_LARGEST, _LARGEST)
    return whole.to(torch.int8).view(weight.shape), step
