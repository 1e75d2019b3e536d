"""The demo reports what the model says of a scene whose truth is known, right or failed."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from rich.console import Console
from scipy.spatial.transform import Rotation

from crisp.certify.certificate import CertificateConfig
from crisp.cli import demo_scene as demo
from crisp.cli.demo import Demo
from crisp.cli.demo_scene import DemoScene, KnownObject, choose_objects, demo_scene, is_right, run_demo, score
from crisp.errors import InputError
from crisp.evaluate.metrics.shape import sampling_floor
from crisp.evaluate.options import ModelChoice
from crisp.geometry.align import RegistrationConfig
from crisp.model import Model
from crisp.networks.config import preset
from crisp.output.sink import Truth
from crisp.shape.mesh import MeshConfig
from crisp.shape.sdf import AnalyticBox
from crisp.synth.render.arrangement import Viewpoints
from crisp.types import (
    Certificate,
    CorrectionSummary,
    Detection,
    Frame,
    Mesh,
    ObjectModel,
    Result,
    Symmetries,
    TexturedMesh,
)

SMALL = Viewpoints(
    width=96,
    height=72,
    elevation_deg=(40.0, 45.0),
    distance_m=(0.7, 0.8),
    focal_px=(70.0, 80.0),
    roll_deg=(0.0, 0.0),
)


BLOCK_M = (0.1, 0.15, 0.2)


def block(name: str, kind: str, symmetries: Symmetries | None = None) -> ObjectModel:
    solid = trimesh.creation.box(BLOCK_M)
    vertices, faces = np.array(solid.vertices), np.array(solid.faces)
    surface = TexturedMesh(vertices, faces, np.zeros((8, 2)), np.full((2, 2, 3), 200, dtype=np.uint8))
    return ObjectModel(name, kind, Mesh(vertices, faces), surface, symmetries or Symmetries())


OFF_M = 0.03


class Oracle(Model):
    """Knows the truth of one scene, in which all shapes are one block, and fails where it is told to.

    Its network alone is 3 cm too far away with every object; it certifies all of them but the first.
    """

    device = torch.device("cpu")

    def __init__(self, scene: DemoScene, *, fail: int | None = None) -> None:
        network = SimpleNamespace(decoder=AnalyticBox(), config=preset("small"))
        known = {"scene": scene, "fail": fail, "name": "oracle", "sha256": "0" * 64, "network": network}
        settings = {"registration": RegistrationConfig(), "meshing": MeshConfig()}
        settings |= {"corrector": None, "certificate": CertificateConfig()}
        for key, value in (known | settings | {"info": SimpleNamespace(name="oracle")}).items():
            object.__setattr__(self, key, value)

    def with_correction(self, name: str) -> Oracle:
        if name == "none":
            for key in ("corrector", "certificate"):
                object.__setattr__(self, key, None)
        return self

    def estimate(self, frame: Frame, masks: Sequence[np.ndarray | Detection]) -> list[Result]:
        assert len(masks) == len(self.scene.objects)  # type: ignore[attr-defined]
        return [
            Result(status="too_few_points", message="too few points of it were measured.")
            if index == self.fail  # type: ignore[attr-defined]
            else self.found(index, known)
            for index, known in enumerate(self.scene.objects)  # type: ignore[attr-defined]
        ]

    def found(self, index: int, known: KnownObject) -> Result:
        T, code = known.T_camera_object, np.array(BLOCK_M, dtype=np.float32) / 2
        result = Result(
            "ok", T_camera_object=T, mesh=known.model.mesh, shape_code=code, box_px=(0, 0, 96, 72)
        )
        if self.certificate is None:
            return result
        start = T.copy()
        start[2, 3] += OFF_M
        summary = CorrectionSummary("converged", "it stopped.", 1, 0.01, 0.0, start, code, 0.0, 1.0)
        reasons = () if index else ("it is the first.",)
        verdict = Certificate(not reasons, 0.0, 0.01, 0.98, 100, 1.0, reasons=reasons)
        return replace(result, correction=summary, certificate=verdict)


@pytest.fixture(scope="module")
def scene() -> DemoScene:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "names", lambda: ("a", "b"))
        patch.setattr(demo, "object_model", lambda name: block(name, name))
        return demo_scene(seed=0, objects=2, look_name="clean", viewpoints=SMALL)


def run(
    scene: DemoScene,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    fail: int | None = None,
    correct: str = "default",
) -> tuple[Path, str]:
    monkeypatch.setattr("crisp.model.load_model", lambda source: Oracle(scene, fail=fail))
    monkeypatch.setattr(demo, "demo_scene", lambda **asked: scene)
    console = Console(file=io.StringIO(), width=120)
    report = run_demo(Demo(out, ModelChoice(correct=correct)), console=console)
    return report, console.file.getvalue()  # type: ignore[attr-defined]


def test_scene_is_what_its_truth_says(scene: DemoScene) -> None:
    assert len(scene.detections) == len(scene.objects) == 2
    points = scene.frame.camera.backproject(scene.frame.depth_m)
    for detection, known in zip(scene.detections, scene.objects, strict=True):
        T = known.T_camera_object
        on_object = (points[detection.mask] - T[:3, 3]) @ T[:3, :3]
        assert detection.mask.sum() > 50
        # Every measured point lies on the surface of the block.
        slack = np.abs(np.abs(on_object) - [0.05, 0.075, 0.1]).min(axis=1)
        assert slack.max() < 1e-3
        assert 0 < known.visible_share <= 1


def test_a_right_estimate_has_no_error_and_all_files_are_written(
    scene: DemoScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, printed = run(scene, tmp_path / "out", monkeypatch)
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    objects = content["frames"][0]["objects"]
    for entry, known in zip(objects, scene.objects, strict=True):
        assert entry["errors"]["add_s_m"] == 0
        assert entry["errors"]["rotation_deg"] == pytest.approx(0, abs=1e-5)
        assert entry["errors"]["chamfer_m"] == pytest.approx(sampling_floor(known.model.mesh).chamfer_m)
        assert (tmp_path / "out" / entry["mesh"]).is_file()
        assert known.model.name in printed
    assert report == tmp_path / "out" / "report.html"
    assert report.is_file()
    assert str(report) in printed


def test_the_network_alone_is_scored_too_and_verdicts_are_held_against_the_truth(
    scene: DemoScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, printed = run(scene, tmp_path / "out", monkeypatch)
    objects = json.loads((tmp_path / "out" / "results.json").read_text())["frames"][0]["objects"]
    for entry in objects:
        # Nearest distances to a body that was moved by 3 cm: no point has more.
        assert 0.005 < entry["errors_start"]["add_s_m"] <= OFF_M
        assert entry["errors_start"]["translation_m"] == pytest.approx(OFF_M)
        assert entry["errors_start"]["chamfer_m"] == entry["errors"]["chamfer_m"]
    page = report.read_text()
    assert "not certified</span> <span" in page and "although it is right" in page
    assert "it is the first." in page and "and it is right" in page
    assert [words in printed for words in ("no, right", "yes, right", "1, 1 right")] == [True] * 3


def test_without_a_corrector_nothing_is_said_of_before(
    scene: DemoScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, printed = run(scene, tmp_path / "out", monkeypatch, correct="none")
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["settings"]["demo"]["correct"] == "none"
    for entry in content["frames"][0]["objects"]:
        assert "errors_start" not in entry and entry["correction"] is None
    assert "→" not in printed and "certified" not in printed and "certified" not in report.read_text()


def test_right_is_what_a_certificate_claims() -> None:
    """The block's diameter is sqrt(0.1^2 + 0.15^2 + 0.2^2) = 0.2693 m: 26.9 mm and 13.5 mm are the bounds."""
    known = KnownObject(block("a", "a"), np.eye(4), 1.0)
    cases = {(0.0269, 0.0134): True, (0.0271, 0.0134): False, (0.0269, 0.0136): False, (0.0269, None): False}
    for (add_s_m, chamfer_m), right in cases.items():
        assert is_right(Truth(add_s_m, 90.0, 1.0, chamfer_m), known) is right
    assert not is_right(None, known)


