"""One result per detection, in order, never fewer: whatever fails, and in whichever stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crisp
from crisp.crop import CropConfig
from crisp.errors import InputError, ObjectFailure, Status
from crisp.geometry.align import RegistrationConfig
from crisp.geometry.camera import Camera
from crisp.model import Model, load_model
from crisp.pipeline import Stages, estimate
from crisp.results import FrameResults, ResultsWriter, Truth
from crisp.shape.field import AnalyticSphere
from crisp.shape.mesh import MeshConfig
from crisp.shape.mesh_io import read_ply
from crisp.stages import cut_all, reconstruct, register_all
from crisp.types import (
    Certificate,
    CorrectionSummary,
    Crop,
    Detection,
    Estimate,
    Frame,
    Mesh,
    Prediction,
    Result,
)

CAMERA = Camera(np.array([[120.0, 0, 48], [0, 120.0, 36], [0, 0, 1]]), 96, 72)
FRAME = Frame(np.zeros((72, 96, 3), np.uint8), np.full((72, 96), 0.6, np.float32), CAMERA, "000001/000003")
TRIANGLE = Mesh(np.array([[0.0, 0, 0], [0.1, 0, 0], [0, 0.2, 0]]), np.array([[0, 1, 2]]))
G = 4


def detections(count: int) -> list[Detection]:
    """Object i has its mark at column i, so that stages can tell them apart."""
    masks = np.zeros((count, 72, 96), bool)
    for i in range(count):
        masks[i, 0, i] = True
    return [Detection(mask) for mask in masks]


class FakeStages:
    """Stages that pass an object's number on, and fail where they are told to."""

    def __init__(self, **failing: set[int]) -> None:
        self.failing = failing
        self.met: dict[str, list[int]] = {}

    def _meets(self, stage: str, numbers: list[int], status: Status, outputs: list[Any]) -> list[Any]:
        self.met[stage] = numbers
        failing = self.failing.get(stage, set())
        return [
            ObjectFailure(status, f"{stage} failed for {n}.") if n in failing else output
            for n, output in zip(numbers, outputs, strict=True)
        ]

    def cut(self, frame: Frame, found: Sequence[Detection | ObjectFailure]) -> list[Crop | ObjectFailure]:
        numbers = [int(np.flatnonzero(d.mask[0])[0]) for d in found if isinstance(d, Detection)]
        grid = torch.ones(G, G, dtype=torch.bool)
        crops = [
            Crop(torch.zeros(3, 14, 14), torch.full((G, G, 3), float(n)), grid, (n, 0, n + 1, 1))
            for n in numbers
        ]
        return self._meets("cut", numbers, "mask_empty", crops)

    def predict(self, crops: Sequence[Crop]) -> Prediction:
        pnc = torch.stack([crop.points_camera for crop in crops])
        self.met["predict"] = [int(p[0, 0, 0]) for p in pnc]
        return Prediction(pnc, pnc[:, 0, 0, :1])

    def register(self, prediction: Prediction, crops: Sequence[Crop]) -> list[Estimate | ObjectFailure]:
        numbers = [int(code) for code in prediction.shape_code[:, 0]]
        poses = [torch.eye(4, dtype=torch.float64) for _ in numbers]
        for pose, n in zip(poses, numbers, strict=True):
            pose[2, 3] = n
        estimates = [Estimate(T, prediction.shape_code[i], 0.5) for i, T in enumerate(poses)]
        return self._meets("register", numbers, "registration_failed", estimates)

    def correct(
        self, estimates: Sequence[Estimate], prediction: Prediction, crops: Sequence[Crop]
    ) -> list[Estimate]:
        """Moves every object by its number along x; all three lists must speak of the same objects."""
        numbers = [int(e.shape_code[0]) for e in estimates]
        assert numbers == [int(p[0, 0, 0]) for p in prediction.pnc]
        assert numbers == [int(crop.points_camera[0, 0, 0]) for crop in crops]
        self.met["correct"] = numbers
        moved = []
        for item, n in zip(estimates, numbers, strict=True):
            T = item.T_camera_object.clone()
            T[0, 3] = n
            said = CorrectionSummary(
                "converged", "done.", 1, 0.02, 0.001, T.numpy(), item.shape_code.numpy(), 0.1, float("inf")
            )
            moved.append(replace(item, T_camera_object=T, correction=said))
        return moved

    def certify(
        self, estimates: Sequence[Estimate], frame: Frame, found: Sequence[Detection]
    ) -> list[Certificate | None]:
        """Trusts objects with even numbers."""
        numbers = [int(np.flatnonzero(d.mask[0])[0]) for d in found]
        assert numbers == [int(e.T_camera_object[0, 3]) for e in estimates]
        return [
            Certificate(n % 2 == 0, 0.001, 0.01, 0.98, 10, 1.0, reasons=() if n % 2 == 0 else ("it is odd.",))
            for n in numbers
        ]

    def reconstruct(self, estimates: Sequence[Estimate]) -> list[Mesh | ObjectFailure]:
        numbers = [int(e.shape_code[0]) for e in estimates]
        return self._meets("reconstruct", numbers, "no_surface", [TRIANGLE] * len(numbers))

    @property
    def stages(self) -> Stages:
        return Stages(self.cut, self.predict, self.register, self.correct, self.certify, self.reconstruct)


