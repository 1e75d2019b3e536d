from __future__ import annotations

import dataclasses
import json

import pytest

from crisp.errors import InputError
from crisp.networks.config import BackboneConfig, NetworkConfig, TokenHeadConfig, preset


@pytest.mark.parametrize("name", ["small", "paper"])
def test_json_and_back_is_the_identity(name: str) -> None:
    config = preset(name)
    assert NetworkConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_presets_are_the_published_sizes() -> None:
    small, paper = preset("small"), preset("paper")
    assert (small.image_px, small.pnc_px) == (224, 64)
    assert (paper.image_px, paper.pnc_px) == (420, 420)
    assert small.backbone == paper.backbone


def test_unknown_preset() -> None:
    with pytest.raises(InputError, match="'large'"):
        preset("large")


@pytest.mark.parametrize("place", ["network", "head", "backbone"])
def test_unknown_key_is_named(place: str) -> None:
    values = preset("small").to_json()
    (values if place == "network" else values[place])["colour"] = 1
    with pytest.raises(InputError, match=f"{place} .*'colour'"):
        NetworkConfig.from_json(values)


def test_missing_key_is_named() -> None:
    values = preset("small").to_json()
    del values["image_px"]
    with pytest.raises(InputError, match="image_px"):
        NetworkConfig.from_json(values)


def test_unknown_head_kind() -> None:
    values = preset("small").to_json()
    values["head"]["kind"] = "unet"
    with pytest.raises(InputError, match="'unet'"):
        NetworkConfig.from_json(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_px": 220}, "multiple of 14"),
        ({"image_px": 0}, "image_px"),
        ({"pnc_px": 32}, "64 px, got pnc_px 32"),
        ({"head": TokenHeadConfig(pixels_per_token=2)}, "32 px, got pnc_px 64"),
        ({"code_dim": 2561}, "2560"),
        ({"cube_half_m": 0.0}, "cube_half_m"),
    ],
)
def test_contradictions_are_errors(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(preset("small"), **change)


@pytest.mark.parametrize("change", [{"taps": (3, 6, 9, 13)}, {"taps": (6, 3, 9, 12)}, {"attention_heads": 7}])
def test_impossible_backbones_are_errors(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        dataclasses.replace(BackboneConfig(), **change)
