"""BOP sets: each fault is one sentence that names its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from small_set import KEY, edit

from crisp.data.bop.reader import BopDataset, FrameKey
from crisp.errors import InputError


def test_a_missing_root_or_split_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match=r"there is no data set folder .*nowhere"):
        BopDataset(root / "nowhere", "train")
    with pytest.raises(InputError, match=r"has no split 'test' .*: the splits there are train"):
        BopDataset(root, "test")
    with pytest.raises(InputError, match=r"has no split 'train' .*: no folder there holds scenes"):
        BopDataset(root / "models", "train")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda s: (s / "scene_camera.json").unlink(), "cannot read .*scene_camera.json: No such file"),
        (lambda s: (s / "scene_camera.json").write_text("{"), "scene_camera.json is not JSON"),
        (lambda s: (s / "scene_camera.json").write_text('{"x": 1}'), "must have whole numbers as keys"),
        (lambda s: (s / "scene_camera.json").write_text('{"11": 1}'), "must be an object with cam_K"),
        (lambda s: (s / "rgb" / "000011.png").unlink(), "000002 has no rgb/000011.png, though"),
        (lambda s: (s / "depth" / "000011.png").unlink(), "000002 has no depth/000011.png, though"),
        (lambda s: truncate(s / "rgb" / "000011.png"), "000011.png is damaged or cut short"),
        (lambda s: truncate(s / "depth" / "000011.png"), "000011.png is damaged or cut short"),
    ],
)
def test_a_spoilt_frame_is_refused(
    root: Path, scene: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    spoil(scene)
    dataset = BopDataset(root, "train")
    with pytest.raises(InputError, match=sentence):
        dataset.load_frame(KEY)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"depth_scale": 0}, r"depth_scale in .*scene_camera.json \(image 11\) is 0: it must be positive"),
        ({"depth_scale": None}, r"scene_camera.json \(image 11\) has no depth_scale"),
        ({"depth_scale": 100.0}, "depth/000011.png: the median depth .* millimetres read as metres"),
        ({"cam_K": [1, 2]}, r"cam_K in .*scene_camera.json \(image 11\) must be 9 finite numbers, got 2"),
        ({"cam_K": [0] * 9}, r"scene_camera.json \(image 11\): K is singular"),
    ],
)
def test_a_wrong_camera_entry_is_refused(
    root: Path, scene: Path, entry: dict[str, Any], sentence: str
) -> None:
    edit(scene / "scene_camera.json", lambda entries: entries["11"].update(entry))
    with pytest.raises(InputError, match=sentence):
        BopDataset(root, "train").load_frame(KEY)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cam_R_w2c": [1] * 9}, r"cam_R_w2c in .*scene_camera.json \(image 11\) is not a rotation"),
        ({"cam_t_w2c": [0, 0]}, r"cam_t_w2c in .*scene_camera.json \(image 11\) must be 3 finite numbers"),
    ],
)
def test_a_wrong_camera_pose_is_refused_where_it_is_needed(
    root: Path, scene: Path, change: dict[str, Any], sentence: str
) -> None:
    sound = {"cam_R_w2c": [1, 0, 0, 0, 1, 0, 0, 0, 1], "cam_t_w2c": [0, 0, 0]}
    edit(scene / "scene_camera.json", lambda entries: entries["11"].update(sound | change))
    dataset = BopDataset(root, "train")
    dataset.load_frame(KEY)
    with pytest.raises(InputError, match=sentence):
        dataset.T_world_camera(KEY)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda g: g.pop("11"), "has no list of objects for image 11"),
        (lambda g: g["11"].pop(), "scene_gt_info.json must list 1 objects for image 11"),
        (lambda g: g["11"][1].pop("obj_id"), r"\(image 11, object 1\) must have obj_id"),
        (lambda g: g["11"][1].update(cam_R_m2c=[1, 0]), "cam_R_m2c in .* must be 9 finite numbers, got 2"),
        (lambda g: g["11"][1].update(cam_R_m2c=[1] * 9), "cam_R_m2c in .*object 1.* is not a rotation"),
        (lambda g: g["11"][1].update(cam_R_m2c=[-1, 0, 0, 0, 1, 0, 0, 0, 1]), "is not a rotation"),
        (lambda g: g["11"][1].update(cam_t_m2c=["a", 0, 0]), "cam_t_m2c in .* must be 3 numbers"),
    ],
)
def test_wrong_labels_are_refused(
    root: Path, scene: Path, change: Callable[[Any], None], sentence: str
) -> None:
    edit(scene / "scene_gt.json", change)
    with pytest.raises(InputError, match=sentence):
        BopDataset(root, "train").instances(KEY)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda i: i.pop("1"), "model 1 in .*models_info.json has no diameter"),
        (lambda i: i["1"].update(diameter="big"), "diameter of model 1 .* must be 1 number"),
        (
            lambda i: i["1"].update(symmetries_discrete=[[1, 0]]),
            "symmetries_discrete of .* 16 finite numbers, got 2",
        ),
        (lambda i: i["1"].update(symmetries_continuous=[[0, 0, 1]]), "must have an axis and an offset"),
        (lambda i: i["1"].update(symmetries_continuous=[{"axis": [0, 0, 0]}]), "axis of model 1 .* is zero"),
    ],
)
def test_wrong_model_information_is_refused(root: Path, change: Callable[[Any], None], sentence: str) -> None:
    edit(root / "models" / "models_info.json", change)
    with pytest.raises(InputError, match=sentence):
        BopDataset(root, "train").object(1)


def test_what_is_not_there_is_refused_by_name(root: Path) -> None:
    dataset = BopDataset(root, "train")
    with pytest.raises(InputError, match=r"there is no model .*obj_000009\.ply: the ids there are 1, 2"):
        dataset.object(9)
    with pytest.raises(InputError, match="has no scene 000099"):
        dataset.load_frame(FrameKey(99, 0))
    with pytest.raises(InputError, match=r"scene_camera\.json has no entry for image 99"):
        dataset.load_frame(FrameKey(2, 99))
    with pytest.raises(InputError, match=r"cannot read .*mask/000011_000009\.png"):
        dataset.mask(KEY, 9)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (None, r"scene_gt_info\.json \(image 11, object 0\) must be an object"),
        ({"visib_fract": None}, r"visib_fract in .*\(image 11, object 0\) must be 1 finite number"),
        ({"visib_fract": "most"}, "visib_fract in .* must be 1 number"),
    ],
)
def test_wrong_label_information_is_refused(root: Path, scene: Path, entry: Any, sentence: str) -> None:
    edit(scene / "scene_gt_info.json", lambda infos: infos["11"].__setitem__(0, entry))
    with pytest.raises(InputError, match=sentence):
        BopDataset(root, "train").instances(KEY)


def test_a_model_without_faces_is_refused(root: Path) -> None:
    (root / "models" / "obj_000001.ply").write_bytes(trimesh.PointCloud(np.eye(3)).export(file_type="ply"))
    with pytest.raises(InputError, match=r"obj_000001\.ply has no faces"):
        BopDataset(root, "train").object(1)
