"""A small network of the real architecture, and the small labelled set opened for training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from crisp.learn.journal import Journal
from crisp.learn.problem import Problem, open_problem
from crisp.learn.recipe import DecoderStage, FeatureStage, HeadStage, Recipe
from crisp.networks.config import BackboneConfig, NetworkConfig, TokenHeadConfig
from crisp.networks.model import CrispNetwork, build_network

TINY = NetworkConfig(
    preset="tiny",
    image_px=56,
    pnc_px=16,
    head=TokenHeadConfig(width=64, dropout=0.0),
    backbone=BackboneConfig(width=24, blocks=4, attention_heads=2, trained_px=70, taps=(1, 2, 3, 4)),
    code_dim=2 * 48 * 3,
    hidden=48,
    film_layers=3,
    shape_hidden=32,
    cube_half_m=0.1,
)


def build_tiny() -> CrispNetwork:
    torch.manual_seed(0)
    return build_network(TINY)


@pytest.fixture
def tiny_network() -> CrispNetwork:
    return build_tiny()


@pytest.fixture(scope="session")
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


@pytest.fixture(scope="session")
def problem(bop_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Problem:
    recipe = Recipe("tiny", decoder=DecoderStage(), features=FeatureStage(), heads=HeadStage())
    return open_problem(recipe, bop_root, "train", cache=tmp_path_factory.mktemp("distances"))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal")
    yield opened
    opened.close()
