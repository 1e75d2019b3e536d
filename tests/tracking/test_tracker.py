"""A tracker's frames: who is matched with whom, what feeds a track, and what a pooled track makes of a shape.

Boxes before a wall, seen exactly; the network is a pretender whose answers are worked out by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from crisp.certify.certificate import CertificateConfig
from crisp.crop import CropConfig
from crisp.errors import InputError, ObjectFailure
from crisp.geometry.camera import Camera
from crisp.model import Model
from crisp.objects import Objects
from crisp.pipeline import Stages
from crisp.refine.active_shape import ActiveShapes
from crisp.refine.corrector import Corrector
from crisp.refine.pose_step import Se3Step
from crisp.refine.problem import PooledPoints, ShapeBasis, Squares
from crisp.refine.shape_step import ActiveShape
from crisp.shape.mesh import MeshConfig
from crisp.shape.raster import Posed, rasterise, smooth
from crisp.shape.sdf import AnalyticBox
from crisp.stages import PoolOf, StageSettings, certify_all, correct_all, cut_all, reconstruct
from crisp.tracking.tracker import Tracker, TrackingConfig
from crisp.types import Estimate, Frame, Mesh, Prediction, Result

CAMERA = Camera(np.array([[140.0, 0, 63.5], [0, 140.0, 47.5], [0, 0, 1]]), width=128, height=96)
FIELD = AnalyticBox(cube_half_m=0.12)
# Of a box of this width and height nobody can tell from the front how deep it is.
SHALLOW, DEEP = torch.tensor([0.04, 0.03, 0.035]), torch.tensor([0.04, 0.03, 0.05])
SETTINGS = StageSettings(
    crop=CropConfig(image_px=14, pnc_px=32),
    corrector=Corrector(Se3Step(iterations=5), ActiveShape(), rounds=30, kernel=Squares()),
    certificate=CertificateConfig(eps_m=0.004, quantile=0.95),
    meshing=MeshConfig(resolution=32),
)
WORLD = np.eye(4)
FRONT, SIDE = np.eye(3), Rotation.from_euler("xyz", (20, 55, 0), degrees=True).as_matrix()
HERE, THERE = (-0.07, 0.0, 0.5), (0.08, 0.0, 0.5)


def placed(R: np.ndarray, t: tuple[float, float, float]) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, t
    return T


def seen(*poses: np.ndarray, half_m: torch.Tensor = DEEP) -> tuple[Frame, list[np.ndarray]]:
    """A frame of boxes, front faces towards the camera where the pose does not turn them, and their masks."""
    solid = trimesh.creation.box(2 * half_m.numpy())
    mesh = smooth(Mesh(np.array(solid.vertices), np.array(solid.faces)))
    found = rasterise([Posed(mesh, T) for T in poses], CAMERA)
    depth_m = np.where(np.isfinite(found.depth_m), found.depth_m, 0.9).astype(np.float32)
    frame = Frame(np.zeros((96, 128, 3), np.uint8), depth_m, CAMERA)
    return frame, [found.owner == i for i in range(len(poses))]


@dataclass
class Pretender:
    """Registers the objects of a frame at poses that it is told, and takes all of them for shallow boxes."""

    poses: Sequence[np.ndarray] = ()
    weights: str = "a"
    pools: list[list[int]] = field(default_factory=list)  # points of each object's pool, frame by frame

    def tracker(self, config: TrackingConfig | None = None) -> Tracker:
        stages = Stages(
            cut=lambda objects: cut_all(objects, SETTINGS.crop),
            predict=self.predict,
            register=self.register,
            correct=lambda objects: pytest.fail("the plain corrector is not asked"),
            certify=lambda objects: certify_all(objects, FIELD, SETTINGS.certificate),
            reconstruct=lambda objects: reconstruct(objects, FIELD, SETTINGS.meshing),
        )
        return Tracker(stages, self.correct, decoder=FIELD, weights=lambda: self.weights, config=config)

    def predict(self, objects: Objects) -> Objects:
        count = len(objects.alive)
        return objects.with_prediction(Prediction(torch.zeros(count, 32, 32, 3), SHALLOW.repeat(count, 1)))

    def register(self, objects: Objects) -> Objects:
        # Poses come in the order of the masks, less those that failed.
        poses = self.poses[: len(objects.alive)]
        return objects.with_estimates([Estimate(torch.from_numpy(T), SHALLOW, 1.0) for T in poses])

    def correct(self, objects: Objects, pool_of: PoolOf) -> Objects:
        def counted(registered: Objects, basis: ShapeBasis) -> PooledPoints | None:
            pool = pool_of(registered, basis)
            counts = [0] * len(registered.alive) if pool is None else pool.valid.sum(-1).tolist()
            self.pools.append(counts)
            return pool

        shapes = ActiveShapes.of(FIELD, torch.stack([SHALLOW, DEEP]))
        return correct_all(objects, FIELD, shapes=shapes, settings=SETTINGS, pool_of=counted)

    def run(self, tracker: Tracker, *poses: np.ndarray, T_world_camera=WORLD, **how) -> list[Result]:
        """One frame of boxes at these poses in the camera, registered 3 mm off."""
        frame, masks = seen(*poses)
        self.poses = [placed(np.eye(3), (0.003, 0, 0)) @ T for T in poses]
        if "tracks" not in how:
            how["T_world_camera"] = T_world_camera
        return tracker.estimate(frame, masks, **how)


def shape(result: Result) -> torch.Tensor:
    assert result.status == "ok"
    return torch.as_tensor(result.shape_code)


def test_a_face_that_leaves_the_depth_open_takes_it_from_an_earlier_view() -> None:
    """Remark 3: by itself the second view keeps the network's shape, with the track it gets the true one."""
    front = placed(FRONT, (0.0, 0.0, 0.5))
    alone = Pretender()
    (guess,) = alone.run(alone.tracker(), front)
    assert guess.track == "track-0" and alone.pools == [[0]]
    assert abs(float(shape(guess)[2] - SHALLOW[2])) < 0.002  # nothing says otherwise

    pretender = Pretender()
    tracker = pretender.tracker()
    turned = placed(SIDE, (0.0, 0.0, 0.5))
    (first,) = pretender.run(tracker, turned)
    assert first.certificate is not None and first.certificate.certified
    # The camera moves, the object does not: T_world_camera @ T_camera_object stays what it was.
    (second,) = pretender.run(tracker, front, T_world_camera=turned @ np.linalg.inv(front))
    assert first.track == second.track == "track-0"
    assert pretender.pools[0] == [0] and pretender.pools[1][0] > 100
    torch.testing.assert_close(shape(second), DEEP, atol=0.002, rtol=0)
    assert float(shape(second)[2]) > float(shape(guess)[2]) + 0.01
    # And the face is where it was measured: a deeper box has its centre farther back.
    assert second.T_camera_object[2, 3] - second.shape_code[2] == pytest.approx(0.5 - 0.05, abs=0.001)


