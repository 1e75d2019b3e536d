"""BOP19's targets: which frames are scored, and which labels `bop` looks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scored_set import failed, truth, write_predictions, write_set

from crisp.errors import InputError
from crisp.evaluate.options import PredictOptions, ScoreOptions
from crisp.evaluate.predict import predict
from crisp.evaluate.score import score
from crisp.model import Model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path)


def targets(path: Path, *entries: tuple[int, int, int]) -> Path:
    """Image, object and count, of scene 1."""
    said = [{"scene_id": 1, "im_id": i, "obj_id": o, "inst_count": n} for i, o, n in entries]
    path.write_text(json.dumps(said))
    return path


def visible(root: Path, *shares: float) -> None:
    """How much is visible of the first frame's labels."""
    path = root / "test" / "000001" / "scene_gt_info.json"
    content: dict[str, Any] = json.loads(path.read_text())
    for label, share in zip(content["0"], shares, strict=True):
        label["visib_fract"] = share
    path.write_text(json.dumps(content))


def test_only_the_frames_and_objects_that_are_asked_for(tmp_path: Path, root: Path) -> None:
    # Of two cans one is asked for: the more visible second one, which has no estimate. With the box, which is
    # found: 1 of 2.
    visible(root, 1.0, 0.6, 0.7)
    frames = truth()
    frames["000001/000000"][2] = failed(2)
    out = write_predictions(tmp_path / "out", frames)
    targets(root / "test_targets_bop19.json", (0, 2, 1), (0, 1, 1))
    scores = score(
        ScoreOptions(out, root, "test", protocols=("add-s", "bop"), targets=Path("test_targets_bop19.json"))
    )
    assert [row.frame_id for row in scores.objects] == ["000001/000000"] * 3
    assert [row.errors["bop"] is not None for row in scores.objects] == [True, False, True]
    assert scores.summary().figure("AR").value == pytest.approx(0.5)  # type: ignore[union-attr]
    assert scores.settings["targets"]["file"] == "test_targets_bop19.json"
    with pytest.raises(InputError, match="targets"):  # other settings in the same place
        score(ScoreOptions(out, root, "test", protocols=("add-s", "bop")))


def test_targets_reach_below_a_tenth(tmp_path: Path, root: Path) -> None:
    """BOP19 takes the most visible labels, however little of them can be seen."""
    visible(root, 0.05, 1.0, 1.0)
    out = write_predictions(tmp_path / "out", truth())
    file = targets(tmp_path / "mine.json", (0, 1, 1))
    without = score(ScoreOptions(out, root, "test", protocols=("bop",), out=tmp_path / "a"))
    assert without.objects[0].errors["bop"] is None
    asked = score(ScoreOptions(out, root, "test", protocols=("bop",), out=tmp_path / "b", targets=file))
    first, second = (row.errors["bop"] for row in asked.objects[:2])
    assert first is not None and second is None


def test_targets_of_another_set_are_refused(tmp_path: Path, root: Path) -> None:
    out = write_predictions(tmp_path / "out", truth())
    file = targets(tmp_path / "mine.json", (7, 1, 1))
    with pytest.raises(InputError, match=r"names image 000001/000007, which split 'test' .* has not"):
        score(ScoreOptions(out, root, "test", targets=file))
    with pytest.raises(InputError, match=r"cannot read .*nowhere\.json"):
        score(ScoreOptions(out, root, "test", targets=Path("nowhere.json")))


def test_only_target_frames_are_predicted(tmp_path: Path, bop_root: Path, flat_model: Model) -> None:
    said = [{"scene_id": 2, "im_id": 1, "obj_id": 1, "inst_count": 1}]
    file = tmp_path / "t.json"
    file.write_text(json.dumps(said))
    assert predict(flat_model, bop_root, PredictOptions("train", targets=file), out=tmp_path / "out") == []
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [frame["frame_id"] for frame in content["frames"]] == ["000002/000001"]
