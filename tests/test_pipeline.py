"""One result per detection, in order, never fewer: whatever fails, and in whichever stage."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from fake_stages import FRAME, TRIANGLE, FakeStages, detections

from crisp.crop import CropConfig
from crisp.errors import InputError, ObjectFailure
from crisp.geometry.align import RegistrationConfig
from crisp.model import Model
from crisp.objects import Objects
from crisp.pipeline import estimate, process
from crisp.refine.corrector import Corrector
from crisp.refine.free_space import SceneEvidence
from crisp.refine.pose_step import Se3Step
from crisp.refine.problem import Observation, ShapeBasis, State
from crisp.shape.mesh import MeshConfig
from crisp.shape.sdf import AnalyticSphere, SignedDistance
from crisp.stages import cut_all, reconstruct, register_all
from crisp.types import Detection, Prediction


def test_all_well() -> None:
    results = estimate(FRAME, detections(3), FakeStages().stages)
    assert [r.status for r in results] == ["ok"] * 3
    for n, result in enumerate(results):
        assert result.T_camera_object is not None and result.shape_code is not None
        assert result.T_camera_object[2, 3] == n == result.shape_code[0]
        assert result.box_px == (n, 0, n + 1, 1)
        assert result.label == f"object {n}"
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

    def forgetful(objects: Objects) -> Objects:
        return objects.with_estimates(fake.register(objects).estimates[1:])

    with pytest.raises(ValueError, match="zip"):
        estimate(FRAME, detections(3), replace(fake.stages, register=forgetful))


def test_a_failed_object_keeps_its_slot_and_what_was_known_of_it() -> None:
    unread = ObjectFailure("mask_unreadable", "m.png is damaged.")
    fake = FakeStages(register={2})
    objects = process(FRAME, [*detections(4)[:3], unread, detections(5)[4]], fake.stages)
    assert [item.slot for item in objects.all] == [0, 1, 2, 3, 4]
    assert objects.slots == [0, 1, 4] == [int(row) for row in objects.predicted.shape_code[:, 0]]
    lost = objects.all[2]
    assert lost.failure is not None and lost.failure.status == "registration_failed"
    assert lost.crop is not None and lost.pnc is not None and lost.estimate is None
    assert objects.all[3].failure is unread and objects.all[3].detection is None
    assert [item.certified for item in objects.all] == [True, False, False, False, True]


def test_what_no_stage_has_found_cannot_be_asked_for() -> None:
    objects = Objects.of(FRAME, detections(2))
    for ask in ("crops", "estimates", "predicted"):
        with pytest.raises(ValueError):
            getattr(objects, ask)
    with pytest.raises(ValueError):
        replace(objects, all=objects.all[::-1])


def test_the_real_stages_keep_count_too() -> None:
    square = np.zeros((72, 96), bool)
    square[20:40, 20:40] = True
    masks = [square, np.zeros((72, 96), bool), np.ones((4, 4), bool), square]
    unread = ObjectFailure("mask_unreadable", "m.png is damaged.")
    found = cut_all(Objects.of(FRAME, [*map(Detection, masks), unread]), CropConfig(28, 16))
    statuses = ["ok", "mask_empty", "mask_size", "ok", "mask_unreadable"]
    assert [r.status for r in found.results()] == statuses
    # The first object's coordinates are its points; the second's lie on one spot, where no turn is known.
    first, second = (crop.points_camera for crop in found.crops)
    found = found.with_prediction(
        Prediction(torch.stack([first, torch.zeros_like(second)]), torch.full((2, 1), 0.05))
    )
    found = register_all(found, RegistrationConfig())
    assert found.slots == [0]
    lost = found.all[3].failure
    assert lost is not None and lost.status == "registration_failed"
    (posed,) = found.estimates
    assert torch.allclose(posed.T_camera_object, torch.eye(4, dtype=torch.float64), atol=1e-5)
    assert posed.inlier_share == 1.0
    field, config = AnalyticSphere(0.1), MeshConfig(resolution=32)
    assert reconstruct(found, field, config).results()[0].mesh is not None
    nothing = found.with_estimates([replace(posed, shape_code=torch.tensor([-1.0]))])  # of radius -1
    assert reconstruct(nothing, field, config).results()[0].status == "no_surface"
    assert reconstruct(Objects.of(FRAME, []), field, config).results() == []


def test_the_flat_model_finds_flat_squares(flat_model: Model) -> None:
    """The whole way with a network whose answer is known: 20 px at 0.6 m and f = 120 px are 0.1 m."""
    masks = np.zeros((2, 72, 96), bool)
    masks[0, 10:30, 12:32] = True
    masks[1, 40:60, 60:80] = True
    # The corrector would take the square's points for a piece of the sphere.
    model = replace(flat_model, corrector=None)
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


@pytest.mark.parametrize("correct", ["default", "ycbv-lsq"])
def test_whoever_calls_in_inference_mode_gets_the_same(flat_model: Model, correct: str) -> None:
    """The corrector needs gradients, and what a model keeps of its first call it needs for all others."""
    mask = np.zeros((72, 96), bool)
    mask[10:30, 12:32] = True
    model = flat_model.with_correction(correct)
    with torch.inference_mode():
        (inside,) = model.estimate(FRAME, [mask])
        assert torch.is_inference_mode_enabled()
    (outside,) = model.estimate(FRAME, [mask])
    assert inside.correction is not None and outside.T_camera_object is not None
    np.testing.assert_array_equal(inside.T_camera_object, outside.T_camera_object)


@dataclass
class Watching:
    """A start that changes nothing and keeps what it was told."""

    told: list[SceneEvidence | None] = field(default_factory=list)

    def __call__(
        self,
        field: SignedDistance,
        observation: Observation,
        start: State,
        *,
        basis: ShapeBasis,
        scene: SceneEvidence | None = None,
    ) -> State:
        self.told.append(scene)
        return start


def test_a_search_is_told_what_the_camera_saw_around_the_objects(flat_model: Model) -> None:
    search = Watching()
    mask = np.zeros((72, 96), bool)
    mask[10:30, 12:32] = True
    replace(flat_model, corrector=Corrector(Se3Step(), search=search)).estimate(FRAME, [mask])
    (scene,) = search.told
    assert scene is not None and np.array_equal(scene.masks[0], mask)
    assert scene.depth.camera is FRAME.camera
    np.testing.assert_array_equal(scene.depth.depth_m, FRAME.depth_m)
    assert scene.surfaces is not None and len(scene.surfaces.valid) == len(flat_model.info.library)


@pytest.mark.parametrize("corrected", [True, False])
def test_a_frame_in_which_no_object_has_a_pose(flat_model: Model, corrected: bool) -> None:
    """Predicted points 0.1 m apart, measured ones 10 m: after the registration there is nothing to do."""
    far = replace(FRAME, depth_m=np.full((72, 96), 45.0, np.float32))
    mask = np.zeros((72, 96), bool)
    mask[4:68, 4:92] = True
    model = flat_model if corrected else replace(flat_model, corrector=None, certificate=None)
    results = model.estimate(far, [mask, mask])
    assert [r.status for r in results] == ["registration_failed"] * 2
    assert all(r.box_px == (4, 4, 92, 68) and r.T_camera_object is None and r.mesh is None for r in results)