def test_all_well() -> None:
    results = estimate(FRAME, detections(3), FakeStages().stages)
    assert [r.status for r in results] == ["ok"] * 3
    for n, result in enumerate(results):
        assert result.T_camera_object is not None and result.shape_code is not None
        assert result.T_camera_object[2, 3] == n == result.shape_code[0]
        assert result.box_px == (n, 0, n + 1, 1)
        assert result.mesh is TRIANGLE and result.inlier_share == 0.5
        assert result.diameter_m == pytest.approx(0.05**0.5)
        assert result.pnc is not None and result.pnc[0, 0, 0] == n
        assert result.T_camera_object[0, 3] == n and result.correction is not None
        assert result.certificate is not None and result.certificate.certified == (n % 2 == 0)
        assert set(result.timing_ms) == {"crop", "network", "register", "correct", "certify", "mesh"}


def test_failures_stay_with_their_object_in_every_stage() -> None:
    fake = FakeStages(cut={1, 4}, register={0, 3}, reconstruct={6})
    results = estimate(FRAME, detections(8), fake.stages)
    found = [r.status for r in results]
    assert found == [
        "registration_failed",
        "mask_empty",
        "ok",
        "registration_failed",
        "mask_empty",
        "ok",
        "no_surface",
        "ok",
    ]
    assert fake.met["predict"] == [0, 2, 3, 5, 6, 7]
    assert fake.met["correct"] == fake.met["reconstruct"] == [2, 5, 6, 7]
    for n, result in enumerate(results):
        assert (result.message == "") == (result.status == "ok")
        assert result.status == "ok" or result.message.endswith(f"failed for {n}.")
        assert (result.box_px is None) == (result.status == "mask_empty")
        posed = result.status in ("ok", "no_surface")
        assert (result.T_camera_object is not None) == posed and (result.mesh is not None) == (
            result.status == "ok"
        )
        if posed:
            assert result.T_camera_object is not None and result.T_camera_object[2, 3] == n


@pytest.mark.parametrize(
    ("stage", "status"),
    [("cut", "mask_empty"), ("register", "registration_failed"), ("reconstruct", "no_surface")],
)
def test_all_may_fail(stage: str, status: str) -> None:
    results = estimate(FRAME, detections(3), FakeStages(**{stage: {0, 1, 2}}).stages)
    assert [r.status for r in results] == [status] * 3


def test_nothing_to_find() -> None:
    fake = FakeStages()
    assert estimate(FRAME, [], fake.stages) == []
    assert "predict" not in fake.met


def test_a_stage_that_forgets_an_object_is_an_error() -> None:
    fake = FakeStages()
    forgetful = replace(fake.stages, register=lambda prediction, crops: fake.register(prediction, crops)[1:])
    with pytest.raises(ValueError, match="zip"):
        estimate(FRAME, detections(3), forgetful)


def test_the_real_stages_keep_count_too() -> None:
    square = np.zeros((72, 96), bool)
    square[20:40, 20:40] = True
    masks = [square, np.zeros((72, 96), bool), np.ones((4, 4), bool), square]
    unread = ObjectFailure("mask_unreadable", "m.png is damaged.")
    found = cut_all(FRAME, [*map(Detection, masks), unread], CropConfig(28, 16))
    assert [f.status if isinstance(f, ObjectFailure) else "ok" for f in found] == [
        "ok",
        "mask_empty",
        "mask_size",
        "ok",
        "mask_unreadable",
    ]
    crops = [f for f in found if isinstance(f, Crop)]
    # The first object's coordinates are its points; the second's lie on one spot, where no turn is known.
    pnc = torch.stack([crops[0].points_camera, torch.zeros_like(crops[1].points_camera)])
    poses = register_all(Prediction(pnc, torch.full((2, 1), 0.05)), crops, RegistrationConfig())
    assert isinstance(poses[0], Estimate) and isinstance(poses[1], ObjectFailure)
    assert torch.allclose(poses[0].T_camera_object, torch.eye(4, dtype=torch.float64), atol=1e-5)
    assert poses[0].inlier_share == 1.0 and poses[1].status == "registration_failed"
    nothing = replace(poses[0], shape_code=torch.tensor([-1.0]))  # a sphere of radius -1
    meshes = reconstruct(AnalyticSphere(0.1), [poses[0], nothing], MeshConfig(resolution=32))
    assert isinstance(meshes[0], Mesh) and isinstance(meshes[1], ObjectFailure)
    assert reconstruct(AnalyticSphere(0.1), [], MeshConfig()) == []


