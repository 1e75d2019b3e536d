"""NOCS: what is written is read back, poses and sizes are the true ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from replicas import nocs_models, write_nocs

from crisp.data.bop.writer import BopFrame
from crisp.data.nocs.detections import detections_path, read_mask_rcnn
from crisp.data.nocs.files import (
    CAMERA_K,
    REAL_K,
    camera_of,
    coordinate_image,
    read_coordinates,
    read_depth_m,
)
from crisp.data.nocs.models import model_id
from crisp.data.nocs.reader import NocsDataset
from crisp.geometry.pose import rotation_angle_deg

SPLITS = ("real_train", "real_test", "camera_train", "camera_val")
Replica = tuple[NocsDataset, list[BopFrame]]


@pytest.fixture(scope="module", params=SPLITS)
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Replica:
    root = tmp_path_factory.mktemp("nocs")
    frames = write_nocs(root, request.param)
    return NocsDataset(root, request.param), frames


def test_images_come_back_equal_and_depth_to_half_a_millimetre(replica: Replica) -> None:
    dataset, frames = replica
    assert [key.im_id for key in dataset.keys] == [0, 1] and dataset.faults == ()
    for key, frame in zip(dataset.keys, frames, strict=True):
        found = dataset.load_frame(key)
        np.testing.assert_array_equal(found.rgb, frame.rgb)
        np.testing.assert_allclose(found.depth_m, frame.depth_m, atol=0.000501)
        np.testing.assert_allclose(found.camera.K, frame.camera.K)
        for index, instance in enumerate(frame.instances[:2]):  # the third is of no category
            np.testing.assert_array_equal(dataset.mask(key, index), instance.mask_visible)


def test_posed_models_are_where_they_were(replica: Replica) -> None:
    """Released poses to float64's last digits; fitted ones to what 8 bits and whole millimetres allow."""
    dataset, frames = replica
    released = dataset.split in ("real_test", "camera_val")
    for key, frame in zip(dataset.keys, frames, strict=True):
        found = dataset.instances(key)
        assert len(found) == 2 and dataset.label_faults(key) == ()
        for instance, truth in zip(found, frame.instances, strict=False):
            model = dataset.object(instance.object_id).scaled(instance.scale)
            ours = nocs_models()[truth.object_id].mesh
            T, T_true = instance.T_camera_object, truth.T_camera_object
            points = model.mesh.vertices @ T[:3, :3].T + T[:3, 3]
            points_true = ours.vertices @ T_true[:3, :3].T + T_true[:3, 3]
            off_m = np.linalg.norm(points - points_true, axis=1).max()
            assert off_m < (1e-6 if released else 3e-3)
            np.testing.assert_array_equal(model.mesh.faces, ours.faces)


def test_metric_scales_are_those_of_the_model_or_of_the_image(replica: Replica) -> None:
    dataset, frames = replica
    diagonal = {i: np.linalg.norm(np.ptp(model.mesh.vertices, axis=0)) for i, model in nocs_models().items()}
    for instance, truth in zip(dataset.instances(dataset.keys[0]), frames[0].instances, strict=False):
        box = np.linalg.norm(np.ptp(dataset.object(instance.object_id).mesh.vertices, axis=0))
        if dataset.split.startswith("real"):
            assert instance.scale == 1.0
            assert box == pytest.approx(diagonal[truth.object_id], rel=1e-6)
        else:
            assert box == pytest.approx(1.0, rel=1e-6)
            tolerance = 1e-6 if dataset.split == "camera_val" else 0.02
            assert instance.scale == pytest.approx(diagonal[truth.object_id], rel=tolerance)


def test_models_have_their_categories_and_symmetries(replica: Replica) -> None:
    dataset, _ = replica
    real = dataset.split.startswith("real")
    names = ("mug_square_norm", "can_tin_norm") if real else ("mug_square", "tin")
    assert set(dataset.object_ids) == {model_id(name) for name in names}
    mug, can = (dataset.object(model_id(name)) for name in names)
    assert (mug.kind, can.kind) == ("mug", "can")
    assert mug.symmetries.none
    ((axis, offset),) = can.symmetries.continuous
    np.testing.assert_array_equal([axis, offset], [[0, 1, 0], [0, 0, 0]])  # y is up in NOCS
    # The can stood along our z; along NOCS's y it is 0.1 m of a diagonal of sqrt(0.1^2 + 2 * 0.07^2).
    height = np.ptp(can.mesh.vertices[:, 1]) * (1.0 if real else float(np.sqrt(0.1**2 + 2 * 0.07**2)))
    assert height == pytest.approx(0.1, abs=1e-6)


