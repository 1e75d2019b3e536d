from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from crisp.errors import InputError
from crisp.networks.backbone import Backbone, load_backbone, published_name
from crisp.networks.config import BackboneConfig


@pytest.fixture
def backbone(tiny_backbone: BackboneConfig) -> Backbone:
    torch.manual_seed(0)
    return Backbone.random(tiny_backbone, image_px=56)


def write_folder(folder: Path, backbone: Backbone) -> Path:
    """What a HuggingFace folder holds, under published names."""
    folder.mkdir()
    config = {
        "model_type": "dinov2",
        "hidden_size": 24,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "patch_size": 14,
        "image_size": 70,
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(backbone.published_state(), folder / "model.safetensors")
    return folder


def published_model(config: BackboneConfig, state: dict[str, torch.Tensor]) -> torch.nn.Module:
    """The reference implementation with the same weights."""
    transformers = pytest.importorskip("transformers")
    model = transformers.Dinov2Model(
        transformers.Dinov2Config(
            hidden_size=config.width,
            num_hidden_layers=config.blocks,
            num_attention_heads=config.attention_heads,
            patch_size=config.patch_px,
            image_size=config.trained_px,
        )
    ).eval()
    model.load_state_dict({name: state[published_name(name)] for name in model.state_dict()})
    return model


# 56 px is not the 70 px of the stored position embedding, so this also compares the interpolation.
@pytest.mark.parametrize("image_px", [56, 70])
def test_taps_are_the_hidden_states_of_the_reference_implementation(
    tiny_backbone: BackboneConfig, image_px: int
) -> None:
    torch.manual_seed(0)
    backbone = Backbone.random(tiny_backbone, image_px=image_px)
    state = {name: torch.randn_like(value) for name, value in backbone.published_state().items()}
    backbone = Backbone.from_state(tiny_backbone, state, image_px=image_px)
    image = torch.randn(2, 3, image_px, image_px)
    features = backbone(image)
    with torch.no_grad():
        hidden = published_model(tiny_backbone, state)(image, output_hidden_states=True).hidden_states
    for tap, block in enumerate(tiny_backbone.taps):
        assert torch.equal(features.taps[:, tap], hidden[block][:, 1:])
        assert torch.equal(features.cls[:, tap], hidden[block][:, 0])


def test_blocks_after_the_last_tap_are_not_needed(tiny_backbone: BackboneConfig) -> None:
    config = dataclasses.replace(tiny_backbone, blocks=6)
    early = Backbone.random(config, image_px=56)
    with torch.no_grad():
        early.model.blocks[5].norm1.weight.fill_(float("nan"))
    assert torch.isfinite(early(torch.randn(1, 3, 56, 56)).taps).all()


def test_it_is_frozen_and_stays_in_evaluation_mode(backbone: Backbone) -> None:
    backbone.train()
    assert not any(module.training for module in backbone.modules())
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not backbone(torch.randn(1, 3, 56, 56, requires_grad=True)).taps.requires_grad


def test_another_image_size_is_an_error(backbone: Backbone) -> None:
    with pytest.raises(InputError, match="56 px"):
        backbone(torch.randn(1, 3, 70, 70))


def test_state_under_published_names_and_back(backbone: Backbone, tiny_backbone: BackboneConfig) -> None:
    state = backbone.published_state()
    assert "encoder.layer.0.attention.attention.query.weight" in state
    assert "encoder.layer.0.attention.output.dense.bias" in state
    assert all(published_name(name) == name for name in state)
    again = Backbone.from_state(tiny_backbone, state, image_px=56)
    image = torch.randn(1, 3, 56, 56)
    assert torch.equal(again(image).taps, backbone(image).taps)


def test_new_weights_bring_a_new_position_embedding(
    backbone: Backbone, tiny_backbone: BackboneConfig
) -> None:
    other = Backbone.random(tiny_backbone, image_px=56)
    other.load_state_dict(backbone.state_dict())
    image = torch.randn(1, 3, 56, 56)
    assert torch.equal(other(image).taps, backbone(image).taps)


def test_loading_from_a_folder(backbone: Backbone, tmp_path: Path, tiny_backbone: BackboneConfig) -> None:
    folder = write_folder(tmp_path / "dino", backbone)
    loaded = load_backbone(folder, tiny_backbone, image_px=56)
    image = torch.randn(1, 3, 56, 56)
    assert torch.equal(loaded(image).taps, backbone(image).taps)


def test_unfit_folders_are_errors(backbone: Backbone, tmp_path: Path, tiny_backbone: BackboneConfig) -> None:
    with pytest.raises(InputError, match="no backbone folder"):
        load_backbone(tmp_path / "nothing", tiny_backbone, image_px=56)
    folder = write_folder(tmp_path / "dino", backbone)
    with pytest.raises(InputError, match="num_attention_heads 2, expected 3"):
        load_backbone(folder, dataclasses.replace(tiny_backbone, attention_heads=3), image_px=56)
    (folder / "model.safetensors").write_bytes(b"12345678901234567890")
    with pytest.raises(InputError, match="cannot be read"):
        load_backbone(folder, tiny_backbone, image_px=56)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json"):
        load_backbone(folder, tiny_backbone, image_px=56)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("layernorm.weight", None, "missing tensor layernorm.weight"),
        ("head.weight", torch.zeros(2), "unknown tensor head.weight"),
        ("layernorm.bias", torch.zeros(25), r"layernorm.bias must be \(24,\), got \(25,\)"),
    ],
)
def test_unfit_tensors_are_named(
    backbone: Backbone, name: str, tensor: torch.Tensor | None, message: str, tiny_backbone: BackboneConfig
) -> None:
    state = backbone.published_state()
    if tensor is None:
        del state[name]
    else:
        state[name] = tensor
    with pytest.raises(InputError, match=message):
        Backbone.from_state(tiny_backbone, state, image_px=56)
