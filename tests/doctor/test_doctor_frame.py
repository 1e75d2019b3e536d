"""Files of a frame: what is missing or damaged is said, and all else is checked all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crisp.doctor.frames import Diagnosis, Finding, check_files, spread, summary
from crisp.sources.frame_files import FrameFiles

W, H = 40, 30
CAMERA = {"cam_K": [50.0, 0, 20, 0, 50.0, 15, 0, 0, 1], "depth_scale": 1.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(np.full((H, W, 3), 90, np.uint8)).save(tmp_path / "rgb.png")
    Image.fromarray(np.full((H, W), 800, np.uint16)).save(tmp_path / "depth.png")
    (tmp_path / "camera.json").write_text(json.dumps(CAMERA))
    save_mask(tmp_path / "mask.png", slice(5, 15))
    return tmp_path


def save_mask(path: Path, rows: slice) -> None:
    mask = np.zeros((H, W), np.uint8)
    mask[rows, 5:20] = 255
    Image.fromarray(mask).save(path)


def check(folder: Path, camera: bool = True) -> Diagnosis:
    return check_files(
        FrameFiles(
            rgb=folder / "rgb.png",
            depth=folder / "depth.png",
            camera=folder / "camera.json" if camera else None,
            masks=(folder / "mask.png",),
        )
    )


def test_a_good_frame_has_no_fault_and_says_its_figures(folder: Path) -> None:
    found = check(folder)
    assert found.faults == () and summary(found) == "no fault found."
    text = "\n".join(found.lines())
    # 40 px across at f = 50 px: 2 atan(20 / 50) = 43.6 degrees; 800 steps of 1 mm.
    for words in (
        "one step of depth.png is 1 mm",
        "0.800 to 0.800 m",
        "44 degrees",
        "40x30",
        "has 150 pixels",
    ):
        assert words in text


def test_a_missing_camera_is_said_and_the_rest_is_read(folder: Path) -> None:
    found = check(folder, camera=False)
    (fault,) = found.faults
    assert fault.sentence.startswith("K is missing: give --camera")
    assert {"colour", "depth range", "masks"} <= {f.check for f in found.findings if f.level == "found"}
    assert any("is taken for millimetres" in f.sentence for f in found.findings)


def camera(folder: Path, **changes: object) -> None:
    (folder / "camera.json").write_text(json.dumps(CAMERA | changes))


def depth(folder: Path, raw: np.ndarray) -> None:
    Image.fromarray(raw.astype(np.uint16)).save(folder / "depth.png")


@pytest.mark.parametrize(
    ("spoil", "check_name", "words"),
    [
        (lambda f: camera(f, depth_scale=0), "camera", "depth_scale in .* is 0: it must be positive"),
        (lambda f: camera(f, depth_scale=1000.0), "depth range", "looks like millimetres read as metres"),
        (lambda f: camera(f, depth_scale=0.001), "depth range", "looks like a wrong depth_scale"),
        (
            lambda f: camera(f, cam_K=[500, 0, 320, 0, 500, 240, 0, 0, 1]),
            "K against image size",
            "another image",
        ),
        (lambda f: camera(f, width=640, height=480), "K against image size", "is for .640, 480. pixels"),
        (lambda f: (f / "camera.json").unlink(), "camera", "cannot read .*camera.json"),
        (lambda f: (f / "rgb.png").write_bytes(b"no image"), "colour", "is not an image"),
        (lambda f: depth(f, np.full((H, W // 2), 800)), "sizes", "depth is 20x30 but colour is 40x30"),
        (lambda f: depth(f, np.zeros((H, W))), "depth range", "depth is zero everywhere"),
        (lambda f: (f / "mask.png").unlink(), "masks", "cannot read .*mask.png"),
        (lambda f: Image.new("L", (8, 8)).save(f / "mask.png"), "masks", "is 8x8 but colour is 40x30"),
    ],
)
def test_each_fault_is_one_sentence(
    folder: Path, spoil: Callable[[Path], object], check_name: str, words: str
) -> None:
    spoil(folder)
    faults = check(folder).faults
    said = [f.sentence for f in faults if f.check == check_name]
    assert any(re.search(words, sentence) for sentence in said), faults


def test_masks_off_the_depth_are_noticed(folder: Path) -> None:
    raw = np.full((H, W), 800)
    raw[5:15] = 0
    depth(folder, raw)
    (fault,) = check(folder).faults
    assert fault.check == "mask and depth" and "only 0% of its 150 pixels have depth" in fault.sentence
    raw[5:15] = 800
    raw[10:15] = 3000  # half of the mask lies on a wall 2.2 m behind
    depth(folder, raw)
    notes = [f for f in check(folder).findings if f.check == "mask and depth"]
    assert len(notes) == 1 and "spreads over 2.20 m" in notes[0].sentence
    save_mask(folder / "mask.png", slice(0, 0))
    assert any("has no visible pixel" in f.sentence for f in check(folder).findings)


def test_many_alike_are_counted_not_printed() -> None:
    findings = tuple(Finding("fault", "images", f"{k}.") for k in range(12))
    lines = Diagnosis((*findings, Finding("note", "masks", "one."))).lines(most_alike=10)
    assert len(lines) == 12 and lines[-1] == "fault: images: and 2 more."
    assert summary(Diagnosis(findings)) == "12 faults found."


def test_frames_are_chosen_evenly() -> None:
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread(range(3), 4) == [0, 1, 2] and spread(range(9), 1) == [0]
