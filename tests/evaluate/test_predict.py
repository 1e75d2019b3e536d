"""Predictions of a split: what is gone on with, what is tried again, and what is another data set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from crisp.errors import InputError
from crisp.evaluate.options import PredictOptions
from crisp.evaluate.predict import predict
from crisp.model import Model, load_model


@pytest.fixture(scope="module")
def model(flat_checkpoint: Path) -> Model:
    return load_model(flat_checkpoint, device="cpu")


@pytest.fixture
def root(bop_root: Path, tmp_path: Path) -> Path:
    shutil.copytree(bop_root, tmp_path / "tiny")
    return tmp_path / "tiny"


def statuses(out: Path) -> list[str]:
    content: dict[str, Any] = json.loads((out / "results.json").read_text())
    return [entry["status"] for frame in content["frames"] for entry in frame["objects"]]


def test_a_mask_that_could_not_be_read_is_tried_again(model: Model, root: Path, tmp_path: Path) -> None:
    mask, out = root / "train/000000/mask_visib/000000_000001.png", tmp_path / "out"
    sound = mask.read_bytes()
    mask.write_bytes(sound[: len(sound) // 2])
    (fault,) = predict(model, root, PredictOptions("train", frames=1), out=out)
    assert "000000_000001.png is damaged" in fault
    assert statuses(out)[1] == "mask_unreadable"
    mask.write_bytes(sound)
    assert predict(model, root, PredictOptions("train", frames=1), out=out) == []
    assert len(statuses(out)) == 2 and "mask_unreadable" not in statuses(out)


@pytest.mark.parametrize("file", ["scene_gt.json", "scene_camera.json"])
def test_another_data_set_of_the_same_name_is_refused(
    model: Model, root: Path, tmp_path: Path, file: str
) -> None:
    predict(model, root, PredictOptions("train", frames=1), out=tmp_path / "out")
    path = root / "train" / "000002" / file
    content = json.loads(path.read_text())
    content["7"] = content["0"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="another model or other settings"):
        predict(model, root, PredictOptions("train", frames=1), out=tmp_path / "out")


@pytest.mark.parametrize("frames", [0, -1])
def test_fewer_than_one_frame_is_refused(model: Model, root: Path, tmp_path: Path, frames: int) -> None:
    with pytest.raises(InputError, match=f"at least one frame .* --frames {frames}"):
        predict(model, root, PredictOptions("train", frames=frames), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_split_that_lists_no_frame_is_refused(model: Model, root: Path, tmp_path: Path) -> None:
    for path in root.glob("train/*/scene_camera.json"):
        path.write_text("{}")
    with pytest.raises(InputError, match="train has no frame"):
        predict(model, root, PredictOptions("train"), out=tmp_path / "out")
