"""A BOP set of two frames written by hand: a box and a round can, scored with estimates of known error."""

import csv
import json

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from crisp.errors import InputError
from crisp.evaluate.metrics.add_s import PoseError
from crisp.evaluate.metrics.shape import sampling_floor
from crisp.evaluate.options import ScoreOptions
from crisp.evaluate.predictions import read_predictions
from crisp.evaluate.score import score
from crisp.shape.mesh import write_ply
from crisp.types import Mesh

POSES = [
    (Rotation.from_rotvec([0.3, -0.5, 0.7]), [0.1, 0.0, 0.8]),
    (Rotation.from_rotvec([-0.2, 0.4, 1.0]), [-0.1, 0.05, 0.7]),
    (Rotation.from_rotvec([1.0, 0.0, 0.5]), [0.0, 0.0, 0.9]),
]


def _mesh(solid):
    return Mesh(np.asarray(solid.vertices, dtype=np.float64), np.asarray(solid.faces, dtype=np.int64))


BOX = _mesh(trimesh.creation.box((0.1, 0.06, 0.04)))
CAN = _mesh(trimesh.creation.cylinder(radius=0.03, height=0.1, sections=64))
FRAMES = {"000001/000000": [1, 2], "000001/000004": [1]}


def _T(rotation, t):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation.as_matrix(), t
    return T


TRUTH = [_T(*pose) for pose in POSES]


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "tabletop"
    scene = root / "test" / "000001"
    scene.mkdir(parents=True)
    (root / "models").mkdir()
    for object_id, mesh in ((1, BOX), (2, CAN)):
        write_ply(Mesh(mesh.vertices * 1000, mesh.faces), root / "models" / f"obj_{object_id:06d}.ply")
    info = {"1": {"diameter": 123.0, "kind": "box", "name": "box_red"}}
    axis = [{"axis": [0, 0, 1], "offset": [0, 0, 0]}]
    info["2"] = {"diameter": 116.6, "kind": "can", "name": "can_blue", "symmetries_continuous": axis}
    (root / "models" / "models_info.json").write_text(json.dumps(info))

    def label(object_id, T):
        t_mm = (T[:3, 3] * 1000).tolist()
        return {"obj_id": object_id, "cam_R_m2c": T[:3, :3].ravel().tolist(), "cam_t_m2c": t_mm}

    labels = {"0": [label(1, TRUTH[0]), label(2, TRUTH[1])], "4": [label(1, TRUTH[2])]}
    visible = {"0": [{"visib_fract": 0.05}, {"visib_fract": 0.9}], "4": [{"visib_fract": 1.0}]}
    camera = {"cam_K": [500, 0, 320, 0, 500, 240, 0, 0, 1], "depth_scale": 0.1}
    (scene / "scene_gt.json").write_text(json.dumps(labels))
    (scene / "scene_gt_info.json").write_text(json.dumps(visible))
    (scene / "scene_camera.json").write_text(json.dumps({"0": camera, "4": camera}))
    return root


def _object(detection, T, mesh):
    return {
        "detection": detection,
        "status": "ok",
        "message": "",
        "label": None,
        "T_camera_object": T.tolist(),
        "mesh": mesh,
        "certificate": {"certified": True},
        "inlier_share": 0.5,
        "timing_ms": {"network": 200.0, "register": 50.0},
    }


def _failed(detection):
    return {"detection": detection, "status": "mask_empty", "message": "the mask is empty."}


def _predictions(tmp_path, frames, settings=None):
    folder = tmp_path / "run"
    write_ply(BOX, folder / "meshes" / "box.ply")
    write_ply(CAN, folder / "meshes" / "can.ply")
    content = {
        "crisp_version": "0",
        "model": {"name": "small", "sha256": "0"},
        "settings": settings or {},
        "frames": [{"frame_id": name, "objects": objects} for name, objects in frames.items()],
    }
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def _perfect(tmp_path, **kwargs):
    box, can = "meshes/box.ply", "meshes/can.ply"
    first = [_object(0, TRUTH[0], box), _object(1, TRUTH[1], can)]
    frames = {"000001/000000": first, "000001/000004": [_object(0, TRUTH[2], box)]}
    return _predictions(tmp_path, frames, **kwargs)


