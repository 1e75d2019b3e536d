"""A run folder belongs to one recipe, one data set and one backbone, whatever they are called."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from crisp.errors import InputError
from crisp.learn import train as train_module
from crisp.learn.options import TrainOptions
from crisp.learn.recipe import DecoderStage, FeatureStage, HeadStage, Recipe
from crisp.learn.train import train
from crisp.networks.backbone import Backbone

RECIPE = Recipe("tiny", decoder=DecoderStage(), features=FeatureStage(), heads=HeadStage())


class ReachedTrainingError(Exception):
    """Stands for the training itself."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def begin(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, backbone: Backbone
) -> Callable[..., dict[str, Any]]:
    """Begin a run in one and the same folder, up to the training; returns its record."""

    def reached(*_: object, **__: object) -> None:
        raise ReachedTrainingError

    monkeypatch.setattr(train_module, "_train_staged", reached)

    def begun(root: Path, other: Backbone | None = None) -> dict[str, Any]:
        options = TrainOptions(dataset=root, split="train", out=tmp_path / "run", cache=cache)
        with pytest.raises(ReachedTrainingError):
            train(RECIPE, options, other or backbone)
        return json.loads((tmp_path / "run" / "run.json").read_text())

    return begun


def changed_copy(root: Path, folder: Path, file: str, change: Callable[[Any], None]) -> Path:
    """A data set of the same name, one of its JSON files changed."""
    copied = folder / root.name
    shutil.copytree(root, copied)
    content = json.loads((copied / file).read_text())
    change(content)
    (copied / file).write_text(json.dumps(content))
    return copied


def move(labels: Any) -> None:
    labels["0"][0]["cam_t_m2c"][0] += 1.0


def flatten(infos: Any) -> None:
    del infos["2"]["symmetries_continuous"]


def drop(cameras: Any) -> None:
    del cameras["1"]


def test_the_same_data_elsewhere_is_the_same_run(
    begin: Callable[..., dict[str, Any]], bop_root: Path, tmp_path: Path
) -> None:
    record = begin(bop_root)
    shutil.copytree(bop_root, tmp_path / "moved" / bop_root.name)
    assert begin(tmp_path / "moved" / bop_root.name) == record


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("train/000001/scene_gt.json", move),
        ("train/000001/scene_camera.json", drop),
        ("models/models_info.json", flatten),
    ],
)
def test_another_data_set_of_the_same_name_is_refused(
    begin: Callable[..., dict[str, Any]],
    bop_root: Path,
    tmp_path: Path,
    file: str,
    change: Callable[[Any], None],
) -> None:
    record = begin(bop_root)
    with pytest.raises(InputError, match="holds a run with another recipe or data set"):
        begin(changed_copy(bop_root, tmp_path / "other", file, change))
    assert begin(bop_root) == record  # and the refused one left no mark


def test_another_backbone_is_refused(
    begin: Callable[..., dict[str, Any]], bop_root: Path, backbone: Backbone
) -> None:
    begin(bop_root)
    other = copy.deepcopy(backbone)
    with torch.no_grad():
        next(other.parameters()).flatten()[0] += 0.1
    with pytest.raises(InputError, match="another backbone"):
        begin(bop_root, other)


@pytest.mark.parametrize(("there", "chosen"), [(True, "cuda"), (False, "cpu")])
def test_no_accelerator_without_double_precision_is_chosen(
    bop_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backbone: Backbone,
    there: bool,
    chosen: str,
) -> None:
    asked = []

    def fabric(*, accelerator: str, devices: int) -> None:
        asked.append((accelerator, devices))
        raise ReachedTrainingError

    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(train_module, "Fabric", fabric)
    with pytest.raises(ReachedTrainingError):
        train(RECIPE, TrainOptions(dataset=bop_root, split="train", out=tmp_path / "run"), backbone)
    assert asked == [(chosen, 1)]
