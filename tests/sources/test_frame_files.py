"""One's own files: what is read is what was written, and each fault is one sentence with the file's name."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from crisp.errors import InputError
from crisp.sources.frames import read_colour, read_depth, read_mask
from crisp.types import Frame

W, H = 32, 24
CAMERA = {"cam_K": [40.0, 0.0, 16.0, 0.0, 41.0, 12.0, 0.0, 0.0, 1.0], "depth_scale": 0.5}
Files = dict[str, Path]


@pytest.fixture
def colour() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)


@pytest.fixture
def files(tmp_path: Path, colour: np.ndarray) -> Files:
    Image.fromarray(colour).save(tmp_path / "rgb.png")
    raw = np.random.default_rng(1).integers(1500, 1700, (H, W), dtype=np.uint16)
    raw[0, 0], raw[0, 1], raw[5, 5] = 0, 65535, 1600
    Image.fromarray(raw).save(tmp_path / "depth.png")
    (tmp_path / "camera.json").write_text(json.dumps(CAMERA))
    return {
        name: tmp_path / f"{name}.{'json' if name == 'camera' else 'png'}"
        for name in ("rgb", "depth", "camera")
    }


def write_camera(files: Files, **changes: Any) -> None:
    entry = {key: value for key, value in {**CAMERA, **changes}.items() if value is not None}
    files["camera"].write_text(json.dumps(entry))


def refused(files: Files, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        Frame.from_files(**files)
    assert "\n" not in str(caught.value)


def test_a_frame_is_read_in_metres(files: Files, colour: np.ndarray) -> None:
    frame = Frame.from_files(**files)
    assert np.array_equal(frame.rgb, colour)
    # raw x depth_scale = mm: 1600 x 0.5 = 800 mm; 65535 x 0.5 = 32767.5 mm; 0 stays "no value".
    assert frame.depth_m[5, 5] == np.float32(0.8)
    assert frame.depth_m[0, 1] == np.float32(32.7675)
    assert frame.depth_m[0, 0] == 0
    assert frame.camera.K.tolist() == [[40, 0, 16], [0, 41, 12], [0, 0, 1]]
    assert (frame.camera.width, frame.camera.height) == (W, H)
    assert frame.frame_id == "rgb"
    assert Frame.from_files(*map(str, files.values()), frame_id="a/b").frame_id == "a/b"


@pytest.mark.parametrize(
    "entry",
    [
        {"K": CAMERA["cam_K"], "depth_scale": 0.5},
        {"K": np.reshape(CAMERA["cam_K"], (3, 3)).tolist(), "depth_scale": 0.5},
        {**CAMERA, "width": W, "height": H},
    ],
)
def test_other_forms_of_the_camera_file_say_the_same(files: Files, entry: dict[str, Any]) -> None:
    expected = Frame.from_files(**files)
    files["camera"].write_text(json.dumps(entry))
    frame = Frame.from_files(**files)
    assert np.array_equal(frame.camera.K, expected.camera.K)
    assert np.array_equal(frame.depth_m, expected.depth_m)


def test_alpha_is_dropped_grey_is_repeated_palettes_are_looked_up(tmp_path: Path, colour: np.ndarray) -> None:
    path = tmp_path / "a.png"
    alpha = np.zeros((H, W, 1), np.uint8)
    Image.fromarray(np.concatenate([colour, alpha], axis=2)).save(path)
    assert np.array_equal(read_colour(path), colour)
    Image.fromarray(colour[..., 0]).save(path)
    assert np.array_equal(read_colour(path), np.repeat(colour[..., :1], 3, axis=2))
    few = (colour > 127).astype(np.uint8) * 255  # eight colours fit a palette exactly
    Image.fromarray(few).quantize(8).save(path)
    assert np.array_equal(read_colour(path), few)


def test_jpeg_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((H, W, 3), (200, 100, 50), np.uint8)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_colour(tmp_path / "a.jpg").astype(int) - (200, 100, 50)).max() <= 3


def test_depth_as_tiff_and_as_npy_equals_depth_as_png(files: Files, tmp_path: Path) -> None:
    expected = Frame.from_files(**files).depth_m
    Image.open(files["depth"]).save(tmp_path / "depth.tiff")
    np.save(tmp_path / "depth.npy", expected.astype(np.float64))
    assert np.array_equal(Frame.from_files(**{**files, "depth": tmp_path / "depth.tiff"}).depth_m, expected)
    write_camera(files, depth_scale=None)  # metres need no scale
    assert np.array_equal(Frame.from_files(**{**files, "depth": tmp_path / "depth.npy"}).depth_m, expected)


@pytest.mark.parametrize("name", ["rgb", "depth", "camera"])
def test_a_missing_file_or_a_folder_is_named(files: Files, name: str) -> None:
    path = files[name]
    path.unlink()
    refused(files, f"cannot read .*{path.name}: No such file")
    path.mkdir()
    refused(files, f"cannot read .*{path.name}: Is a directory")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("name", ["rgb", "depth"])
def test_an_image_cut_short_is_refused_wherever_it_is_cut(files: Files, name: str, share: float) -> None:
    whole = files[name].read_bytes()
    files[name].write_bytes(whole[: int(share * len(whole))])
    refused(files, f"{name}.png is (damaged or cut short|not an image)")


def test_a_cut_image_is_refused_even_where_the_program_around_allows_it(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole = files["rgb"].read_bytes()
    files["rgb"].write_bytes(whole[: len(whole) // 2])
    refused(files, "rgb.png is damaged or cut short")


def test_a_damaged_image_is_refused(files: Files) -> None:
    content = bytearray(files["rgb"].read_bytes())
    content[len(content) // 2] ^= 0xFF
    files["rgb"].write_bytes(content)
    refused(files, "rgb.png is damaged")


def test_text_under_an_image_name_is_refused(files: Files) -> None:
    files["rgb"].write_text("hello")
    refused(files, "rgb.png is not an image")


def test_depth_of_eight_bits_is_refused(files: Files) -> None:
    Image.fromarray(np.full((H, W), 200, np.uint8)).save(files["depth"])
    refused(files, "depth.png is an 8-bit image: depth in 8 bits cannot hold millimetres")
    Image.fromarray(np.full((H, W, 3), 200, np.uint8)).save(files["depth"])
    refused(files, "depth.png is an 8-bit image")


def test_colour_of_sixteen_bits_is_refused(files: Files) -> None:
    refused({**files, "rgb": files["depth"]}, "depth.png has pixels of mode I;16: .* 8 bits a channel")


def test_depth_of_another_size_is_refused(files: Files) -> None:
    Image.fromarray(np.full((H, W + 1), 1600, np.uint16)).save(files["depth"])
    refused(files, "depth.png is 33x24 but .*rgb.png is 32x24")


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.full((H, W), np.nan), "NaN or infinity"),
        (np.full((H, W), 800.0), "millimetres read as metres"),
        (np.full((H, W), 800, np.uint16), r"one \(H, W\) array of floating point metres"),
        (np.full((H, W, 1), 0.8), r"one \(H, W\) array of floating point metres"),
        (np.array([{}], dtype=object), "no .npy file of plain numbers"),
    ],
)
def test_npy_depth_that_is_no_metres_is_refused(files: Files, array: np.ndarray, sentence: str) -> None:
    path = files["depth"].with_suffix(".npy")
    np.save(path, array, allow_pickle=True)
    refused({**files, "depth": path}, f"depth.npy.* {sentence}")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"hello"])
def test_a_damaged_npy_is_refused(files: Files, content: bytes) -> None:
    path = files["depth"].with_suffix(".npy")
    path.write_bytes(content)
    refused({**files, "depth": path}, "depth.npy is damaged or no .npy file")


@pytest.mark.parametrize(
    ("scale", "sentence"),
    [
        (0, "depth_scale in .*camera.json is 0: it must be positive"),
        (-1, "depth_scale in .*camera.json is -1: it must be positive"),
        ("half", "depth_scale in .*camera.json must be 1 number"),
        ([1, 2], "depth_scale in .*camera.json must be 1 finite number, got 2"),
        (None, "camera.json has no depth_scale"),
        (1000, r"depth.png: the median depth is 1[56]\d\d m: this looks like millimetres read as metres"),
        (0.001, r"depth.png: the median depth is 1\.[56]\d mm: this looks like a wrong depth_scale"),
    ],
)
def test_a_wrong_depth_scale_is_refused(files: Files, scale: Any, sentence: str) -> None:
    write_camera(files, depth_scale=scale)
    refused(files, sentence)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cam_K": None}, "camera.json has no cam_K"),
        ({"cam_K": [1, 2, 3]}, "cam_K in .*camera.json must be 9 finite numbers, got 3"),
        ({"cam_K": [float("nan"), *CAMERA["cam_K"][1:]]}, "9 finite numbers, got some that are not finite"),  # type: ignore[index]
        ({"cam_K": "f=40"}, "cam_K in .*camera.json must be 9 numbers, got f=40"),
        ({"cam_K": [10**400] * 9}, "cam_K in .*camera.json must be 9 numbers, got "),
        ({"depth_scale": 10**400}, "depth_scale in .*camera.json must be 1 numbers, got "),
        ({"cam_K": [0.0] * 9}, "camera.json: K is singular"),
        ({"cam_K": [1060, 0, 320, 0, 1060, 240, 0, 0, 1]}, "camera.json: .* belong to another image size"),
        ({"width": 640, "height": 480}, "camera.json is for 640x480 images but .*rgb.png is 32x24"),
        ({"width": 32}, "camera.json gives width alone"),
    ],
)
def test_a_wrong_camera_is_refused(files: Files, changes: dict[str, Any], sentence: str) -> None:
    write_camera(files, **changes)
    refused(files, sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[1]", "must hold a JSON object in braces, not a list"),
    ],
)
def test_a_camera_file_that_is_no_json_object_is_refused(files: Files, text: bytes, sentence: str) -> None:
    files["camera"].write_bytes(text)
    refused(files, f"camera.json {sentence}")


def deep_png(path: Path, kind: int, channels: int) -> None:
    """A PNG of 16 bits a channel, written from its specification, since Pillow does not write such."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    rows = (b"\0" + b"\x00\xff" * channels * W) * H  # each value 255: nothing of it is in the high byte
    header = struct.pack(">IIBBBBB", W, H, 16, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_colour_of_sixteen_bits_is_not_cut_to_eight(files: Files, kind: int, channels: int) -> None:
    deep_png(files["rgb"], kind, channels)
    refused(files, "rgb.png has several channels of 16 bits: colour must have 8 bits a channel")
    with pytest.raises(InputError, match="several channels of 16 bits"):
        read_mask(files["rgb"])


def test_colour_of_sixteen_bits_in_a_tiff_is_not_cut_to_eight(files: Files) -> None:
    path = files["rgb"].with_suffix(".tif")
    tifffile.imwrite(path, np.full((H, W, 3), 255, np.uint16), photometric="rgb")
    refused(files | {"rgb": path}, "rgb.tif ")


def test_depth_in_floating_point_is_not_called_eight_bits(files: Files) -> None:
    path = files["depth"].with_suffix(".tif")
    Image.fromarray(np.full((H, W), 0.8, np.float32)).save(path)
    refused(files | {"depth": path}, r"depth.tif is an image of floating point numbers, .*npy with metres")


def test_depth_without_a_scale_names_where_it_should_stand(files: Files) -> None:
    with pytest.raises(InputError, match="scene 3 has no depth_scale"):
        read_depth(files["depth"], None, source="scene 3")