def test_two_objects_keep_their_tracks_whatever_the_order_of_the_masks() -> None:
    pretender = Pretender()
    tracker = pretender.tracker()
    left, right = placed(SIDE, HERE), placed(SIDE, THERE)
    first = pretender.run(tracker, left, right)
    assert [r.track for r in first] == ["track-0", "track-1"]
    # The camera goes 5 cm to the left, so that all things stand 5 cm farther right before it.
    move = placed(np.eye(3), (0.05, 0.0, 0.0))
    second = pretender.run(tracker, move @ right, move @ left, T_world_camera=np.linalg.inv(move))
    assert [r.track for r in second] == ["track-1", "track-0"]
    assert all(count > 100 for count in pretender.pools[1])


def test_a_failed_object_does_not_shift_the_tracks_of_the_others() -> None:
    pretender = Pretender()
    tracker = pretender.tracker()
    poses = [placed(SIDE, HERE), placed(SIDE, THERE)]
    frame, masks = seen(*poses)
    pretender.poses = poses
    nothing = np.zeros_like(masks[0])
    lost = ObjectFailure("mask_unreadable", "it is torn.")
    results = tracker.estimate(frame, [nothing, masks[0], lost, masks[1]], T_world_camera=np.eye(4))
    assert [r.status for r in results] == ["mask_empty", "ok", "mask_unreadable", "ok"]
    assert [r.track for r in results] == [None, "track-0", None, "track-1"]
    named = pretender.tracker().estimate(
        frame, [nothing, masks[0], lost, masks[1]], tracks=["a", "b", "c", "d"]
    )
    assert [r.track for r in named] == ["a", "b", "c", "d"]


