"""Weight-only int8, one step per output channel, for the frozen backbone: 22.8 MB instead of 88 in float32.

A backbone that is quantised once, before heads are trained on it, costs nothing after that; `quantise` of
what `dequantise` returned gives the same bytes, so a network can be saved and loaded any number of times.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from crisp.errors import InputError
from crisp.networks.backbone import Backbone

STEP_SUFFIX = ".int8_step"
_LARGEST = 127


def quantise(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of linear layers and convolutions to int8 with a step per output channel, the rest to float16.

    Embeddings, biases, norms and layer scales are the rest. A matrix `name` becomes `name` (int8) and
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
    """The float32 weights that `quantise` stands for; float tensors without a step are only widened.

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
    """The same backbone with the weights that its int8 file will hold: train heads on this one."""
    state = dequantise(quantise(backbone.published_state()))
    return Backbone.from_state(backbone.config, state, image_px=backbone.image_px)


def _quantise_rows(weight: Float[Tensor, "*shape"]) -> tuple[Int8[Tensor, "*shape"], Tensor]:
    """Round each row to multiples of its step, the largest magnitude to 127 steps.

    The step is bfloat16: 127 of them are exact in float32, so quantising twice changes nothing, and its
    rounding (2^-9) stays below the half step that 127 steps can be off.
    """
    rows = weight.float().flatten(1)
    step = (rows.abs().amax(dim=1) / _LARGEST).to(torch.bfloat16)
    step = torch.where(step > 0, step, torch.ones_like(step))
    whole = (rows / step.float()[:, None]).round().clamp(-_LARGEST, _LARGEST)
    return whole.to(torch.int8).view(weight.shape), step