def _figures(summary):
    return {figure.name: figure.value for figure in summary.figures}


def test_the_truth_scores_perfectly_and_reaches_the_floor(tmp_path, dataset):
    scores = score(ScoreOptions(_perfect(tmp_path), dataset, "test"))
    assert [row.status for row in scores.objects] == ["ok"] * 3
    for row, mesh in zip(scores.objects, (BOX, CAN, BOX), strict=True):
        # The labels go through millimetres and to the nearest rotation, which rounds the last digit.
        pose, shape = row.errors["add-s"], row.errors["chamfer-mm"]
        assert pose.add_s_m < 1e-15
        assert pose.rotation_deg < 1e-6
        # PLY holds float32, and so vertices of 5 cm are 2 nm off.
        assert shape.floor_m == pytest.approx(sampling_floor(mesh).chamfer_m, rel=1e-4)
        assert shape.chamfer_m == pytest.approx(shape.floor_m, rel=1e-4)
    figures = _figures(scores.summary())
    assert figures["ADD-S AUC 1 cm"] == pytest.approx(1)
    assert figures["chamfer median mm"] == pytest.approx(figures["sampling floor mm"], rel=0.2)


def test_failed_and_missing_objects_have_infinite_errors(tmp_path, dataset):
    # One of three is right; one failed, one frame is missing.
    folder = _predictions(tmp_path, {"000001/000000": [_failed(0), _object(1, TRUTH[1], "meshes/can.ply")]})
    scores = score(ScoreOptions(folder, dataset, "test"))
    assert [row.status for row in scores.objects] == ["mask_empty", "ok", "missing"]
    assert scores.objects[0].errors["add-s"] == PoseError(np.inf, np.inf, np.inf)
    assert _figures(scores.summary())["ADD-S AUC 2 cm"] == pytest.approx(1 / 3)
    assert scores.summary().failed == 2
    assert _figures(scores.summary("can"))["ADD-S AUC 2 cm"] == pytest.approx(1)
    assert _figures(scores.summary("box"))["rotation median deg"] == np.inf
    entry = json.loads((folder / "scores.json").read_text())["objects"][0]
    assert (entry["status"], entry["add_s_m"], entry["f_score_0"]) == ("mask_empty", None, 0.0)
    # Asked for the predicted frames alone, the third is no loss; that stands in the settings.
    part = score(ScoreOptions(folder, dataset, "test", predicted_frames_only=True, out=tmp_path / "part"))
    assert _figures(part.summary())["ADD-S AUC 2 cm"] == pytest.approx(1 / 2)
    assert part.settings["predicted_frames_only"] is True


def test_known_errors_are_measured(tmp_path, dataset):
    # The box 3 mm too far along its own x; the can turned about its axis, which is free, and too large.
    shift, turn = np.eye(4), _T(Rotation.from_rotvec([0, 0, 1.3]), [0, 0, 0])
    shift[0, 3] = 0.003
    first = [_object(0, TRUTH[0] @ shift, "meshes/box.ply"), _object(1, TRUTH[1] @ turn, "meshes/large.ply")]
    folder = _predictions(tmp_path, {"000001/000000": first, "000001/000004": [_failed(0)]})
    write_ply(Mesh(CAN.vertices * [1.2, 1.2, 1.0], CAN.faces), folder / "meshes" / "large.ply")
    box, can, _ = score(ScoreOptions(folder, dataset, "test")).objects
    assert box.errors["add-s"].translation_m == pytest.approx(0.003)
    assert box.errors["add-s"].rotation_deg < 1e-6
    # Sides along x slide on themselves: between the spacing's share and the whole 3 mm.
    assert 0.0005 < box.errors["add-s"].add_s_m < 0.003
    assert can.errors["add-s"].rotation_deg < 1e-6
    # Turned samples are no longer the same: 5000 on 0.0245 m^2 are 0.5 sqrt(0.0245 / 5000) = 1.1 mm apart.
    assert can.errors["add-s"].add_s_m == pytest.approx(0.0011, rel=0.05)
    # 6 mm more radius, but the ends (a quarter of the surface) stay in their planes: a few mm.
    assert 0.003 < can.errors["chamfer-mm"].chamfer_m < 0.006
    assert can.errors["chamfer-mm"].f_scores[0] < 0.5


