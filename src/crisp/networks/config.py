"""Configuration of a network (method, section 2). The two presets differ only in these values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from crisp.documents import Choices, above_zero, at_least, at_most, build_record
from crisp.errors import InputError

LARGEST = 100_000  # far above every real size, and below what ends in memory errors


@dataclass(frozen=True)
class BackboneConfig:
    """A DINOv2 vision transformer; the defaults are ViT-S/14.

    Args:
        width: channels per token.
        blocks: transformer blocks.
        attention_heads: per block; must divide the width.
        patch_px: side of a token's square.
        trained_px: image side that the stored position embedding belongs to.
        taps: the four blocks (1-based, ascending) whose tokens the heads use.
    """

    width: int = 384
    blocks: int = 12
    attention_heads: int = 6
    patch_px: int = 14
    trained_px: int = 518
    taps: tuple[int, int, int, int] = (3, 6, 9, 12)

    def __post_init__(self) -> None:
        _sizes(self, "width", "blocks", "attention_heads", "patch_px", "trained_px")
        if len(self.taps) != 4 or list(self.taps) != sorted(set(self.taps)) or self.taps[0] < 1:
            raise InputError(f"backbone taps must be four ascending block numbers from 1, got {self.taps}.")
        if self.taps[-1] > self.blocks:
            raise InputError(f"backbone tap {self.taps[-1]} does not exist: there are {self.blocks} blocks.")
        if self.width % self.attention_heads:
            raise InputError(f"{self.attention_heads} attention heads do not divide the width {self.width}.")


@dataclass(frozen=True)
class TokenHeadConfig:
    """An MLP on every token and a pixel shuffle: the head of `small`.

    Args:
        width: channels of each hidden layer.
        residual_layers: hidden layers after the first.
        pixels_per_token: side of the square of PNC pixels that one token decodes to.
        dropout: in every hidden layer, training only.
        position_embedding: add a learned embedding of the token's row and column.
        pnc_unit_m: metres per unit of the last layer's output, so that its outputs are near 1.
    """

    width: int = 768
    residual_layers: int = 4
    pixels_per_token: int = 4
    dropout: float = 0.0
    position_embedding: bool = True
    pnc_unit_m: float = 0.1

    def __post_init__(self) -> None:
        _sizes(self, "width", "pixels_per_token")
        at_least(self, 0, "residual_layers", "dropout")
        at_most(self, LARGEST, "residual_layers")
        at_most(self, 1, "dropout")
        above_zero(self, "pnc_unit_m")


@dataclass(frozen=True)
class DptHeadConfig:
    """A dense prediction transformer: the head of `paper`.

    Args:
        features: channels of the fusion blocks.
        tap_channels: channels of the four reassembled taps, finest first.
        cnn_channels: channels of the last network's two hidden layers.
        groups: groups of every group normalisation.
    """

    features: int = 256
    tap_channels: tuple[int, int, int, int] = (48, 96, 192, 384)
    cnn_channels: tuple[int, int] = (128, 32)
    groups: int = 4

    def __post_init__(self) -> None:
        _sizes(self, "features", "groups")
        for channels in (*self.tap_channels, *self.cnn_channels):
            if not 1 <= channels <= LARGEST:
                raise InputError(f"channels must be numbers from 1 to {LARGEST}, got {channels}.")


@dataclass(frozen=True)
class NetworkConfig:
    """The whole network.

    Args:
        preset: name of this configuration.
        image_px: side of the square crop that the backbone sees; a multiple of the patch.
        pnc_px: side of the square PNC map.
        head: the PNC head.
        backbone: the frozen transformer.
        code_dim: dimensions of a shape code; film_layers x 2 x hidden.
        hidden: width of the shape decoder.
        film_layers: modulated layers of the shape decoder.
        shape_hidden: width of the shape head.
        cube_half_m: half the side of the cube in which the decoder is trained.

    Raises:
        InputError: values that contradict each other.
    """

    preset: str
    image_px: int
    pnc_px: int
    head: TokenHeadConfig | DptHeadConfig
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    code_dim: int = 2560
    hidden: int = 256
    film_layers: int = 5
    shape_hidden: int = 512
    cube_half_m: float = 0.2

    def __post_init__(self) -> None:
        _sizes(self, "image_px", "pnc_px", "code_dim", "hidden", "film_layers", "shape_hidden")
        above_zero(self, "cube_half_m")
        patch = self.backbone.patch_px
        if self.image_px < patch or self.image_px % patch:
            raise InputError(f"image_px must be a positive multiple of {patch}, got {self.image_px}.")
        if self.code_dim != 2 * self.hidden * self.film_layers:
            raise InputError(
                f"code_dim must be 2 x hidden x film_layers = {2 * self.hidden * self.film_layers}, "
                f"got {self.code_dim}."
            )
        if isinstance(self.head, TokenHeadConfig):
            wanted = self.head.pixels_per_token * self.tokens_per_side
            if self.pnc_px != wanted:
                raise InputError(
                    f"a token head on {self.image_px} px gives a PNC map of {wanted} px, "
                    f"got pnc_px {self.pnc_px}."
                )

    @property
    def tokens_per_side(self) -> int:
        return self.image_px // self.backbone.patch_px

    def to_json(self) -> dict[str, Any]:
        """A plain JSON object; `head.kind` is "token" or "dpt"."""
        kind = next(name for name, head in HEADS.items() if isinstance(self.head, head))
        return {**asdict(self), "head": {"kind": kind, **asdict(self.head)}}

    @classmethod
    def from_json(cls, values: Any) -> NetworkConfig:
        """The inverse of `to_json`; keys with a default may be left out.

        Raises:
            InputError: an unknown or missing key, a value of another type, or contradicting values.
        """
        return build_record(cls, values, where="the network configuration", choices=HEAD_CHOICES)


HEADS: dict[str, type] = {"token": TokenHeadConfig, "dpt": DptHeadConfig}
HEAD_CHOICES: Choices = {TokenHeadConfig | DptHeadConfig: HEADS}


def preset(name: Literal["small", "paper"] | str) -> NetworkConfig:
    """The configuration of a preset.

    Raises:
        InputError: no such preset.
    """
    if name == "small":
        return NetworkConfig(preset="small", image_px=224, pnc_px=64, head=TokenHeadConfig())
    if name == "paper":
        return NetworkConfig(preset="paper", image_px=420, pnc_px=420, head=DptHeadConfig())
    raise InputError(f"there is no network preset {name!r}: choose small or paper.")


def _sizes(record: object, *keys: str) -> None:
    at_least(record, 1, *keys)
    at_most(record, LARGEST, *keys)
