"""From predictions to scores, a table and figures on the command line, and what is refused on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command, refused
from detections_file import true_detections, write_detections

from crisp.data.bop.reader import BopDataset
from crisp.evaluate.metrics import METRICS
from crisp.shape.mesh import write_ply


@pytest.fixture
def predictions(bop_root: Path, tmp_path: Path) -> Path:
    """The labels themselves, the last frame's first object failed."""
    dataset, folder = BopDataset(bop_root, "train"), tmp_path / "run"
    frames = []
    for key in dataset.keys:
        objects = []
        for instance in dataset.instances(key):
            mesh = f"meshes/{instance.object_id}.ply"
            write_ply(dataset.object(instance.object_id).mesh, folder / mesh)
            T = instance.T_camera_object.tolist()
            objects.append({"detection": instance.index, "status": "ok", "T_camera_object": T, "mesh": mesh})
        frames.append({"frame_id": key.frame_id, "objects": objects})
    frames[-1]["objects"][0] = {"detection": 0, "status": "mask_empty", "message": "nothing."}
    (folder / "results.json").write_text(
        json.dumps({"frames": frames, "settings": {}, "model": {"name": "t"}})
    )
    return folder


def test_predict_once_score_many(
    crisp_command: Command, predictions: Path, bop_root: Path, tmp_path: Path
) -> None:
    given = ("--predictions", predictions, "--dataset", bop_root, "--split", "train")
    said = crisp_command("evaluate", "score", *given, "--protocols", *METRICS)
    assert said.code == 0, said
    assert all(f"## {name}" in said.out for name in METRICS)
    # Eleven of twelve objects are right, and one is missed: 11/12 = 0.917.
    assert "| AR | 0.917 |" in said.out and "| ADD-S AUC 1 cm | 0.917 |" in said.out
    assert (predictions / "crisp_tiny-train.csv").read_text().count("\n") == 12
    # Others cannot take their place, but may go elsewhere.
    refused(crisp_command("evaluate", "score", *given, "--protocols", "add-s"), "protocols", "another folder")
    assert crisp_command("evaluate", "score", *given, "--out", tmp_path / "other").code == 0

    said = crisp_command("evaluate", "table", "11", "--scores", predictions, "--out", tmp_path / "tables")
    assert (
        said.code == 0
        and "| CRISP, PNC | 0.22 | 0.42 | 0.54 |" in said.out
        and "| **run** | 0.917" in said.out
    )
    assert sorted(p.name for p in (tmp_path / "tables").iterdir()) == [
        f"table11.{e}" for e in ("csv", "json", "md")
    ]
    curves, grid = tmp_path / "curves.png", tmp_path / "grid.png"
    options = ("--scores", predictions, "--names", "ours", "--out", curves)
    assert crisp_command("evaluate", "figure", "12", *options).code == 0
    assert crisp_command("evaluate", "figure", "13", *given, "--rows", "1", "--out", grid).code == 0
    assert curves.is_file() and grid.is_file()


def test_targets_and_detections(
    crisp_command: Command, predictions: Path, bop_root: Path, flat_checkpoint: Path, tmp_path: Path
) -> None:
    """Two of twelve objects are asked for, and one detection is sure enough."""
    dataset, targets = BopDataset(bop_root, "train"), tmp_path / "targets.json"
    said = [{"scene_id": 0, "im_id": 0, "obj_id": i, "inst_count": 1} for i in (1, 2)]
    targets.write_text(json.dumps(said))
    given = ("--dataset", bop_root, "--split", "train", "--targets", targets, "--protocols", "bop")
    told = crisp_command("evaluate", "score", "--predictions", predictions, *given)
    assert told.code == 0 and "2 labelled objects, 0 without an estimate" in told.out, told
    found = write_detections(tmp_path / "found.json", true_detections(dataset))
    out, where = tmp_path / "out", ("--dataset", bop_root, "--split", "train", "--targets", targets)
    options = (
        "--weights",
        flat_checkpoint,
        "--correct",
        "none",
        "--detections",
        found,
        "--min-score",
        "0.85",
    )
    told = crisp_command("evaluate", "predict", *where, *options, "--out", out)
    assert told.code == 0, told
    refused(crisp_command("evaluate", "score", "--predictions", out, *given), "give --detections")
    told = crisp_command("evaluate", "score", "--predictions", out, *given, "--detections", found)
    assert told.code == 0 and "2 labelled objects, 1 without an estimate" in told.out, told


def test_tables_and_figures_that_are_none(crisp_command: Command, tmp_path: Path) -> None:
    refused(crisp_command("evaluate", "table", "3"), "no table 3", "8, 9, 10")
    assert crisp_command("evaluate", "table", "9").code == 0  # the published rows alone
    refused(crisp_command("evaluate", "table", "9", "--scores", tmp_path / "nowhere"), "nowhere")
    refused(
        crisp_command("evaluate", "figure", "13", "--out", tmp_path / "a.png"), "--predictions", "--dataset"
    )
    refused(crisp_command("evaluate", "figure", "11", "--out", tmp_path / "a.png"), "--scores")
