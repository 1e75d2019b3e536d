"""`--correct`: what is asked for is done and written down, and a mistake in it is one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import Command, objects, refused

from crisp.output.sink import described
from crisp.recipes import load_correction


def settings(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "results.json").read_text())["settings"]


def test_the_corrector_is_on_unless_told_otherwise(estimate: Command, folder: Path) -> None:
    """The network sees a flat square of 0.1 m through the middle of a ball of 3 cm.

    By symmetry no small motion helps. Within 1 cm of the ball lies the ring from 2 to 4 cm, 38 % of it.
    """
    said = estimate()
    assert said.code == 0 and "3 of 3 objects estimated, 0 certified; see " in said.out
    assert settings(folder)["corrector"] == described(load_correction("default")[0])
    for entry in objects(folder):
        assert entry["correction"]["status"] == "unimproved"
        assert entry["correction"]["rms_m"] == entry["correction"]["rms_start_m"]
        assert entry["correction"]["T_camera_object_start"] == entry["T_camera_object"]
        assert not entry["certificate"]["certified"] and entry["certificate"]["reasons"]
        assert abs(entry["certificate"]["share_below"] - 0.38) < 0.03
    page = (folder / "out" / "report.html").read_text()
    assert "network alone" in page and "no step lowered the objective" in page


def test_the_network_alone(estimate: Command, folder: Path) -> None:
    said = estimate(correct="none")
    assert said.code == 0 and "certified" not in said.out
    assert (settings(folder)["corrector"], settings(folder)["certificate"]) == (None, None)
    assert all(entry["correction"] is entry["certificate"] is None for entry in objects(folder))
    assert "network alone" not in (folder / "out" / "report.html").read_text()


def test_published_settings_are_written_down(plain_estimate: Command, folder: Path) -> None:
    assert plain_estimate(correct="ycbv-lsq").code == 0
    used = settings(folder)
    assert used["corrector"]["pose_step"]["kind"] == "ZGradientStep"
    assert used["corrector"]["shape_step"]["one_hot"] is True
    assert (used["certificate"]["eps_m"], used["certificate"]["quantile"]) == (0.01, 0.98)


def test_a_whole_split_with_other_settings_goes_to_another_folder(
    crisp_command: Command, folder: Path, bop_root: Path, flat_checkpoint: Path
) -> None:
    options = ("--dataset", bop_root, "--split", "train", "--weights", flat_checkpoint, "--frames", "1")
    predict = ("evaluate", "predict", *options, "--out", folder / "out")
    assert crisp_command(*predict, "--correct", "none").code == 0
    assert settings(folder)["corrector"] is None
    refused(crisp_command(*predict), "other settings", "--out")
    refused(crisp_command("estimate", *options, "--out", folder / "out"), "other settings", "--out")


@pytest.mark.parametrize("verb", ["estimate", "demo", "evaluate predict"])
def test_settings_that_are_not_there(
    crisp_command: Command, folder: Path, bop_root: Path, flat_checkpoint: Path, verb: str
) -> None:
    data = () if verb == "demo" else ("--dataset", bop_root, "--split", "train")
    options = (*data, "--weights", flat_checkpoint, "--out", folder / "out", "--correct", "larger")
    refused(crisp_command(*verb.split(), *options), "there is no correction setting 'larger'", "default")
    assert not (folder / "out" / "results.json").exists()


def test_settings_of_ones_own_that_contradict_each_other(estimate: Command, folder: Path) -> None:
    text = '[corrector]\nrounds = 0\n[corrector.pose_step]\nkind = "Se3Step"\n'
    (folder / "mine.toml").write_text(text)
    refused(estimate(correct=folder / "mine.toml"), "mine.toml: corrector", "at least 1 round, got 0")