def test_a_failed_object_is_reported_as_failed_everywhere(
    scene: DemoScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, printed = run(scene, tmp_path / "out", monkeypatch, fail=1)
    entry = json.loads((tmp_path / "out" / "results.json").read_text())["frames"][0]["objects"][1]
    assert entry["status"] == "too_few_points"
    assert "errors" not in entry
    assert "too_few_points" in printed
    # The median of one right and one failed object is not a number that could be shown, before or after.
    assert [line.count("-") for line in printed.splitlines() if "median" in line] == [6]
    assert "too few points of it were measured." in report.read_text()


def test_score_knows_symmetries() -> None:
    T_true = np.eye(4)
    T_true[2, 3] = 0.8
    turned = T_true.copy()
    turned[:3, :3] = Rotation.from_euler("z", 10, degrees=True).as_matrix()
    axis = Symmetries(continuous=((np.array([0.0, 0, 1]), np.zeros(3)),))
    result = Result(status="ok", T_camera_object=turned)
    plain = score(result, KnownObject(block("a", "a"), T_true, 1.0))
    folded = score(result, KnownObject(block("a", "a", axis), T_true, 1.0))
    assert plain is not None
    assert folded is not None
    assert plain.rotation_deg == pytest.approx(10)
    assert folded.rotation_deg == pytest.approx(0, abs=1e-6)
    assert plain.chamfer_m is None


def test_a_pose_without_a_shape_is_a_failure() -> None:
    result = Result(status="no_surface", message="there is none.", T_camera_object=np.eye(4))
    assert score(result, KnownObject(block("a", "a"), np.eye(4), 1.0)) is None


def test_kinds_come_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"cup_1": "cup", "cup_2": "cup", "cup_3": "cup", "can_1": "can", "box_1": "box"}
    monkeypatch.setattr(demo, "names", lambda: tuple(kinds))
    monkeypatch.setattr(demo, "object_model", lambda name: block(name, kinds[name]))
    for seed in range(5):
        chosen = [model.kind for model in choose_objects(4, np.random.default_rng(seed))]
        assert set(chosen[:3]) == {"cup", "can", "box"}
        assert chosen[3] == "cup"


@pytest.mark.parametrize(
    ("seed", "objects", "sentence"), [(0, 0, "got 0"), (0, 99, "1 to 28"), (-1, 3, "seed")]
)
def test_impossible_scenes_are_refused(seed: int, objects: int, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        demo_scene(seed=seed, objects=objects, look_name="clean")
