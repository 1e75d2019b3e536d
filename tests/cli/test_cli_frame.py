"""A bad frame on the command line: one sentence, exit code 2, no traceback, and what was fine is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from command import CORNERS, Command, H, W, cut_short, objects, refused, spoil_camera
from PIL import Image


def test_a_good_frame(estimate: Command, folder: Path) -> None:
    said = estimate()
    assert said.code == 0 and said.err == "" and "3 of 3 objects estimated" in said.out
    found = objects(folder)
    assert [o["status"] for o in found] == ["ok"] * 3
    for entry, (left, top) in zip(found, CORNERS, strict=True):
        x, y = left + 9.5, top + 9.5
        wanted = [0.6 * (x - 48) / 120, 0.6 * (y - 36) / 120, 0.6]
        assert np.allclose(np.array(entry["T_camera_object"])[:3, 3], wanted, atol=3e-3)
        assert (folder / "out" / entry["mesh"]).is_file()
    assert "<svg" in (page := (folder / "out" / "report.html").read_text()) or "<img" in page


@pytest.mark.parametrize("mode", ["RGBA", "L"])
def test_transparent_and_grey_images_work(plain_estimate: Command, folder: Path, mode: str) -> None:
    Image.open(folder / "rgb.png").convert(mode).save(folder / "rgb.png")
    said = plain_estimate()
    assert said.code == 0 and [o["status"] for o in objects(folder)] == ["ok"] * 3


@pytest.mark.parametrize("name", ["rgb", "depth", "camera"])
def test_missing_file(estimate: Command, folder: Path, name: str) -> None:
    refused(estimate(**{name: folder / f"none_{name}.png"}), f"none_{name}.png", "No such file")


def test_wrong_size(estimate: Command, folder: Path) -> None:
    Image.fromarray(np.full((H, W // 2), 600, np.uint16)).save(folder / "depth.png")
    refused(estimate(), "depth.png is 48x72", "rgb.png is 96x72")


def test_depth_all_zero(estimate: Command, folder: Path) -> None:
    Image.fromarray(np.zeros((H, W), np.uint16)).save(folder / "depth.png")
    refused(estimate(), "depth.png", "zero everywhere")


@pytest.mark.parametrize(("scale", "words"), [(1000.0, "600 m"), (0.001, "0.60 mm"), (-1.0, "positive")])
def test_depth_in_the_wrong_unit(estimate: Command, folder: Path, scale: float, words: str) -> None:
    spoil_camera(folder, depth_scale=scale)
    refused(estimate(), words, "depth_scale")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_depth_that_is_no_number(estimate: Command, folder: Path, value: float) -> None:
    depth_m = np.full((H, W), 0.6, np.float32)
    depth_m[3, 3] = value
    np.save(folder / "depth.npy", depth_m)
    refused(estimate(depth=folder / "depth.npy"), "depth.npy", "NaN or infinity")


def test_depth_in_metres_from_npy_works(plain_estimate: Command, folder: Path) -> None:
    np.save(folder / "depth.npy", np.full((H, W), 0.6, np.float32))
    assert plain_estimate(depth=folder / "depth.npy").code == 0


def test_eight_bit_depth(estimate: Command, folder: Path) -> None:
    Image.fromarray(np.full((H, W), 60, np.uint8)).save(folder / "depth.png")
    refused(estimate(), "depth.png", "8-bit", "16-bit PNG")


def test_camera_of_another_image_size(estimate: Command, folder: Path) -> None:
    spoil_camera(folder, cam_K=[800.0, 0, 320, 0, 800.0, 240, 0, 0, 1])
    refused(estimate(), "camera.json", "96x72", "another image size")
    spoil_camera(folder, width=640, height=480)
    refused(estimate(), "camera.json is for 640x480", "96x72")


@pytest.mark.parametrize(
    "K", [[0.0] * 9, [120.0, 0, 48, 0, 0.0, 36, 0, 0, 1], [120.0, 0, 48, 0, 120.0, 36, 0, 0, 0]]
)
def test_singular_camera(estimate: Command, folder: Path, K: list[float]) -> None:
    spoil_camera(folder, cam_K=K)
    refused(estimate(), "camera.json", "singular")


@pytest.mark.parametrize("name", ["rgb", "depth"])
def test_truncated_image(estimate: Command, folder: Path, name: str) -> None:
    cut_short(folder / f"{name}.png")
    refused(estimate(), f"{name}.png is damaged or cut short")


@pytest.mark.parametrize(
    ("trouble", "status", "words"),
    [
        ("empty", "mask_empty", "no pixel"),
        ("size", "mask_size", "must have the frame's size"),
        ("cut", "mask_unreadable", "damaged or cut short"),
        ("missing", "mask_unreadable", "No such file"),
        ("small", "too_few_points", "4 measured points"),
        ("unmeasured", "depth_missing", "no pixel of the mask has a depth"),
    ],
)
def test_a_bad_mask_harms_its_object_alone(
    plain_estimate: Command, folder: Path, trouble: str, status: str, words: str
) -> None:
    path, mask = folder / "mask_1.png", np.zeros((H, W), np.uint8)
    if trouble == "small":
        mask[30:32, 30:32] = 255
    if trouble == "unmeasured":
        mask[30:50, 40:60] = 255
        depth = np.full((H, W), 600, np.uint16)
        depth[30:50, 40:60] = 0
        Image.fromarray(depth).save(folder / "depth.png")
    Image.fromarray(mask[:-1] if trouble == "size" else mask).save(path)
    if trouble == "cut":
        cut_short(path)
    if trouble == "missing":
        path.unlink()
    said = plain_estimate()
    refused(said, "mask_1.png", words)
    assert "2 of 3 objects estimated" in said.out
    found = objects(folder)
    assert [o["status"] for o in found] == ["ok", status, "ok"]
    assert words in found[1]["message"] and all(o["mesh"] for o in (found[0], found[2]))


def test_checkpoint_with_a_wrong_hash(estimate: Command, folder: Path, flat_checkpoint: Path) -> None:
    # Beside the original, since the checkpoint refers to the shared backbone by a relative path.
    spoilt = flat_checkpoint.with_name("spoilt")
    shutil.copytree(flat_checkpoint, spoilt)
    try:
        content = bytearray((spoilt / "heads.safetensors").read_bytes())
        content[-1] ^= 1
        (spoilt / "heads.safetensors").write_bytes(content)
        refused(estimate(weights=spoilt), "heads.safetensors", "SHA-256")
    finally:
        shutil.rmtree(spoilt)


def test_checkpoint_that_is_none(estimate: Command, folder: Path) -> None:
    refused(estimate(weights=folder / "nowhere"), "nowhere", "bundled")
    refused(estimate(weights="larger"), "larger is neither a bundled model")
