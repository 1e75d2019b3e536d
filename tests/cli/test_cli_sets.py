"""Bad data sets, recipes, meshes and folders on the command line: one sentence and exit code 2 each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import trimesh
from command import Command, cut_short, refused


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

    monkeypatch.setattr("crisp.synth.synthesise._render", fail)
    (folder / "meshes").mkdir()
    trimesh.creation.box((0.1, 0.1, 0.1)).export(folder / "meshes" / "box.ply")
    options = ("--meshes", folder / "meshes", "--scenes", "2", "--workers", "1")
    said = crisp_command("synthesise", "--out", folder / "set", *options)
    assert said.code == 2 and said.out == ""
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
    given = ("--dataset", root, "--split", "train", "--weights", flat_checkpoint)
    options = (*given, "--frames", "3", "--correct", "none")
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


def test_tracks_that_cannot_be_kept(
    crisp_command: Command, estimate: Command, folder: Path, bop_root: Path, flat_checkpoint: Path
) -> None:
    refused(estimate(tracks="auto"), "--tracks needs --dataset")
    given = ("--dataset", bop_root, "--split", "train", "--weights", flat_checkpoint, "--out", folder / "out")
    refused(crisp_command("estimate", *given, "--tracks", "auto"), "where the camera stood", "000000/000000")
    refused(crisp_command("estimate", *given, "--tracks", folder / "no.json"), "cannot read", "no.json")
    none = ("--correct", "none", "--tracks", "auto")
    refused(crisp_command("estimate", *given, *none), "tracks need the corrector")
    assert not (folder / "out").exists()


def test_names_of_a_file_reach_the_results(
    crisp_command: Command, folder: Path, bop_root: Path, flat_checkpoint: Path
) -> None:
    (folder / "ids.json").write_text(json.dumps({"000000/000000": ["brick", None]}))
    given = ("--dataset", bop_root, "--split", "train", "--weights", flat_checkpoint, "--frames", "1")
    said = crisp_command("estimate", *given, "--tracks", folder / "ids.json", "--out", folder / "out")
    assert said.code == 0
    (frame,) = json.loads((folder / "out" / "results.json").read_text())["frames"]
    assert [item["track"] for item in frame["objects"]] == ["brick", None]
