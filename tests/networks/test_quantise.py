from __future__ import annotations

import pytest
import torch

from crisp.errors import InputError
from crisp.networks.backbone import STEP_SUFFIX, Backbone, dequantise, quantise, quantise_backbone
from crisp.networks.config import BackboneConfig


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "fc.weight": torch.randn(6, 5) * torch.tensor([1e-6, 1e-3, 1.0, 1e3, 0.1, 0.0])[:, None],
        "conv.weight": torch.randn(4, 3, 2, 2),
        "fc.bias": torch.randn(6),
        "norm.weight": torch.randn(5),
        "position_embeddings": torch.randn(1, 7, 5),
    }


def test_what_becomes_int8_and_what_float16(state: dict[str, torch.Tensor]) -> None:
    packed = quantise(state)
    matrices = {"fc.weight", "conv.weight"}
    assert {k for k, v in packed.items() if v.dtype == torch.int8} == matrices
    assert all(packed[k].dtype == torch.float16 for k in set(state) - matrices)
    assert packed["conv.weight" + STEP_SUFFIX].shape == (4,)


def test_weights_move_by_at_most_half_a_step_of_their_row(state: dict[str, torch.Tensor]) -> None:
    back = dequantise(quantise(state))
    for name in ("fc.weight", "conv.weight"):
        rows, error = state[name].flatten(1), (back[name] - state[name]).flatten(1).abs()
        # The step is the row's largest magnitude / 127, rounded to bfloat16 (2^-9).
        half_step = 0.5 * rows.abs().amax(dim=1, keepdim=True) / 127 * (1 + 2**-8)
        assert (error <= half_step).all()
    assert torch.equal(back["fc.bias"], state["fc.bias"].half().float())
    assert torch.equal(back["fc.weight"][5], torch.zeros(5))


def test_quantising_twice_changes_nothing() -> None:
    torch.manual_seed(1)
    packed = quantise({"a.weight": torch.randn(2000, 16) * torch.rand(2000, 1)})
    again = quantise(dequantise(packed))
    assert all(torch.equal(packed[k], again[k]) for k in packed)


def test_a_step_that_is_missing_is_an_error(state: dict[str, torch.Tensor]) -> None:
    packed = quantise(state)
    del packed["fc.weight" + STEP_SUFFIX]
    with pytest.raises(InputError, match=r"fc\.weight"):
        dequantise(packed)


def test_a_quantised_backbone_says_nearly_the_same(tiny_backbone: BackboneConfig) -> None:
    torch.manual_seed(0)
    backbone = Backbone.random(tiny_backbone, image_px=56)
    image = torch.randn(2, 3, 56, 56)
    before, after = backbone(image).taps, quantise_backbone(backbone)(image).taps
    assert not torch.equal(before, after)
    assert torch.cosine_similarity(before, after, dim=-1).min() > 0.999
