"""BOP sets: what is written is read again, foreign forms come in, and each fault names its file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from crisp.data.bop import BopDataset, FrameKey
from crisp.data.bop_writer import BopFrame, BopInstance, BopWriter
from crisp.errors import InputError
from crisp.geometry.camera import Camera
from crisp.objects import ObjectModel, Symmetries, TexturedMesh
from crisp.types import Mesh

W, H = 24, 16
CAMERA = Camera(np.array([[30.0, 0.0, 12.3], [0.0, 31.0, 7.9], [0.0, 0.0, 1.0]]), W, H)
HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
AXIS = (np.array([0.0, 0.0, 1.0]), np.array([0.01, 0.02, 0.0]))


def pose(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    T[:3, 3] = rng.uniform((-0.1, -0.1, 0.5), (0.1, 0.1, 0.9))
    return T


def box_mask(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[top:bottom, left:right] = True
    return mask


def bop_frame(im_id: int) -> BopFrame:
    rng = np.random.default_rng(im_id)
    depth_m = rng.uniform(0.4, 1.2, (H, W)).astype(np.float32)
    depth_m[:, :4] = 0.0
    first = BopInstance(1, pose(im_id), box_mask(2, 3, 8, 7), box_mask(2, 3, 8, 5))
    second = BopInstance(2, pose(im_id + 50), box_mask(10, 1, 12, 4), box_mask(0, 0, 0, 0))
    rgb = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
    return BopFrame(im_id, rgb, depth_m, CAMERA, (first, second))


def box_model(name: str, symmetries: Symmetries) -> ObjectModel:
    """60 x 80 x 100 mm, so the diameter is 100 sqrt(2) mm; red where x < 0, blue where x > 0."""
    box = trimesh.creation.box((0.06, 0.08, 0.1))
    vertices, faces = np.array(box.vertices), np.array(box.faces)
    uv = np.stack(
        [np.where(vertices[:, 0] < 0, 0.25, 0.75), np.where(vertices[:, 2] < 0, 0.25, 0.75)], axis=1
    )
    # First row on top: v = 0.75 is row 0. Columns: u = 0.25 is column 0.
    texture = np.array([[[255, 0, 0], [0, 0, 255]], [[200, 0, 0], [0, 0, 200]]], np.uint8)
    return ObjectModel(
        name, "box", Mesh(vertices, faces), TexturedMesh(vertices, faces, uv, texture), symmetries
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    writer = BopWriter(tmp_path / "set", "train")
    writer.write_models(
        [box_model("red_box", Symmetries((HALF_TURN,), (AXIS,))), box_model("odd_box", Symmetries())]
    )
    writer.write_scene(7, [bop_frame(4), bop_frame(0)])
    writer.write_scene(2, (bop_frame(i) for i in (11,)))
    return tmp_path / "set"


@pytest.fixture
def scene(root: Path) -> Path:
    return root / "train" / "000002"


KEY = FrameKey(2, 11)


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


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


# --- what the writer puts on disk


def test_vertex_colours_are_sampled_from_the_texture(root: Path) -> None:
    mesh = trimesh.load_mesh(root / "models" / "obj_000001.ply", process=False)
    colours = np.asarray(mesh.visual.vertex_colors)[:, :3]
    left, upper = mesh.vertices[:, 0] < 0, mesh.vertices[:, 2] > 0
    assert (colours[left & upper] == (255, 0, 0)).all()
    assert (colours[~left & upper] == (0, 0, 255)).all()
    assert (colours[left & ~upper] == (200, 0, 0)).all()


def test_label_information_counts_pixels(scene: Path) -> None:
    first, second = json.loads((scene / "scene_gt_info.json").read_text())["11"]
    # The mask spans columns 2 to 7 and rows 3 to 6: 6 x 4; its upper two rows are visible;
    # depth is missing in columns 0 to 3, which takes 2 x 4 of the 24 pixels.
    assert first["bbox_obj"] == [2, 3, 6, 4]
    assert first["bbox_visib"] == [2, 3, 6, 2]
    assert (first["px_count_all"], first["px_count_visib"], first["px_count_valid"]) == (24, 12, 16)
    assert first["visib_fract"] == 0.5
    assert second["bbox_visib"] == [-1, -1, -1, -1]
    assert second["visib_fract"] == 0.0


def test_depth_beyond_sixteen_bits_is_written_as_no_value(tmp_path: Path) -> None:
    depth_m = np.full((H, W), 0.5, np.float32)
    depth_m[0, :3] = (6.5535, 6.5537, 100.0)  # 65535, 65537 and a million steps of 0.1 mm
    frame = BopFrame(0, np.zeros((H, W, 3), np.uint8), depth_m, CAMERA, ())
    BopWriter(tmp_path, "train").write_scene(0, [frame])
    raw = np.asarray(Image.open(tmp_path / "train" / "000000" / "depth" / "000000.png"))
    assert raw[0, :4].tolist() == [65535, 0, 0, 5000]


def test_the_depth_scale_is_the_writers(tmp_path: Path) -> None:
    BopWriter(tmp_path, "train", depth_scale=1.0).write_scene(0, [bop_frame(0)])
    depth_m = BopDataset(tmp_path, "train").load_frame(FrameKey(0, 0)).depth_m
    assert np.allclose(depth_m * 1000, np.rint(bop_frame(0).depth_m * 1000), atol=1e-3)


def test_a_scene_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken_off() -> Iterator[BopFrame]:
        yield bop_frame(0)
        raise KeyboardInterrupt

    writer = BopWriter(tmp_path, "train")
    writer.write_scene(0, [bop_frame(0)])
    with pytest.raises(KeyboardInterrupt):
        writer.write_scene(1, broken_off())
    assert writer.has_scene(0)
    assert not writer.has_scene(1)
    assert BopDataset(tmp_path, "train").scene_ids == (0,)
    writer.write_scene(1, [bop_frame(5)])  # and what was left of it is not in the way, nor in the scene
    assert BopDataset(tmp_path, "train").keys == (FrameKey(0, 0), FrameKey(1, 5))
    assert [path.name for path in (tmp_path / "train" / "000001" / "rgb").iterdir()] == ["000005.png"]


def test_the_writer_refuses(root: Path) -> None:
    writer = BopWriter(root, "train")
    with pytest.raises(InputError, match="000002 is there already: delete it"):
        writer.write_scene(2, [bop_frame(0)])
    with pytest.raises(InputError, match="two frames have the id 3"):
        writer.write_scene(3, [bop_frame(3), bop_frame(3)])
    assert not writer.has_scene(3)
    with pytest.raises(InputError, match="depth_scale must be a positive number"):
        BopWriter(root, "train", depth_scale=0.0)
    whole = bop_frame(0)
    with pytest.raises(InputError, match="frame 0: depth holds NaN"):
        BopFrame(0, whole.rgb, np.full((H, W), np.nan, np.float32), CAMERA, ())
    with pytest.raises(InputError, match="must all be of the camera's size"):
        BopFrame(0, whole.rgb, whole.depth_m, Camera(CAMERA.K, W + 1, H), ())


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


# --- faults


def test_a_missing_root_or_split_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match=r"there is no data set folder .*nowhere"):
        BopDataset(root / "nowhere", "train")
    with pytest.raises(InputError, match=r"has no split 'test' .*: the splits there are train"):
        BopDataset(root, "test")
    with pytest.raises(InputError, match=r"has no split 'train' .*: no folder there holds scenes"):
        BopDataset(root / "models", "train")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda s: (s / "scene_camera.json").unlink(), "cannot read .*scene_camera.json: No such file"),
        (lambda s: (s / "scene_camera.json").write_text("{"), "scene_camera.json is not JSON"),
        (lambda s: (s / "scene_camera.json").write_text('{"x": 1}'), "must have whole numbers as keys"),
        (lambda s: (s / "scene_camera.json").write_text('{"11": 1}'), "must be an object with cam_K"),
        (lambda s: (s / "rgb" / "000011.png").unlink(), "000002 has no rgb/000011.png, though"),
        (lambda s: (s / "depth" / "000011.png").unlink(), "000002 has no depth/000011.png, though"),
        (lambda s: truncate(s / "rgb" / "000011.png"), "000011.png is damaged or cut short"),
        (lambda s: truncate(s / "depth" / "000011.png"), "000011.png is damaged or cut short"),
    ],
)
def test_a_spoilt_frame_is_refused(
    root: Path, scene: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    spoil(scene)
    dataset = BopDataset(root, "train")
    with pytest.raises(InputError, match=sentence):
        dataset.load_frame(KEY)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"depth_scale": 0}, r"depth_scale in .*scene_camera.json \(image 11\) is 0: it must be positive"),
        ({"depth_scale": None}, r"scene_camera.json \(image 11\) has no depth_scale"),
        ({"depth_scale": 100.0}, "depth/000011.png: the median depth .* millimetres read as metres"),
        ({"cam_K": [1, 2]}, r"cam_K in .*scene_camera.json \(image 11\) must be 9 finite numbers, got 2"),
        ({"cam_K": [0] * 9}, r"scene_camera.json \(image 11\): K is singular"),
    ],
)
def test_a_wrong_camera_entry_is_refused(
    root: Path, scene: Path, entry: dict[str, Any], sentence: str
) -> None:
    edit(scene / "scene_camera.json", lambda entries: entries["11"].update(entry))
    with pytest.raises(InputError, match=sentence):
        BopDataset(root, "train").load_frame(KEY)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda g: g.pop("11"), "has no list of objects for image 11"),
        (lambda g: g["11"].pop(), "scene_gt_info.json must list 1 objects for image 11"),
        (lambda g: g["11"][1].pop("obj_id"), r"\(image 11, object 1\) must have obj_id"),
        (lambda g: g["11"][1].update(cam_R_m2c=[1, 0]), "cam_R_m2c in .* must be 9 finite numbers, got 2"),
        (lambda g: g["11"][1].update(cam_R_m2c=[1] * 9), "cam_R_m2c in .*object 1.* is not a rotation"),
        (lambda g: g["11"][1].update(cam_R_m2c=[-1, 0, 0, 0, 1, 0, 0, 0, 1]), "is not a rotation"),
        (lambda g: g["11"][1].update(cam_t_m2c=["a", 0, 0]), "cam_t_m2c in .* must be 3 numbers"),
    ],
)
def test_wrong_labels_are_refused(
    root: Path, scene: Path, change: Callable[[Any], None], sentence: str
) -> None:
    edit(scene / "scene_gt.json", change)
    with pytest.raises(InputError, match=sentence):
        BopDataset(root, "train").instances(KEY)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda i: i.pop("1"), "model 1 in .*models_info.json has no diameter"),
        (lambda i: i["1"].update(diameter="big"), "diameter of model 1 .* must be 1 number"),
        (
            lambda i: i["1"].update(symmetries_discrete=[[1, 0]]),
            "symmetries_discrete of .* 16 finite numbers, got 2",
        ),
        (lambda i: i["1"].update(symmetries_continuous=[[0, 0, 1]]), "must have an axis and an offset"),
        (lambda i: i["1"].update(symmetries_continuous=[{"axis": [0, 0, 0]}]), "axis of model 1 .* is zero"),
    ],
)
def test_wrong_model_information_is_refused(root: Path, change: Callable[[Any], None], sentence: str) -> None:
    edit(root / "models" / "models_info.json", change)
    with pytest.raises(InputError, match=sentence):
        BopDataset(root, "train").object(1)


def test_what_is_not_there_is_refused_by_name(root: Path) -> None:
    dataset = BopDataset(root, "train")
    with pytest.raises(InputError, match=r"there is no model .*obj_000009\.ply: the ids there are 1, 2"):
        dataset.object(9)
    with pytest.raises(InputError, match="has no scene 000099"):
        dataset.load_frame(FrameKey(99, 0))
    with pytest.raises(InputError, match=r"scene_camera\.json has no entry for image 99"):
        dataset.load_frame(FrameKey(2, 99))
    with pytest.raises(InputError, match=r"cannot read .*mask/000011_000009\.png"):
        dataset.mask(KEY, 9)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (None, r"scene_gt_info\.json \(image 11, object 0\) must be an object"),
        ({"visib_fract": None}, r"visib_fract in .*\(image 11, object 0\) must be 1 finite number"),
        ({"visib_fract": "most"}, "visib_fract in .* must be 1 number"),
    ],
)
def test_wrong_label_information_is_refused(root: Path, scene: Path, entry: Any, sentence: str) -> None:
    edit(scene / "scene_gt_info.json", lambda infos: infos["11"].__setitem__(0, entry))
    with pytest.raises(InputError, match=sentence):
        BopDataset(root, "train").instances(KEY)


def test_a_model_without_faces_is_refused(root: Path) -> None:
    (root / "models" / "obj_000001.ply").write_bytes(trimesh.PointCloud(np.eye(3)).export(file_type="ply"))
    with pytest.raises(InputError, match=r"obj_000001\.ply has no faces"):
        BopDataset(root, "train").object(1)
