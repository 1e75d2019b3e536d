"""Bad input on the command line: one sentence, exit code 2, no traceback, and what was fine is written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from crisp.cli import VERBS, main

W, H = 96, 72
CAMERA = {"cam_K": [120.0, 0, 48, 0, 120.0, 36, 0, 0, 1], "depth_scale": 1.0}
CORNERS = ((8, 6), (40, 30), (70, 48))  # of squares of 20 px: 0.1 m at 0.6 m


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def sentences(self) -> list[str]:
        return self.err.splitlines()


Command = Callable[..., Said]


@pytest.fixture
def crisp_command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str | Path) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return Said(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good frame of three flat squares: rgb.png, depth.png (mm), camera.json, mask_0.png to mask_2.png."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (H, W, 3), dtype=np.uint8)).save(tmp_path / "rgb.png")
    Image.fromarray(np.full((H, W), 600, np.uint16)).save(tmp_path / "depth.png")
    (tmp_path / "camera.json").write_text(json.dumps(CAMERA))
    for index, (left, top) in enumerate(CORNERS):
        mask = np.zeros((H, W), np.uint8)
        mask[top : top + 20, left : left + 20] = 255
        Image.fromarray(mask).save(tmp_path / f"mask_{index}.png")
    return tmp_path


@pytest.fixture
def estimate(folder: Path, flat_checkpoint: Path, crisp_command: Command) -> Command:
    def run(**changes: str | Path) -> Said:
        given: dict[str, Any] = {name: folder / f"{name}.png" for name in ("rgb", "depth")}
        given |= {
            "camera": folder / "camera.json",
            "weights": flat_checkpoint,
            "out": folder / "out",
        } | changes
        options = [text for name, value in given.items() for text in (f"--{name}", value)]
        return crisp_command("estimate", *options, "--masks", *(folder / f"mask_{i}.png" for i in range(3)))

    return run


def objects(folder: Path) -> list[dict[str, Any]]:
    (frame,) = json.loads((folder / "out" / "results.json").read_text())["frames"]
    return frame["objects"]


def refused(said: Said, *words: str) -> None:
    assert said.code == 2, said
    assert len(said.sentences) == 1 and said.err.startswith("crisp: ") and said.err.endswith(".\n"), said
    for word in words:
        assert word in said.err, said
    assert len(said.err) < 400


def spoil_camera(folder: Path, **changes: object) -> None:
    (folder / "camera.json").write_text(json.dumps(CAMERA | changes))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


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
def test_transparent_and_grey_images_work(estimate: Command, folder: Path, mode: str) -> None:
    Image.open(folder / "rgb.png").convert(mode).save(folder / "rgb.png")
    said = estimate()
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


def test_depth_in_metres_from_npy_works(estimate: Command, folder: Path) -> None:
    np.save(folder / "depth.npy", np.full((H, W), 0.6, np.float32))
    assert estimate(depth=folder / "depth.npy").code == 0


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
    estimate: Command, folder: Path, trouble: str, status: str, words: str
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
    said = estimate()
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


def test_incomplete_or_double_input(crisp_command: Command, folder: Path) -> None:
    refused(crisp_command("estimate", "--out", folder / "out", "--rgb", folder / "rgb.png"), "--dataset")
    both = ("--rgb", folder / "rgb.png", "--dataset", folder)
    refused(crisp_command("estimate", "--out", folder / "out", *both), "not both")


@pytest.mark.parametrize("verb", ["estimate", "demo", "train", "synthesise", "evaluate predict"])
def test_an_output_folder_that_cannot_be_written(
    crisp_command: Command, estimate: Command, folder: Path, bop_root: Path, flat_checkpoint: Path, verb: str
) -> None:
    """A file is in the way: that stops even root."""
    (folder / "file").write_text("")
    out = folder / "file" / "out"
    if verb == "estimate":
        said = estimate(out=out)
    elif verb == "train":
        said = crisp_command("train", "--dataset", bop_root, "--out", out)
    elif verb == "evaluate predict":
        options = ("--dataset", bop_root, "--split", "train", "--weights", flat_checkpoint)
        said = crisp_command("evaluate", "predict", *options, "--out", out)
    else:
        said = crisp_command(verb, "--out", out)
    refused(said, str(out))


def test_a_file_in_the_place_of_the_meshes(
    crisp_command: Command, estimate: Command, folder: Path, bop_root: Path, flat_checkpoint: Path
) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "meshes").write_text("")
    refused(estimate(), "cannot write", "meshes")
    options = ("--dataset", bop_root, "--split", "train", "--weights", flat_checkpoint)
    refused(crisp_command("estimate", *options, "--out", folder / "out"), "cannot write", "meshes")


def test_a_table_that_cannot_be_rendered_is_one_sentence(
    crisp_command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ArithmeticError("no light\nat all")

    monkeypatch.setattr("crisp.data.synthesise._render", fail)
    (folder / "meshes").mkdir()
    trimesh.creation.box((0.1, 0.1, 0.1)).export(folder / "meshes" / "box.ply")
    options = ("--meshes", folder / "meshes", "--scenes", "2", "--workers", "1")
    said = crisp_command("synthesise", "--out", folder / "set", *options)
    assert said.code == 1 and said.out == ""
    assert len(said.sentences) == 1 and said.err.startswith("crisp: scene(s) 0, 1 of "), said


def test_an_unknown_recipe_key(crisp_command: Command, folder: Path, bop_root: Path) -> None:
    (folder / "mine.toml").write_text('name = "mine"\n[joint]\nbach = 8\n')
    options = ("--dataset", bop_root, "--out", folder / "run")
    refused(
        crisp_command("train", *options, "--recipe", folder / "mine.toml"), "mine.toml", "'bach'", "batch"
    )
    refused(crisp_command("train", *options, "--recipe", "larger"), "there is no recipe 'larger'")
    assert not (folder / "run").exists()


def test_data_sets_that_are_none(crisp_command: Command, folder: Path, bop_root: Path) -> None:
    out = ("--out", folder / "run")
    refused(crisp_command("train", "--dataset", folder / "nowhere", *out), "nowhere")
    refused(crisp_command("train", "--dataset", bop_root, "--split", "val", *out), "'val'", "train")
    # A mistaken split does not claim the folder: the right one may follow.
    assert not (folder / "run" / "run.json").exists()
    refused(
        crisp_command("train", "--dataset", bop_root, "--backbone", folder / "nowhere", *out),
        "nowhere",
    )


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("open", "not watertight"),
        ("no faces", "no faces"),
        ("text", "cannot be read"),
        ("none", "holds no mesh"),
    ],
)
def test_meshes_that_cannot_be_rendered(
    crisp_command: Command, folder: Path, trouble: str, words: str
) -> None:
    meshes = folder / "meshes"
    meshes.mkdir()
    box = trimesh.creation.box((0.1, 0.1, 0.1))
    box.export(meshes / "good.ply")
    if trouble == "open":
        trimesh.Trimesh(box.vertices, box.faces[:-1], process=False).export(meshes / "bad.ply")
    elif trouble == "no faces":
        trimesh.PointCloud(box.vertices).export(meshes / "bad.ply")
    elif trouble == "text":
        (meshes / "bad.ply").write_text("no mesh")
    else:
        (meshes / "good.ply").unlink()
    said = crisp_command("synthesise", "--out", folder / "set", "--meshes", meshes)
    refused(said, words, "meshes" if trouble == "none" else "bad.ply")
    assert not (folder / "set").exists()


def test_a_spoilt_frame_and_a_spoilt_mask_harm_no_others(
    crisp_command: Command, folder: Path, bop_root: Path, flat_checkpoint: Path
) -> None:
    root = folder / "set"
    shutil.copytree(bop_root, root)
    cut_short(root / "train" / "000000" / "depth" / "000001.png")
    cut_short(root / "train" / "000001" / "mask_visib" / "000000_000001.png")
    options = ("--dataset", root, "--split", "train", "--weights", flat_checkpoint, "--frames", "3")
    said = crisp_command("estimate", *options, "--out", folder / "out")
    assert said.code == 2
    first, second = said.sentences
    assert first.startswith("crisp: 000000/000001: ") and "depth/000001.png is damaged" in first
    assert second.startswith("crisp: 000001/000000: ") and "000000_000001.png is damaged" in second
    frames = {f["frame_id"]: f for f in json.loads((folder / "out" / "results.json").read_text())["frames"]}
    assert set(frames) == {"000000/000000", "000000/000001", "000001/000000"}
    assert frames["000000/000001"]["objects"] == [] and "damaged" in frames["000000/000001"]["message"]
    harmed = [o["status"] for o in frames["000001/000000"]["objects"]]
    assert harmed[1] == "mask_unreadable" and harmed[0] != "mask_unreadable"
    assert len(frames["000000/000000"]["objects"]) == 2


def test_info_names_the_files_of_each_model(
    crisp_command: Command, flat_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backbone too, which lies elsewhere and is shared."""
    monkeypatch.setattr("crisp.model.WEIGHTS", flat_checkpoint.parent)
    monkeypatch.setattr("crisp.model.BUNDLED", {"bundled": flat_checkpoint.name})
    said = crisp_command("info")
    assert said.code == 0 and "model flat: 1 objects, " in said.out
    files = json.loads((flat_checkpoint / "checkpoint.json").read_text())["files"]
    assert Path(files["backbone"]["path"]).parent != Path()
    for file in files.values():
        assert re.search(rf"{Path(file['path']).name} \d+\.\d MB {file['sha256']}\n", said.out), said.out


