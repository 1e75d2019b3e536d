"""A new metric is one file and one line of registration; its figures reach every score file."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from scored_set import BOX, LABELS, failed, motion, truth, write_predictions, write_set

from crisp.errors import InputError
from crisp.evaluate.metrics import METRICS, metrics_named
from crisp.evaluate.options import ScoreOptions
from crisp.evaluate.score import score
from crisp.types import Mesh

TOY = '''
from dataclasses import dataclass

import numpy as np

from crisp.evaluate.metrics.metric import ObjectMetric, mean, median

BOUND_M = 0.05

@dataclass(frozen=True)
class DepthError:
    depth_m: float
    width: float

class Depth(ObjectMetric):
    """How far the estimate is off along the optical axis, and how wide it is in widths of the truth."""

    settings = {"bound_m": BOUND_M}

    def error(self, case):
        if case.T is None:
            return DepthError(np.inf, np.inf)
        ours, theirs = (np.ptp(mesh.vertices[:, 0]) for mesh in (case.mesh, case.truth.model.mesh))
        return DepthError(abs(case.T[2, 3] - case.instance.T_camera_object[2, 3]), ours / theirs)

    def figures(self, scored):
        off = scored.column("depth_m")
        yield scored.figure("depth median m", off, median)
        yield scored.figure("depth within bound", (off < BOUND_M).astype(float), mean)

    def columns(self, error):
        return {"depth_error_m": error.depth_m, "width_share": error.width}
'''
FIRST = "000001/000000"


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_depth.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METRICS, "depth", "toy_depth:Depth")


def test_it_is_scored_summarised_and_written(tmp_path: Path) -> None:
    """All 20 mm too far, one 100 mm, one failed; boxes 10 % too wide: three of five within 50 mm."""
    frames = truth()
    for k, entry in enumerate(one for objects in frames.values() for one in objects):
        im_id, detection = divmod(k, len(LABELS[0]))
        moved = motion(t=(0, 0, 0.1 if k == 1 else 0.02)) @ LABELS[im_id][detection][1]
        entry["T_camera_object"] = moved.tolist()
    frames[FIRST][2] = failed(2)
    meshes = {"box": Mesh(1.1 * BOX.vertices, BOX.faces)}
    folder = write_predictions(tmp_path / "out", frames, meshes=meshes)
    scores = score(ScoreOptions(folder, write_set(tmp_path), "test", protocols=("depth", "add-s")))

    values = {f.name: f.value for f in scores.summary().figures if f.protocol == "depth"}
    assert values == pytest.approx({"depth median m": 0.02, "depth within bound": 3 / 5})
    assert scores.summary("can").figure("depth within bound").value == 0  # type: ignore[union-attr]

    content = json.loads((folder / "scores.json").read_text())
    assert content["settings"]["protocols"] == ["add-s", "depth"]
    assert content["settings"]["protocol_settings"]["depth"] == {"bound_m": 0.05}
    said = content["summaries"][0]["figures"]["depth within bound"]
    assert said["protocol"] == "depth" and said["interval"][0] <= 3 / 5 <= said["interval"][1]
    assert content["objects"][0]["width_share"] == pytest.approx(1.1)
    assert content["objects"][2]["depth_error_m"] is None

    text = (folder / "scores.md").read_text()
    assert "## depth" in text and "| depth within bound | 0.6 |" in text
    with (folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[1]["depth_error_m"]) == pytest.approx(0.1) and rows[2]["depth_error_m"] == ""
    assert list(rows[0])[-2:] == ["depth_error_m", "width_share"], "in the order of registration"


def test_names_are_read_without_the_metrics_or_torch() -> None:
    code = "import sys, crisp.evaluate.metrics; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "numpy", "crisp.evaluate.metrics.metric"}


def test_each_name_leads_to_a_metric_that_says_its_settings() -> None:
    for name, metric in metrics_named(tuple(METRICS)).items():
        assert metric.settings and json.loads(json.dumps(metric.settings)) == metric.settings, name


@pytest.mark.parametrize("names", [(), ("add-s", "nowhere")])
def test_names_that_are_not_registered_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="protocols"):
        metrics_named(names)
