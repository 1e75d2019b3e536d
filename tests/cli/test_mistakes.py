"""Mistakes on the command line, and trouble that is nobody's input: one sentence, and never a traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from command import Command, refused

from crisp.cli.info import Info
from crisp.shipped import correction_names


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("demo --ojects 3", ("--ojects", "--objects")),
        ("demo --objects=3 --sead=1", ("--sead", "--seed")),
        ("info --colour blue", ("--colour",)),
        ("info stray", ("stray",)),
        ("demo -x", ("-x",)),
        ("estimate", ("--out",)),
        ("evaluate predict --out there", ("--dataset",)),
        ("evaluate score", ("--predictions", "--dataset")),
        ("evaluate table", ("NUMBER",)),
        ("evaluate table nine", ("NUMBER", "whole number", "nine")),
        ("evaluate table 9 10", ("10",)),
        ("demo --objects three", ("--objects", "whole number", "three")),
        ("demo --objects", ("--objects",)),
        ("synthesise --out there --objects-per-scene 3", ("--objects-per-scene", "2")),
        ("synthesise --out there --any-pose-share half", ("--any-pose-share", "number", "half")),
        ("synthesise --out there --scenes 0", ("scenes", "at least 1")),
        ("demo --look wild", ("--look", "wild", "clean", "hard")),
        ("evaluate score --predictions a --dataset b --protocols adds", ("adds", "add-s", "chamfer-mm")),
        ("estimate --out there --frames two", ("--frames", "two")),
        ("estimate --out there --tracks auto", ("--tracks", "--dataset")),
        ("estimate --out there --min-score 0.5", ("--min-score", "--dataset")),
        ("help nothing", ("nothing",)),
    ],
)
def test_what_cannot_be_understood_is_named(
    crisp_command: Command, line: str, words: tuple[str, ...]
) -> None:
    refused(crisp_command(*line.split()), *words)


def test_a_wrong_corrector_is_told_all_the_right_ones(estimate: Command, crisp_command: Command) -> None:
    refused(estimate(correct="larger"), "larger", *correction_names())
    shown = "".join(crisp_command("estimate", "--help").out.replace("│", "").split())
    assert all(name in shown for name in correction_names())


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (KeyboardInterrupt(), 130, ("interrupted",)),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/results.json"), 2, ("results.json", "space")),
        (ZeroDivisionError("of\nwhat"), 2, ("ZeroDivisionError", "of what")),
    ],
)
def test_trouble_while_a_verb_runs(
    crisp_command: Command,
    monkeypatch: pytest.MonkeyPatch,
    fault: BaseException,
    code: int,
    words: tuple[str],
) -> None:
    def run(_: Info) -> int:
        raise fault

    monkeypatch.setattr(Info, "run", run)
    said = crisp_command("info")
    assert said.code == code and len(said.sentences) == 1 and said.err.startswith("crisp: ")
    assert all(word in said.err for word in words), said


def test_predicting_is_estimating_a_set(crisp_command: Command) -> None:
    """What `evaluate predict` takes, `estimate` takes as well."""
    options = {
        verb: {word for word in crisp_command(*verb.split(), "--help").out.split() if word.startswith("--")}
        for verb in ("estimate", "evaluate predict")
    }
    more = options["estimate"] - options["evaluate predict"]
    assert more == {"--rgb", "--depth", "--camera", "--masks"}
    assert options["evaluate predict"] <= options["estimate"]


def test_only_an_empty_folder_is_needed_to_be_refused(crisp_command: Command, tmp_path: Path) -> None:
    refused(crisp_command("estimate", "--dataset", tmp_path / "none", "--out", tmp_path / "out"), "none")
    assert not (tmp_path / "out").exists()