def test_verbs(crisp_command: Command) -> None:
    for nothing in ((), ("--help",), ("-h",)):
        said = crisp_command(*nothing)
        assert said.code == 0 and all(verb in said.out for verb in VERBS)
    refused(crisp_command("estmate"), "no verb 'estmate'", "estimate")
    refused(crisp_command("evaluate", "scores"), "no verb 'evaluate scores'")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(crisp_command: Command, verb: str) -> None:
    said = crisp_command(*verb.split(), "--help")
    assert said.code == 0 and said.out.startswith(f"usage: crisp {verb}") and VERBS[verb].says in said.out


def test_an_unknown_option_is_bad_input(crisp_command: Command) -> None:
    said = crisp_command("demo", "--ojects", "3")
    assert said.code == 2 and "--ojects" in said.err


def test_as_a_process_of_its_own(folder: Path, flat_checkpoint: Path) -> None:
    """Nothing but our sentence on standard error: no library's warnings, no bars in a pipe."""
    frame = [
        "--rgb",
        "rgb.png",
        "--depth",
        "depth.png",
        "--camera",
        "camera.json",
        "--weights",
        str(flat_checkpoint),
    ]
    command = [sys.executable, "-c", "from crisp.cli import main; main()", "estimate", *frame, "--out", "out"]
    Image.fromarray(np.zeros((H, W), np.uint8)).save(folder / "mask_1.png")
    ended = subprocess.run(
        [*command, "--masks", "mask_0.png", "mask_1.png"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "crisp: mask_1.png: the mask has no pixel: it must mark the object's visible pixels.\n"
    )
    assert ended.stdout.startswith("1 of 2 objects estimated; see out")
    assert [o["status"] for o in objects(folder)] == ["ok", "mask_empty"]
