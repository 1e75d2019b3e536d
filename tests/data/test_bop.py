"""BOP sets: what is written is read again, and foreign forms come in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_set import AXIS, CAMERA, HALF_TURN, KEY, H, W, bop_frame, box_model, edit, pose

from crisp.data.bop.reader import BopDataset, FrameKey
from crisp.data.bop.writer import BopWriter
from crisp.errors import InputError
from crisp.types import Symmetries

# --- round trip


def test_keys_are_sorted_by_scene_then_image(root: Path) -> None:
    dataset = BopDataset(root, "train")
    assert dataset.scene_ids == (2, 7)
    assert dataset.keys == (FrameKey(2, 11), FrameKey(7, 0), FrameKey(7, 4))
    assert dataset.keys[0].frame_id == "000002/000011"


def test_frames_come_back_as_written(root: Path) -> None:
    dataset = BopDataset(root, "train")
    for key in dataset.keys:
        written, frame = bop_frame(key.im_id), dataset.load_frame(key)
        assert np.array_equal(frame.rgb, written.rgb)
        # Half a step of 0.1 mm, and the rounding of a float32 near 1 m.
        assert np.abs(frame.depth_m - written.depth_m).max() <= 0.5 * 0.1e-3 + 1e-7
        assert np.array_equal(frame.depth_m == 0, written.depth_m == 0)
        assert np.array_equal(frame.camera.K, CAMERA.K)
        assert frame.frame_id == key.frame_id


def test_poses_and_masks_come_back_as_written(root: Path) -> None:
    dataset = BopDataset(root, "train")
    for key in dataset.keys:
        written = bop_frame(key.im_id).instances
        for expected, instance in zip(written, dataset.instances(key), strict=True):
            assert instance.object_id == expected.object_id
            assert np.abs(instance.T_camera_object - expected.T_camera_object).max() < 1e-9
            assert np.array_equal(dataset.mask(key, instance.index), expected.mask_visible)
            assert np.array_equal(dataset.mask(key, instance.index, visible=False), expected.mask)


def test_the_cameras_pose_comes_back_as_written_and_is_worldwards(tmp_path: Path) -> None:
    # The camera stands 0.5 m above the world's origin, looking down: R = diag(1, -1, -1), so a world point
    # (0, 0, 0) is at depth 0.5, and w2c must read R = diag(1, -1, -1), t = -R (0, 0, 500) = (0, 0, 500) mm.
    T_world_camera = np.diag([1.0, -1.0, -1.0, 1.0])
    T_world_camera[2, 3] = 0.5
    frames = [
        replace(bop_frame(0), T_world_camera=T_world_camera),
        replace(bop_frame(1), T_world_camera=pose(9)),
    ]
    BopWriter(tmp_path, "train").write_scene(3, [*frames, bop_frame(2)])
    entry = json.loads((tmp_path / "train" / "000003" / "scene_camera.json").read_text())["0"]
    assert entry["cam_R_w2c"] == [1, 0, 0, 0, -1, 0, 0, 0, -1] and entry["cam_t_w2c"] == [0, 0, 500]
    dataset = BopDataset(tmp_path, "train")
    for im_id, expected in ((0, T_world_camera), (1, pose(9))):
        assert np.abs(dataset.T_world_camera(FrameKey(3, im_id)) - expected).max() < 1e-9
    assert [dataset.has_camera_pose(key) for key in dataset.keys] == [True, True, False]
    with pytest.raises(InputError, match=r"\(image 2\) has no camera pose: it must have cam_R_w2c"):
        dataset.T_world_camera(FrameKey(3, 2))


def test_models_come_back_as_written(root: Path) -> None:
    objects = BopDataset(root, "train").objects
    assert list(objects) == [1, 2]
    red, odd = objects[1], objects[2]
    model = box_model("red_box", Symmetries())
    assert (red.name, red.kind, odd.name) == ("red_box", "box", "odd_box")
    assert np.abs(red.mesh.vertices - model.mesh.vertices).max() < 1e-7
    assert np.array_equal(red.mesh.faces, model.mesh.faces)
    assert red.diameter_m == pytest.approx(0.1 * np.sqrt(2), abs=1e-12)
    assert np.allclose(red.symmetries.discrete[0], HALF_TURN, atol=1e-12)
    assert all(np.allclose(a, b, atol=1e-12) for a, b in zip(red.symmetries.continuous[0], AXIS, strict=True))
    assert odd.symmetries.none


def test_a_symmetrys_translation_is_in_millimetres_on_disk(tmp_path: Path) -> None:
    T = HALF_TURN.copy()
    T[:3, 3] = (0.002, 0.0, -0.03)
    BopWriter(tmp_path, "train").write_models([box_model("a", Symmetries((T,), (AXIS,)))])
    info = json.loads((tmp_path / "models" / "models_info.json").read_text())["1"]
    assert info["symmetries_discrete"] == [[-1, 0, 0, 2, 0, -1, 0, 0, 0, 0, 1, -30, 0, 0, 0, 1]]
    assert info["symmetries_continuous"] == [{"axis": [0, 0, 1], "offset": [10, 20, 0]}]
    assert (info["min_x"], info["size_y"], info["size_z"]) == pytest.approx((-30, 80, 100))


def test_an_object_is_read_once_and_only_when_asked_for(root: Path) -> None:
    (root / "models" / "obj_000002.ply").write_text("spoilt")
    dataset = BopDataset(root, "train")
    assert dataset.object(1) is dataset.object(1)
    with pytest.raises(InputError, match=r"obj_000002\.ply is no PLY file"):
        dataset.object(2)


# --- other people's sets


def test_blenderproc_and_older_sets_come_in(root: Path, scene: Path) -> None:
    """JPEG colour, extrinsics beside the intrinsics, a scene without visible masks or label information."""
    Image.fromarray(bop_frame(11).rgb).save(scene / "rgb" / "000011.jpg")
    (scene / "rgb" / "000011.png").unlink()
    extrinsics = {"cam_R_w2c": [1, 0, 0, 0, 1, 0, 0, 0, 1], "cam_t_w2c": [0, 0, 1000]}
    edit(scene / "scene_camera.json", lambda entries: entries["11"].update(extrinsics))
    (scene / "mask_visib" / "000011_000000.png").unlink()
    (scene / "scene_gt_info.json").unlink()
    (root / "camera.json").write_text("{}")
    dataset = BopDataset(root, "train")
    assert dataset.load_frame(KEY).rgb.shape == (H, W, 3)
    assert np.array_equal(dataset.mask(KEY, 0), bop_frame(11).instances[0].mask)
    assert np.isnan(dataset.instances(KEY)[0].visib_fract)


def test_grey_images_and_tiff_depth_come_in(root: Path, scene: Path) -> None:
    expected = BopDataset(root, "train").load_frame(KEY)
    grey = expected.rgb[..., 0]
    (scene / "gray").mkdir()
    Image.fromarray(grey).save(scene / "gray" / "000011.tif")
    (scene / "rgb" / "000011.png").unlink()
    Image.open(scene / "depth" / "000011.png").save(scene / "depth" / "000011.tif")
    (scene / "depth" / "000011.png").unlink()
    frame = BopDataset(root, "train").load_frame(KEY)
    assert np.array_equal(frame.rgb, np.repeat(grey[..., None], 3, axis=2))
    assert np.array_equal(frame.depth_m, expected.depth_m)


def test_models_may_lie_in_models_eval_and_lack_our_keys(root: Path) -> None:
    (root / "models").rename(root / "models_eval")
    edit(
        root / "models_eval" / "models_info.json", lambda infos: [infos["1"].pop(k) for k in ("name", "kind")]
    )
    red = BopDataset(root, "train").object(1)
    assert (red.name, red.kind) == ("obj_000001", "obj_000001")


def test_a_rounded_rotation_becomes_the_nearest_rotation(root: Path, scene: Path) -> None:
    """LM-O's published rotations stray from orthonormal by up to 0.002."""
    edit(
        scene / "scene_gt.json",
        lambda g: g["11"][0].update(cam_R_m2c=[1.001, 0, 0, 0, 1.001, 0, 0, 0, 0.999]),
    )
    assert np.allclose(
        BopDataset(root, "train").instances(KEY)[0].T_camera_object[:3, :3], np.eye(3), atol=1e-12
    )


def test_frames_need_no_labels_and_no_models(root: Path, scene: Path) -> None:
    (scene / "scene_gt.json").unlink()
    (root / "models").rename(root / "elsewhere")
    dataset = BopDataset(root, "train")
    assert dataset.load_frame(KEY).frame_id == "000002/000011"
    with pytest.raises(InputError, match=r"000002 has no labels: scene_gt\.json is missing"):
        dataset.instances(KEY)
    with pytest.raises(InputError, match="has no folder 'models'"):
        dataset.object(1)
