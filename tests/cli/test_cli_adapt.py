"""`crisp adapt`: a run, its page and its scores; mistakes are one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command, refused
from detections_file import true_detections, write_detections

from crisp.data.bop.reader import BopDataset

RECIPE = """
correct = "{corrector}"
batch = 1

[guard]
every = 2
least = 1
objects = 2
check_every = 1
"""
CORRECTOR = """
[corrector]
rounds = 1

[corrector.pose_step]
kind = "Se3Step"
iterations = 2

[certificate]
eps_m = 0.2
quantile = 0.5
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    corrector, path = tmp_path / "corrector.toml", tmp_path / "recipe.toml"
    corrector.write_text(CORRECTOR)
    path.write_text(RECIPE.format(corrector=corrector))
    return path


def test_a_run_leaves_a_model_and_a_page(
    crisp_command: Command, bop_root: Path, flat_checkpoint: Path, recipe: Path, tmp_path: Path
) -> None:
    """From a detector's masks, of which one is of no label: it is looked at, and has no score."""
    out, dataset = tmp_path / "run", BopDataset(bop_root, "train")
    entries = true_detections(dataset)
    entries[0]["category_id"] = 2
    found = write_detections(tmp_path / "found.json", entries)
    where = ("--dataset", bop_root, "--split", "train", "--weights", flat_checkpoint, "--frames", "2")
    masks = ("--detections", found, "--min-score", "0.5")
    said = crisp_command("adapt", *where, *masks, "--recipe", recipe, "--out", out, "--score")
    assert said.code == 0 and f"checkpoint: {out / 'checkpoint'}" in said.out, said
    page = (out / "report.html").read_text()
    assert "<th>masks</th><td>found.json" in page
    assert "for the scores alone" in page and ", never trained on" in page
    assert "<th>frames</th><td>2" in page and "<th>objects looked at</th><td>4" in page
    refused(crisp_command("adapt", *where, "--recipe", "default", "--out", out), "another recipe")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--split", "nowhere"), ("no split", "nowhere")),
        (("--split", "train", "--recipe", "nothing"), ("no adaptation recipe", "nothing")),
        (("--split", "train", "--weights", "nothing"), ("nothing",)),
        (("--split", "train", "--processes", "0"), ("processes",)),
        (("--split", "train", "--detections", "nowhere.json"), ("nowhere.json",)),
    ],
)
def test_mistakes(
    crisp_command: Command,
    bop_root: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    refused(crisp_command("adapt", "--dataset", bop_root, "--out", tmp_path / "run", *options), *words)
