"""The verbs, what they say of themselves, and the command as a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import Command, H, W, objects, refused
from PIL import Image

import crisp
from crisp.cli import VERBS


def test_info_names_the_files_of_each_model(
    crisp_command: Command, flat_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backbone too, which lies elsewhere and is shared."""
    monkeypatch.setattr("crisp.shipped.WEIGHTS", flat_checkpoint.parent)
    monkeypatch.setattr("crisp.shipped.BUNDLED", {"bundled": flat_checkpoint.name})
    said = crisp_command("info")
    assert said.code == 0 and "model bundled: 1 objects, " in said.out
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
    group = [verb for verb in VERBS if verb.startswith("evaluate ")]
    for asked, code in ((("evaluate", "--help"), 0), (("help", "evaluate"), 0), (("evaluate",), 2)):
        said = crisp_command(*asked)
        assert said.code == code
        assert [verb for verb in VERBS if f"  {verb}" in said.out] == group


def test_version(crisp_command: Command) -> None:
    said = crisp_command("--version")
    assert (said.code, said.out) == (0, f"crisp {crisp.__version__}\n")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(crisp_command: Command, verb: str) -> None:
    said = crisp_command(*verb.split(), "--help")
    assert said.code == 0 and said.out.startswith(f"usage: crisp {verb}") and VERBS[verb].says in said.out
    assert crisp_command("help", *verb.split()) == said


def test_incomplete_or_double_input(crisp_command: Command, folder: Path) -> None:
    refused(crisp_command("estimate", "--out", folder / "out", "--rgb", folder / "rgb.png"), "--dataset")
    both = ("--rgb", folder / "rgb.png", "--dataset", folder)
    refused(crisp_command("estimate", "--out", folder / "out", *both), "not both")


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
    assert "1 of 2 objects estimated" in ended.stdout and "see out" in ended.stdout
    assert [o["status"] for o in objects(folder)] == ["ok", "mask_empty"]