def test_detections_count_only_labels_whose_mask_was_given(tmp_path, dataset):
    # With at least 0.1 visible, the first frame's first mask was never given: detection 0 is the can.
    frames = {
        "000001/000000": [_object(0, TRUTH[1], "meshes/can.ply")],
        "000001/000004": [_object(0, TRUTH[2], "meshes/box.ply")],
    }
    folder = _predictions(tmp_path, frames, settings={"min_visib_fract": 0.1})
    scores = score(ScoreOptions(folder, dataset, "test"))
    assert [row.name for row in scores.objects] == ["can_blue", "box_red"]
    assert max(row.errors["add-s"].add_s_m for row in scores.objects) < 1e-15


def test_one_protocol_alone(tmp_path, dataset):
    scores = score(ScoreOptions(_perfect(tmp_path), dataset, "test", protocols=("add-s",)))
    assert list(scores.objects[0].errors) == ["add-s"]
    assert not any("chamfer" in name for name in _figures(scores.summary()))
    with pytest.raises(InputError, match="protocols"):
        score(ScoreOptions(_perfect(tmp_path), dataset, "test", protocols=()))


def test_files(tmp_path, dataset):
    folder = _perfect(tmp_path)
    score(ScoreOptions(folder, dataset, "test"))
    content = json.loads((folder / "scores.json").read_text())
    assert content["settings"]["protocol_settings"]["add-s"]["points"] == 5000
    assert content["summaries"][0]["figures"]["ADD-S AUC 2 cm"]["interval"] == pytest.approx([1, 1])
    assert "sampling floor mm" in (folder / "scores.md").read_text()
    with (folder / "scores.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["box_red", "can_blue", "box_red"]
    with (folder / "crisp_tabletop-test.csv").open() as file:
        second = list(csv.DictReader(file))[1]
    assert (second["scene_id"], second["im_id"], second["obj_id"], second["score"]) == ("1", "0", "2", "0.5")
    np.testing.assert_allclose(np.fromstring(second["t"], sep=" "), [-100, 50, 700])
    np.testing.assert_allclose(np.fromstring(second["R"], sep=" "), TRUTH[1][:3, :3].ravel())
    # Two objects of 250 ms in the frame.
    assert second["time"] == "0.5"
    assert not list(folder.glob(".*"))


def test_scores_with_other_settings_are_refused_and_kept(tmp_path, dataset):
    folder = _perfect(tmp_path)
    score(ScoreOptions(folder, dataset, "test"))
    before = (folder / "scores.json").read_bytes()
    score(ScoreOptions(folder, dataset, "test"))
    with pytest.raises(InputError, match="protocols"):
        score(ScoreOptions(folder, dataset, "test", protocols=("add-s",)))
    assert (folder / "scores.json").read_bytes() == before


@pytest.mark.parametrize("frames", [{"000009/000000": []}, {"000001/000004": [_failed(1)]}])
def test_predictions_of_another_set_are_refused(tmp_path, dataset, frames):
    with pytest.raises(InputError, match="belong to"):
        score(ScoreOptions(_predictions(tmp_path, frames), dataset, "test"))


@pytest.mark.parametrize(
    "objects",
    [
        [_failed(0), _failed(0)],
        [{"detection": 0}],
        [_failed(0) | {"status": "ok"}],
        [_object(0, np.diag([1.0, 1, -1, 1]), None)],
        [_object(0, np.eye(3), None)],
    ],
    ids=["twice", "no status", "ok without pose", "reflection", "3x3"],
)
def test_malformed_results_are_refused(tmp_path, objects):
    with pytest.raises(InputError):
        read_predictions(_predictions(tmp_path, {"000001/000000": objects}))


def test_a_missing_results_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"results\.json"):
        read_predictions(tmp_path)
