"""Tracks over a split: whose names they are, when a scene is done again, and what is refused at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from crisp.errors import InputError
from crisp.evaluate.options import PredictOptions
from crisp.evaluate.predict import predict, read_track_ids
from crisp.model import Model
from crisp.tracking.tracker import Masks, Tracker
from crisp.types import Frame, Result

STANDING = {"cam_R_w2c": [1, 0, 0, 0, 1, 0, 0, 0, 1], "cam_t_w2c": [0, 0, 0]}
NAMES = {f"{s:06d}/{i:06d}": ["brick", None] for s in range(3) for i in (0, 1)}


@pytest.fixture
def root(bop_root: Path, tmp_path: Path) -> Path:
    """Two objects in each of two frames of three scenes; where the cameras stood is not said."""
    return Path(shutil.copytree(bop_root, tmp_path / "tiny"))


@pytest.fixture
def standing(root: Path) -> Path:
    """The same, and every camera stands at the world's origin."""
    for path in root.glob("train/*/scene_camera.json"):
        cameras = json.loads(path.read_text())
        path.write_text(json.dumps({key: entry | STANDING for key, entry in cameras.items()}))
    return root


def written(tmp_path: Path, content: Any) -> str:
    path = tmp_path / "ids.json"
    path.write_text(json.dumps(content))
    return str(path)


def frames(out: Path) -> dict[str, Any]:
    return {f["frame_id"]: f for f in json.loads((out / "results.json").read_text())["frames"]}


def test_names_of_the_user_stand_in_the_results(flat_model: Model, root: Path, tmp_path: Path) -> None:
    ids = written(tmp_path, NAMES | {"000000/000001": [7, "can"]})
    assert (
        predict(flat_model, root, PredictOptions("train", frames=2, tracks=ids), out=tmp_path / "out") == []
    )
    found = {name: [o["track"] for o in frame["objects"]] for name, frame in frames(tmp_path / "out").items()}
    assert found == {"000000/000000": ["brick", None], "000000/000001": ["7", "can"]}
    with pytest.raises(InputError, match="another model or other settings"):
        predict(flat_model, root, PredictOptions("train", frames=2), out=tmp_path / "out")


def test_a_frame_with_too_few_names_fails_alone(flat_model: Model, root: Path, tmp_path: Path) -> None:
    ids = written(tmp_path, NAMES | {"000000/000000": ["brick"]})
    (fault,) = predict(flat_model, root, PredictOptions("train", frames=2, tracks=ids), out=tmp_path / "out")
    assert fault == "000000/000000: there are 2 masks but 1 track ids: give one for each mask, in order."
    assert len(frames(tmp_path / "out")["000000/000001"]["objects"]) == 2


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a tracker was asked for, which answers at once: frames by their ids, and new scenes."""
    told: list[str] = []

    def estimate(_: Tracker, frame: Frame, masks: Masks, **__: Any) -> list[Result]:
        told.append(frame.frame_id)
        return [Result("mask_empty", "nothing there.") for _ in masks]

    monkeypatch.setattr(Tracker, "estimate", estimate)
    monkeypatch.setattr(Tracker, "new_scene", lambda _: told.append("new"))
    return told


def test_every_scene_begins_with_no_tracks(
    flat_model: Model, standing: Path, tmp_path: Path, steps: list[str]
) -> None:
    predict(flat_model, standing, PredictOptions("train", tracks="auto"), out=tmp_path / "out")
    # The tracker itself begins with a new scene, before it is asked for anything.
    assert steps == ["new"] + [
        step for s in range(3) for step in ("new", f"{s:06d}/000000", f"{s:06d}/000001")
    ]


def test_a_broken_off_scene_is_done_again_whole(
    flat_model: Model, root: Path, tmp_path: Path, steps: list[str]
) -> None:
    ids, out = written(tmp_path, NAMES), tmp_path / "out"
    predict(flat_model, root, PredictOptions("train", frames=4, tracks=ids), out=out)
    content = json.loads((out / "results.json").read_text())
    whole = content["frames"]
    content["frames"] = whole[:3]  # killed before the second frame of the second scene
    (out / "results.json").write_text(json.dumps(content))
    steps.clear()
    predict(flat_model, root, PredictOptions("train", frames=4, tracks=ids), out=out)
    assert [step for step in steps if step != "new"] == ["000001/000000", "000001/000001"]
    again = json.loads((out / "results.json").read_text())["frames"]
    assert [frame["frame_id"] for frame in again] == [frame["frame_id"] for frame in whole]


def test_auto_says_so_and_a_wrong_pose_harms_its_frame_alone(
    flat_model: Model, standing: Path, tmp_path: Path
) -> None:
    path = standing / "train/000000/scene_camera.json"
    cameras = json.loads(path.read_text())
    cameras["0"]["cam_R_w2c"] = [1] * 9
    path.write_text(json.dumps(cameras))
    (fault,) = predict(
        flat_model, standing, PredictOptions("train", frames=2, tracks="auto"), out=tmp_path / "out"
    )
    assert fault.startswith("000000/000000: cam_R_w2c in ") and fault.endswith("is not a rotation.")
    assert [len(f["objects"]) for f in frames(tmp_path / "out").values()] == [0, 2]
    settings = json.loads((tmp_path / "out" / "results.json").read_text())["settings"]
    assert settings["tracks"] == "auto" and settings["tracking"]["max_frames"] == 50


def test_auto_needs_to_know_where_the_cameras_stood(flat_model: Model, root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"stood in frame 000000/000000 .* or --tracks FILE.json"):
        predict(flat_model, root, PredictOptions("train", tracks="auto"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "no track ids for frame 000000/000000"),
        ([1], "must hold a JSON object"),
        (NAMES | {"000001/000000": "brick"}, "list of track ids for frame 000001/000000, got brick"),
        (NAMES | {"000001/000000": ["a", "a"]}, "frame 000001/000000: track id 'a' stands for two masks"),
        (NAMES | {"000001/000000": ["a", 1.5]}, "must be a text that is not empty, or None, got 1.5"),
        (NAMES | {"000001/000000": ["a", True]}, "must be a text that is not empty, or None, got True"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_first(
    flat_model: Model, root: Path, tmp_path: Path, content: Any, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        predict(
            flat_model,
            root,
            PredictOptions("train", tracks=written(tmp_path, content)),
            out=tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_no_file_no_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_track_ids(tmp_path / "nowhere.json")
