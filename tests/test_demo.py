"""The demo reports what the model says of a scene whose truth is known, right or failed."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from rich.console import Console
from scipy.spatial.transform import Rotation

from crisp import demo
from crisp.demo import DemoScene, KnownObject, choose_objects, demo_scene, run_demo, score
from crisp.errors import InputError
from crisp.geometry.align import RegistrationConfig
from crisp.metrics.shape import sampling_floor
from crisp.model import Model
from crisp.objects import ObjectModel, Symmetries, TexturedMesh
from crisp.render.viewpoints import Viewpoints
from crisp.shape.mesh import MeshConfig
from crisp.types import Detection, Frame, Mesh, Result

SMALL = Viewpoints(
    width=96,
    height=72,
    elevation_deg=(40.0, 45.0),
    distance_m=(0.7, 0.8),
    focal_px=(70.0, 80.0),
    roll_deg=(0.0, 0.0),
)


def block(name: str, kind: str, symmetries: Symmetries | None = None) -> ObjectModel:
    solid = trimesh.creation.box((0.1, 0.15, 0.2))
    vertices, faces = np.array(solid.vertices), np.array(solid.faces)
    surface = TexturedMesh(vertices, faces, np.zeros((8, 2)), np.full((2, 2, 3), 200, dtype=np.uint8))
    return ObjectModel(name, kind, Mesh(vertices, faces), surface, symmetries or Symmetries())


class Oracle(Model):
    """Knows the truth of one scene, and fails where it is told to."""

    def __init__(self, scene: DemoScene, *, fail: int | None = None) -> None:
        known = {"scene": scene, "fail": fail, "name": "oracle", "sha256": "0" * 64}
        settings = {"registration": RegistrationConfig(), "meshing": MeshConfig()}
        for key, value in (known | settings | {"info": SimpleNamespace(name="oracle")}).items():
            object.__setattr__(self, key, value)

    def estimate(self, frame: Frame, masks: Sequence[np.ndarray | Detection]) -> list[Result]:
        assert len(masks) == len(self.scene.objects)  # type: ignore[attr-defined]
        return [
            Result(status="too_few_points", message="too few points of it were measured.")
            if index == self.fail  # type: ignore[attr-defined]
            else Result(status="ok", T_camera_object=known.T_camera_object, mesh=known.model.mesh)
            for index, known in enumerate(self.scene.objects)  # type: ignore[attr-defined]
        ]


@pytest.fixture(scope="module")
def scene() -> DemoScene:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "names", lambda: ("a", "b"))
        patch.setattr(demo, "object_model", lambda name: block(name, name))
        return demo_scene(seed=0, objects=2, look_name="clean", viewpoints=SMALL)


def run(
    scene: DemoScene, out: Path, monkeypatch: pytest.MonkeyPatch, *, fail: int | None = None
) -> tuple[Path, str]:
    monkeypatch.setattr(demo, "load_model", lambda source: Oracle(scene, fail=fail))
    monkeypatch.setattr(demo, "demo_scene", lambda **asked: scene)
    console = Console(file=io.StringIO(), width=120)
    report = run_demo(out, console=console)
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


def test_a_failed_object_is_reported_as_failed_everywhere(
    scene: DemoScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, printed = run(scene, tmp_path / "out", monkeypatch, fail=1)
    entry = json.loads((tmp_path / "out" / "results.json").read_text())["frames"][0]["objects"][1]
    assert entry["status"] == "too_few_points"
    assert "errors" not in entry
    assert "too_few_points" in printed
    # The median of one right and one failed object is not a number that could be shown.
    assert [line.count("-") for line in printed.splitlines() if "median" in line] == [3]
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
