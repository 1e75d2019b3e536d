"""Data sets: good ones pass in every layout, and each fault is one sentence while the rest is checked."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from replicas import write_nocs, write_spe3r

from crisp.cli import main
from crisp.doctor.frames import agreement
from crisp.doctor.sets import SetDiagnosis, check_dataset
from crisp.errors import InputError
from crisp.geometry.camera import Camera
from crisp.types import Frame, Mesh


@pytest.fixture
def bop(bop_root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bop_root, tmp_path / "set")


def sentences(found: SetDiagnosis, level: str) -> list[str]:
    return [f"{f.check}: {f.sentence}" for f in found.findings if f.level == level]


def test_a_good_set_has_no_fault_in_any_layout(bop: Path, tmp_path: Path) -> None:
    write_nocs(tmp_path / "nocs", "real_test")
    write_spe3r(tmp_path / "spe3r")
    for root, objects in ((bop, 12), (tmp_path / "nocs", 4), (tmp_path / "spe3r", 4)):
        found = check_dataset(root)
        assert sentences(found, "fault") == []
        assert len(found.checked) == objects
        for checked in found.checked:
            assert checked.agreement.covered_share > 0.97
            assert checked.agreement.depth_distance_m < 1e-3


def test_model_points_off_the_depth_are_measured() -> None:
    """A square of 0.2 m, 1 m ahead, of which the depth says 1.02 m: every point is 20 mm off."""
    camera = Camera(np.array([[100.0, 0, 31.5], [0, 100.0, 23.5], [0, 0, 1]]), 64, 48)
    corners = np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]])
    square, T = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]])), np.eye(4)
    T[2, 3] = 1.0
    frame = Frame(np.zeros((48, 64, 3), np.uint8), np.full((48, 64), 1.02, np.float32), camera)
    mask = np.zeros((48, 64), bool)
    mask[14:34, 22:42] = True
    found = agreement(frame, mask, square, T_camera_object=T)
    # Straight ahead 20 mm; the nearest measured point of an off-centre one lies a little aside.
    assert found.depth_distance_m == pytest.approx(0.02, abs=2e-4)
    assert found.covered_share == 1.0 and found.mask_pixels == 400
    half = agreement(frame, np.roll(mask, 10, axis=1), square, T_camera_object=T)
    assert half.covered_share == pytest.approx(0.5)
    assert agreement(frame, np.zeros_like(mask), square, T_camera_object=T).mask_pixels == 0


def edit(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def moved(labels: dict) -> None:
    labels["0"][0]["cam_t_m2c"][0] += 300


def farther(labels: dict) -> None:
    labels["0"][0]["cam_t_m2c"][2] += 30


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda s: (s / "scene_camera.json").unlink(),
            ("scene files: .* has no scene_camera.json", "scenes:"),
        ),
        (lambda s: (s / "scene_gt.json").unlink(), ("scene files: .* has no scene_gt.json", "labels:")),
        (lambda s: shutil.rmtree(s / "depth"), ("scene files: .* has no depth", "images: .* has no depth/")),
        (
            lambda s: (s / "rgb/000000.png").write_bytes((s / "rgb/000000.png").read_bytes()[:99]),
            ("images: .*rgb/000000.png is damaged or cut short",),
        ),
        (
            lambda s: edit(s / "scene_camera.json", lambda c: c["0"].update(depth_scale=0)),
            ("images: .*image 0. is 0: it must be positive",),
        ),
        (
            lambda s: edit(s / "scene_gt.json", lambda c: c["0"][0].update(obj_id=9)),
            ("models: there is no model .*obj_000009.ply: the ids there are 1, 2",),
        ),
        (lambda s: edit(s / "scene_gt.json", moved), ("model on mask: .* covers 0% of the mask",)),
        (lambda s: edit(s / "scene_gt.json", farther), ("depth against mesh: .* points lie .* mm from",)),
        (lambda s: (s / "mask_visib/000000_000000.png").unlink(), None),  # `mask` stands in for it
    ],
)
def test_each_fault_is_one_sentence_and_the_rest_is_checked(
    bop: Path, spoil: Callable[[Path], object], words: tuple[str, ...] | None
) -> None:
    spoil(bop / "train" / "000001")
    found = check_dataset(bop)
    faults = sentences(found, "fault")
    assert len({c.frame_id for c in found.checked} & {"000000/000000", "000002/000001"}) == 2
    if words is None:
        assert faults == []
        return
    for word in words:
        assert any(re.search(word, fault) for fault in faults), faults


def test_a_set_without_models_is_said_once(bop: Path) -> None:
    shutil.rmtree(bop / "models")
    found = check_dataset(bop)
    (fault,) = sentences(found, "fault")
    assert "has no folder 'models'" in fault


def test_models_in_another_unit_are_noticed(bop: Path) -> None:
    path = bop / "models" / "obj_000001.ply"
    mesh = trimesh.load_mesh(path)
    mesh.apply_scale(0.001)
    mesh.export(path)
    faults = sentences(check_dataset(bop), "fault")
    assert faults and all("obj_000001" in f or "brick" in f for f in faults)
    assert any("covers 0%" in fault or "covers 1%" in fault for fault in faults)


def test_a_folder_that_is_no_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has the layout of no known data set"):
        check_dataset(tmp_path)


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *map(str, words)])
    return int(ended.value.code or 0)


def test_the_verb_prints_and_ends_with_what_it_found(bop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--dataset", bop, "--split", "train", "--frames", "2") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "no fault found." and any("6 frames, of which 2 are checked" in line for line in said)
    assert run("--dataset", bop, "--split", "val") == 2
    assert "has no split 'val'" in capsys.readouterr().out
    assert run() == 2
    assert "give either --dataset or files of a frame" in capsys.readouterr().err
    assert run("--dataset", bop, "--frames", "0") == 2
    assert "at least one frame" in capsys.readouterr().err
    assert run("--rgb", bop / "train/000000/rgb/000000.png") == 2
    assert "fault: camera: K is missing" in capsys.readouterr().out