def test_what_is_not_certified_uses_a_track_but_never_feeds_or_opens_one() -> None:
    pretender = Pretender()
    tracker = pretender.tracker()
    pose = placed(SIDE, (0.0, 0.0, 0.5))
    frame, (mask,) = seen(pose)
    # The mask takes in as much of the wall as of the box: 95 % of its points will never lie on a box.
    wide = np.zeros_like(mask)
    wide[mask.any(1)] = True
    pretender.poses = [pose]
    (open_one,) = tracker.estimate(frame, [wide], T_world_camera=np.eye(4))
    assert not open_one.certificate.certified and open_one.track is None
    (sure,) = pretender.run(tracker, pose)
    held = pretender.pools[-1]
    assert sure.certificate.certified and sure.track == "track-0" and held == [0]
    pretender.poses = [pose]
    (again,) = tracker.estimate(frame, [wide], T_world_camera=np.eye(4))
    (after,) = pretender.run(tracker, pose)
    assert not again.certificate.certified and again.track == after.track == "track-0"
    assert pretender.pools[-2] == pretender.pools[-1] and pretender.pools[-1][0] > 100


def test_the_users_names_need_no_camera_pose_and_cross_no_scene() -> None:
    pretender = Pretender()
    tracker = pretender.tracker(TrackingConfig(frame_points=50, pooled_points=30))
    poses = [placed(SIDE, HERE), placed(SIDE, THERE)]
    for _ in range(2):
        results = pretender.run(tracker, *poses, tracks=["mug", None])
        assert [r.track for r in results] == ["mug", None]
    assert pretender.pools == [[0, 0], [30, 0]]
    tracker.new_scene()
    pretender.run(tracker, *poses, tracks=["mug", None])
    assert pretender.pools[-1] == [0, 0]


def test_other_weights_start_anew() -> None:
    pretender = Pretender()
    tracker = pretender.tracker()
    pretender.run(tracker, placed(SIDE, HERE))
    pretender.weights = "b"
    pretender.run(tracker, placed(SIDE, HERE))
    pretender.run(tracker, placed(SIDE, HERE))
    assert pretender.pools[1] == [0] and pretender.pools[2][0] > 100


def test_a_model_names_its_weights_by_what_they_are(flat_model: Model) -> None:
    before = flat_model.heads_fingerprint()
    assert flat_model.heads_fingerprint() == before
    bias = flat_model.network.decoder.out.bias
    with torch.no_grad():
        bias += 1e-3
    changed = flat_model.heads_fingerprint()
    with torch.no_grad():
        bias -= 1e-3
    assert changed != before


MIRROR = np.diag([1.0, 1.0, -1.0, 1.0])


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({}, "give one of the two"),
        ({"T_world_camera": np.eye(4), "tracks": ["a"]}, "give one of the two"),
        ({"T_world_camera": np.full((4, 4), np.nan)}, "rigid motion"),
        ({"T_world_camera": 2 * np.eye(4)}, "rigid motion"),
        ({"T_world_camera": MIRROR}, "rigid motion"),
        ({"tracks": ["a", "b"]}, "1 masks but 2 track ids"),
        ({"tracks": []}, "1 masks but 0 track ids"),
        ({"tracks": [""]}, "not empty"),
    ],
)
def test_bad_input_is_one_sentence(how: dict[str, object], says: str) -> None:
    pretender = Pretender()
    frame, masks = seen(placed(SIDE, HERE))
    with pytest.raises(InputError, match=says):
        pretender.tracker().estimate(frame, masks, **how)


def test_one_name_for_two_masks_is_refused() -> None:
    pretender = Pretender()
    frame, masks = seen(placed(SIDE, HERE), placed(SIDE, THERE))
    with pytest.raises(InputError, match="'mug' stands for two masks"):
        pretender.tracker().estimate(frame, masks, tracks=["mug", "mug"])


def test_a_model_without_verdicts_keeps_no_tracks(flat_model: Model) -> None:
    with pytest.raises(InputError, match="tracks need the corrector"):
        flat_model.with_correction("none").tracker()
    with pytest.raises(InputError, match="tracks need the corrector"):
        replace(flat_model, certificate=None).tracker()


@pytest.mark.parametrize("name", ["max_frames", "frame_points", "pooled_points"])
def test_settings_that_keep_nothing_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        TrackingConfig(**{name: 0})
