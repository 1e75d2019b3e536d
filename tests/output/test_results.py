"""`results.json`: its documented form, and runs that go on where they were broken off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_stages import FRAME, TRIANGLE, FakeStages, detections

import crisp
from crisp.errors import InputError
from crisp.model import Model
from crisp.output.sink import FrameResults, ObjectTruth, ResultsJson, Run, Truth, write_results
from crisp.pipeline import estimate
from crisp.shape.mesh import MeshConfig, read_ply
from crisp.types import Result


def results_of(fake: FakeStages, count: int = 3) -> list[Result]:
    return estimate(FRAME, detections(count), fake.stages)


def frame_named(frame_id: str, results: list[Result]) -> FrameResults:
    return FrameResults(replace(FRAME, frame_id=frame_id), detections(len(results)), results)


def test_results_file_has_the_documented_form(flat_model: Model, tmp_path: Path) -> None:
    results = results_of(FakeStages(cut={1}))
    truth = ObjectTruth("a", TRIANGLE, np.eye(4), Truth(0.003, 2.0, 0.002, 0.001), Truth(0.004, 3.0, 0.002))
    found = FrameResults(FRAME, detections(3), results, (truth, None, replace(truth, errors=None)))
    (path,) = write_results(ResultsJson(), Run(tmp_path, flat_model, {"masks": ["a.png"]}), found)
    content = json.loads(path.read_text())
    assert set(content) == {"crisp_version", "model", "settings", "frames"}
    assert content["crisp_version"] == crisp.__version__
    assert content["model"] == {"name": flat_model.name, "sha256": flat_model.sha256}
    assert content["settings"]["masks"] == ["a.png"]
    (frame,) = content["frames"]
    assert frame["frame_id"] == "000001/000003"
    assert frame["camera"] == {"K": [120, 0, 48, 0, 120, 36, 0, 0, 1], "width": 96, "height": 72}
    good, bad, partly = frame["objects"]
    assert [o["detection"] for o in frame["objects"]] == [0, 1, 2]
    assert set(bad) == {
        "detection",
        "status",
        "message",
        "label",
        "track",
        "T_camera_object",
        "diameter_m",
        "inlier_share",
        "box_px",
        "mesh",
        "correction",
        "certificate",
        "timing_ms",
    }
    assert set(good) == set(bad) | {"errors", "errors_start"}
    assert good["status"] == "ok" and good["T_camera_object"] == np.eye(4).tolist()
    assert good["correction"]["status"] == "converged" and good["correction"]["rms_m"] == 0.001
    assert good["certificate"]["certified"] is True and good["certificate"]["reasons"] == []
    assert bad["correction"] is bad["certificate"] is None
    assert good["mesh"] == "meshes/000001_000003_0.ply"
    mesh = read_ply(tmp_path / good["mesh"])
    assert np.allclose(mesh.vertices, TRIANGLE.vertices) and np.array_equal(mesh.faces, TRIANGLE.faces)
    assert good["errors"] == {
        "add_s_m": 0.003,
        "rotation_deg": 2.0,
        "translation_m": 0.002,
        "chamfer_m": 0.001,
    }
    assert good["errors_start"]["add_s_m"] == 0.004 and good["errors_start"]["chamfer_m"] is None
    assert "errors" not in partly and "errors_start" in partly
    assert bad["status"] == "mask_empty" and bad["message"] and bad["mesh"] is bad["T_camera_object"] is None


def frames_in(folder: Path) -> list[str]:
    return [frame["frame_id"] for frame in json.loads((folder / "results.json").read_text())["frames"]]


def test_results_are_resumed_frame_by_frame(flat_model: Model, tmp_path: Path) -> None:
    run = Run(tmp_path, flat_model, {"split": "test"}, resume=True)
    first = ResultsJson()
    assert first.open(run) == frozenset()
    first.add(frame_named("000001/000002", results_of(FakeStages())))
    first.add_failure("000001/000001", "rgb.png is damaged.")
    first.close()
    assert frames_in(tmp_path) == ["000001/000001", "000001/000002"]

    again = ResultsJson()
    assert again.open(run) == {"000001/000002"}  # what could not be read is tried again
    again.add(frame_named("000001/000001", []))
    again.close()
    assert frames_in(tmp_path) == ["000001/000001", "000001/000002"]

    anew = ResultsJson()
    anew.open(run)
    anew.forget(["000001/000001"])
    anew.close()
    assert frames_in(tmp_path) == ["000001/000002"]

    fresh = ResultsJson()
    assert fresh.open(replace(run, resume=False)) == frozenset()
    fresh.close()
    assert frames_in(tmp_path) == []


def test_a_killed_run_has_left_what_it_had_written(flat_model: Model, tmp_path: Path) -> None:
    """`results.json` is written every ten frames."""
    sink = ResultsJson()
    sink.open(Run(tmp_path, flat_model))
    for number in range(12):
        sink.add(frame_named(f"000001/{number:06d}", []))
    assert len(frames_in(tmp_path)) == 10


@pytest.mark.parametrize("change", ["settings", "model", "meshing"])
def test_other_results_are_not_added_to(flat_model: Model, tmp_path: Path, change: str) -> None:
    sink = ResultsJson()
    sink.open(Run(tmp_path, flat_model, {"split": "test"}))
    sink.close()
    other = {
        "settings": flat_model,
        "model": replace(flat_model, sha256="00" * 32),
        "meshing": replace(flat_model, meshing=MeshConfig(resolution=64)),
    }[change]
    settings = {"split": "train" if change == "settings" else "test"}
    with pytest.raises(InputError, match="another model or other settings"):
        ResultsJson().open(Run(tmp_path, other, settings, resume=True))


def test_a_file_that_holds_no_results_is_refused(flat_model: Model, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(InputError, match=r"results\.json is not JSON"):
        ResultsJson().open(Run(tmp_path, flat_model, resume=True))