def test_detections_hold_the_true_masks(replica: Replica) -> None:
    dataset, frames = replica
    folder = dataset.root / "segmentation_results"
    if dataset.split not in ("real_test", "camera_val"):
        assert not folder.exists()
        return
    real = dataset.split == "real_test"
    for key, frame in zip(dataset.keys, frames, strict=True):
        path = detections_path(folder / ("REAL275" if real else "CAMERA25"), key, real=real)
        found = read_mask_rcnn(path)
        assert [d.category for d in found] == ["mug", "can"]
        for detection, instance in zip(found, frame.instances, strict=False):
            np.testing.assert_array_equal(detection.detection.mask, instance.mask_visible)
            assert detection.detection.score == 1.0


def test_a_fitted_pose_is_the_released_one(tmp_path: Path) -> None:
    """Two ways to one pose: without its `gts`, a set is labelled from coordinates and depth."""
    write_nocs(tmp_path, "real_test")
    released = NocsDataset(tmp_path, "real_test")
    wanted = released.instances(released.keys[0])
    (tmp_path / "gts").rename(tmp_path / "elsewhere")
    dataset = NocsDataset(tmp_path, "real_test")
    for fitted, true in zip(dataset.instances(dataset.keys[0]), wanted, strict=True):
        turn = rotation_angle_deg(
            torch.tensor(fitted.T_camera_object[:3, :3]), torch.tensor(true.T_camera_object[:3, :3])
        )
        assert float(turn) < 2.0
        assert np.linalg.norm((fitted.T_camera_object - true.T_camera_object)[:3, 3]) < 0.003


def test_coordinates_are_read_with_z_flipped(tmp_path: Path) -> None:
    """(0.25, -0.5, 0.1) is stored as 255 * (0.75, 0, 1 - 0.6) = (191.25, 0, 102)."""
    image = coordinate_image(np.array([[[0.25, -0.5, 0.1]]]))
    np.testing.assert_array_equal(image, [[[191, 0, 102]]])
    Image.fromarray(image).save(tmp_path / "coord.png")
    np.testing.assert_allclose(read_coordinates(tmp_path / "coord.png"), [[[0.249, -0.5, 0.1]]], atol=1e-4)


def test_depth_in_two_channels_is_put_together(tmp_path: Path) -> None:
    """1000 mm = 3 * 256 + 232: green 3, red 232; blue means nothing."""
    Image.fromarray(np.array([[[232, 3, 77, 255]]], dtype=np.uint8)).save(tmp_path / "depth.png")
    np.testing.assert_allclose(read_depth_m(tmp_path / "depth.png"), [[1.0]])


def test_the_published_intrinsics_are_used_and_follow_a_smaller_image() -> None:
    np.testing.assert_array_equal(camera_of("real_test", (640, 480)).K, REAL_K)
    np.testing.assert_array_equal(camera_of("camera_train", (640, 480)).K, CAMERA_K)
    # At half the size a pixel covers two: the first one's centre was at 0.5. 2 * (cx' + 0.5) = cx + 0.5.
    half = camera_of("camera_val", (320, 240))
    assert half.K[0, 0] == 288.75 and half.K[0, 2] == pytest.approx((319.5 + 0.5) / 2 - 0.5)


def test_full_depth_stands_in_for_that_of_the_objects_alone(tmp_path: Path) -> None:
    (frame, _) = write_nocs(tmp_path, "camera_train")
    dataset = NocsDataset(tmp_path, "camera_train")
    key = dataset.keys[0]
    assert (dataset.load_frame(key).depth_m > 0).all()
    (tmp_path / "camera_full_depths").rename(tmp_path / "elsewhere")
    alone = dataset.load_frame(key).depth_m
    on_objects = np.any([i.mask_visible for i in frame.instances], axis=0)
    np.testing.assert_array_equal(alone > 0, on_objects)


def test_digests_tell_frames_and_labels_apart(replica: Replica) -> None:
    dataset, _ = replica
    first, second = dataset.keys
    assert dataset.digest(first) != dataset.digest(second)
    again = NocsDataset(dataset.root, dataset.split)
    assert again.digest(first) == dataset.digest(first) and again.labels_digest == dataset.labels_digest