@pytest.fixture(scope="module")
def model(flat_checkpoint: Path) -> Model:
    return load_model(flat_checkpoint, device="cpu")


def results_of(fake: FakeStages, count: int = 3) -> list[Result]:
    return estimate(FRAME, detections(count), fake.stages)


def test_results_file_has_the_documented_form(model: Model, tmp_path: Path) -> None:
    writer = ResultsWriter(tmp_path, model, {"masks": ["a.png"]})
    results = results_of(FakeStages(cut={1}))
    errors = (Truth(0.003, 2.0, 0.002, 0.001), None, None)
    writer.add(FrameResults(FRAME.frame_id, CAMERA, results, errors))
    content = json.loads(writer.write().read_text())
    assert set(content) == {"crisp_version", "model", "settings", "frames"}
    assert content["crisp_version"] == crisp.__version__
    assert content["model"] == {"name": model.name, "sha256": model.sha256}
    assert content["settings"]["masks"] == ["a.png"]
    (frame,) = content["frames"]
    assert frame["frame_id"] == "000001/000003"
    assert frame["camera"] == {"K": [120, 0, 48, 0, 120, 36, 0, 0, 1], "width": 96, "height": 72}
    good, bad, _ = frame["objects"]
    assert [o["detection"] for o in frame["objects"]] == [0, 1, 2]
    assert set(bad) == {
        "detection",
        "status",
        "message",
        "label",
        "T_camera_object",
        "diameter_m",
        "inlier_share",
        "box_px",
        "mesh",
        "correction",
        "certificate",
        "timing_ms",
    }
    assert set(good) == set(bad) | {"errors"}
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
    assert bad["status"] == "mask_empty" and bad["message"] and bad["mesh"] is bad["T_camera_object"] is None


def frames_in(folder: Path) -> list[str]:
    return [frame["frame_id"] for frame in json.loads((folder / "results.json").read_text())["frames"]]


def test_results_are_resumed_frame_by_frame(model: Model, tmp_path: Path) -> None:
    first = ResultsWriter(tmp_path, model, {"split": "test"}, resume=True)
    assert first.frame_ids == set()
    first.add(FrameResults("000001/000002", CAMERA, results_of(FakeStages())))
    first.add_failure("000001/000001", "rgb.png is damaged.")
    first.write()
    assert frames_in(tmp_path) == ["000001/000001", "000001/000002"]

    again = ResultsWriter(tmp_path, model, {"split": "test"}, resume=True)
    assert again.frame_ids == {"000001/000002"}  # what could not be read is tried again
    again.add(FrameResults("000001/000001", CAMERA, []))
    again.write()
    assert frames_in(tmp_path) == ["000001/000001", "000001/000002"]

    fresh = ResultsWriter(tmp_path, model, {"split": "test"})
    fresh.write()
    assert frames_in(tmp_path) == []


@pytest.mark.parametrize("change", ["settings", "model", "meshing"])
def test_other_results_are_not_added_to(model: Model, tmp_path: Path, change: str) -> None:
    ResultsWriter(tmp_path, model, {"split": "test"}).write()
    other = {
        "settings": model,
        "model": replace(model, sha256="00" * 32),
        "meshing": replace(model, meshing=MeshConfig(resolution=64)),
    }[change]
    with pytest.raises(InputError, match="another model or other settings"):
        ResultsWriter(tmp_path, other, {"split": "train" if change == "settings" else "test"}, resume=True)


def test_a_file_that_holds_no_results_is_refused(model: Model, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(InputError, match=r"results\.json is not JSON"):
        ResultsWriter(tmp_path, model, {}, resume=True)


def test_the_flat_model_finds_flat_squares(model: Model) -> None:
    """The whole way with a network whose answer is known: 20 px at 0.6 m and f = 120 px are 0.1 m."""
    masks = np.zeros((2, 72, 96), bool)
    masks[0, 10:30, 12:32] = True
    masks[1, 40:60, 60:80] = True
    model = replace(model, corrector=None)  # which would take the square's points for a piece of the sphere
    results = model.estimate(FRAME, [masks[0], masks[1].astype(np.uint8), np.zeros((72, 96), bool)])
    assert [r.status for r in results] == ["ok", "ok", "mask_empty"]
    for result, centre in zip(results, ((21.5, 19.5), (69.5, 49.5)), strict=False):
        T = np.eye(4)
        T[:3, 3] = [0.6 * (centre[0] - 48) / 120, 0.6 * (centre[1] - 36) / 120, 0.6]
        # Grid points take the nearest pixel: off by up to 2.5 mm each, which averages out.
        assert result.T_camera_object is not None
        assert np.allclose(result.T_camera_object, T, atol=3e-3)
        assert result.inlier_share == 1.0
        assert result.diameter_m == pytest.approx(0.06, abs=0.002)
    with pytest.raises(InputError, match=r"\(H, W\) array"):
        model.estimate(FRAME, [np.zeros((72, 96, 3), bool)])
