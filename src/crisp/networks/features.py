"""What the frozen backbone says of a batch of crops: all that the heads see, so it can be cached."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Features:
    """Tokens of the four taps, raw: the backbone's final LayerNorm is not applied (method, section 2).

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
