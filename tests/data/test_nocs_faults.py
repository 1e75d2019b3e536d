"""NOCS sets: each fault is one sentence that names its file, and one bad frame does not spoil the others."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from replicas import write_nocs

from crisp.data.dataset import FrameKey
from crisp.data.nocs.detections import read_mask_rcnn
from crisp.data.nocs.models import model_id
from crisp.data.nocs.reader import NocsDataset
from crisp.data.plain_pickle import read_plain_pickle, write_plain_pickle
from crisp.errors import InputError

KEY = FrameKey(1, 0)
TRUTH = "gts/real_test/results_real_test_scene_1_0000.pkl"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_nocs(tmp_path, "real_test")
    return tmp_path


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def change(path: Path, **entries: Any) -> None:
    write_plain_pickle(path, read_plain_pickle(path) | entries)


def save(path: Path, image: np.ndarray) -> None:
    Image.fromarray(image).save(path)


FRAME_FAULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("color.png", Path.unlink, "cannot read .*0000_color.png: No such file"),
    ("color.png", truncate, "0000_color.png is damaged or cut short"),
    ("depth.png", truncate, "0000_depth.png is damaged or cut short"),
    ("depth.png", lambda p: save(p, np.zeros((120, 160), np.uint8)), "0000_depth.png .* 16 bits, or 8 in 3"),
    ("depth.png", lambda p: save(p, np.zeros((120, 160), np.uint16)), "0000_depth.png: depth is zero every"),
    ("depth.png", lambda p: save(p, np.ones((60, 80), np.uint16)), "0000_depth.png is 80x60 but .* 160x120"),
    ("color.png", lambda p: save(p, np.zeros((100, 160, 3), np.uint8)), "NOCS images are 640x480, .*160x100"),
]


@pytest.mark.parametrize(("ending", "spoil", "sentence"), FRAME_FAULTS)
def test_a_spoilt_frame_is_refused_and_the_next_is_read(
    root: Path, ending: str, spoil: Callable[[Path], object], sentence: str
) -> None:
    dataset = NocsDataset(root, "real_test")
    spoil(root / "real/test/scene_1" / f"0000_{ending}")
    with pytest.raises(InputError, match=sentence):
        dataset.load_frame(KEY)
    assert dataset.load_frame(FrameKey(1, 1)).rgb.shape == (120, 160, 3)


LABEL_FAULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("meta.txt", lambda p: p.write_text("1 7 mug_norm\n"), r"has the line '1 7 mug_norm': each must be inst"),
    ("meta.txt", lambda p: p.write_text("1 6 a\n1 6 b\n"), "names an instance twice"),
    ("meta.txt", lambda p: p.write_bytes(b"\xff\xfe\x00"), "is no text"),
    ("mask.png", truncate, "0000_mask.png is damaged or cut short"),
    ("mask.png", lambda p: save(p, np.zeros((120, 160), np.uint16)), "must have 8 bits a channel"),
]


@pytest.mark.parametrize(("ending", "spoil", "sentence"), LABEL_FAULTS)
def test_spoilt_labels_are_refused(
    root: Path, ending: str, spoil: Callable[[Path], object], sentence: str
) -> None:
    dataset = NocsDataset(root, "real_test")
    spoil(root / "real/test/scene_1" / f"0000_{ending}")
    with pytest.raises(InputError, match=sentence):
        dataset.instances(KEY)
    assert len(dataset.instances(FrameKey(1, 1))) == 2


class Caller:
    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (self.place,)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"gt_RTs": np.zeros((1, 4, 4))}, "must hold 2 poses and classes, .* it holds 1 and 2"),
        ({"gt_RTs": np.zeros((2, 4, 4))}, "the pose of instance 1 in .* is no scaled rotation"),
        (
            {"gt_class_ids": np.array([4, 6])},
            r"holds the classes \[4, 6\], but .* \[6, 4\]",
        ),
        ({"gt_RTs": np.full((2, 4, 4), np.nan)}, "must hold 2 poses"),
    ],
)
def test_released_poses_of_other_objects_are_refused(
    root: Path, entries: dict[str, Any], sentence: str
) -> None:
    change(root / TRUTH, **entries)
    with pytest.raises(InputError, match=sentence):
        NocsDataset(root, "real_test").instances(KEY)


def test_released_poses_that_would_run_something_are_refused(root: Path) -> None:
    (root / TRUTH).write_bytes(pickle.dumps({"gt_RTs": Caller(root / "executed")}))
    dataset = NocsDataset(root, "real_test")
    with pytest.raises(InputError, match=r"results_real_test_scene_1_0000.pkl is refused: it wants to call"):
        dataset.instances(KEY)
    assert not (root / "executed").exists()
    assert len(dataset.instances(FrameKey(1, 1))) == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"gt_class_ids": [1]}, "has neither pred_class_ids nor class_ids"),
        ([1, 2], "must hold a dictionary with pred_class_ids, pred_masks, pred_scores"),
        ({"class_ids": [1], "masks": np.zeros((4, 4, 2)), "scores": [0.5]}, "must hold masks .* N classes"),
        (
            {"class_ids": [7], "masks": np.zeros((4, 4, 1)), "scores": [0.5]},
            r"\[7\]: NOCS's are 1 to 6",
        ),
    ],
)
def test_detections_that_are_none_are_refused(tmp_path: Path, content: Any, sentence: str) -> None:
    write_plain_pickle(tmp_path / "a.pkl", content)
    with pytest.raises(InputError, match=sentence):
        read_mask_rcnn(tmp_path / "a.pkl")


def test_detections_come_in_either_naming_and_in_a_list(tmp_path: Path) -> None:
    masks = np.zeros((2, 3, 2), dtype=bool)
    masks[0, :, 1] = True
    given = {"class_ids": np.array([1, 6]), "masks": masks, "scores": np.array([0.5, 0.25])}
    for content in (given, [{f"pred_{name}": value for name, value in given.items()}]):
        write_plain_pickle(tmp_path / "a.pkl", content)
        bottle, mug = read_mask_rcnn(tmp_path / "a.pkl")
        assert (bottle.category, mug.category) == ("bottle", "mug")
        assert mug.detection.score == 0.25 and not bottle.detection.mask.any()
        np.testing.assert_array_equal(mug.detection.mask, masks[..., 1])


def test_models_without_a_size_or_with_one_that_is_none_are_refused(root: Path) -> None:
    folder, mug = root / "obj_models" / "real_test", model_id("mug_square_norm")
    (folder / "mug_square_norm.txt").write_text("60 90 120")  # millimetres
    with pytest.raises(InputError, match=r"mug_square_norm.txt holds lengths .* which cannot be metres"):
        NocsDataset(root, "real_test").object(mug)
    (folder / "mug_square_norm.txt").unlink()
    with pytest.raises(InputError, match=r"mug_square_norm.txt cannot be read: .* three lengths in metres"):
        NocsDataset(root, "real_test").object(mug)
    (folder / "mug_square_norm.obj").unlink()
    with pytest.raises(InputError, match=r"has no model with the id"):
        NocsDataset(root, "real_test").object(mug)


def test_an_object_without_a_pixel_is_said_to_be_so(root: Path) -> None:
    path = root / "real/test/scene_1/0000_mask.png"
    ids = np.array(Image.open(path))
    ids[ids == 1] = 255
    save(path, ids)
    (root / TRUTH).unlink()
    dataset = NocsDataset(root, "real_test")
    assert dataset.label_faults(KEY) == (
        "image 000001/000000: instance 1 (mug_square_norm) has no visible pixel.",
    )
    (can,) = dataset.instances(KEY)
    assert can.object_id == model_id("can_tin_norm") and can.index == 0
    np.testing.assert_array_equal(dataset.mask(KEY, 0), ids == 2)


def test_an_object_whose_coordinates_do_not_fit_has_no_pose(root: Path) -> None:
    path = root / "real/test/scene_1/0000_coord.png"
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    coordinates = np.array(Image.open(path))
    ids = np.array(Image.open(root / "real/test/scene_1/0000_mask.png"))
    save(path, np.where((ids == 2)[..., None], noise // 255, coordinates))  # a can that is a single point
    (root / TRUTH).unlink()
    dataset = NocsDataset(root, "real_test")
    assert [i.object_id for i in dataset.instances(KEY)] == [model_id("mug_square_norm")]
    (sentence,) = dataset.label_faults(KEY)
    assert "instance 2 (can_tin_norm) has no pose" in sentence


def test_images_without_meta_are_left_out_and_said_to_be(root: Path) -> None:
    (root / "real/test/scene_1/0001_meta.txt").unlink()
    dataset = NocsDataset(root, "real_test")
    assert dataset.keys == (KEY,)
    (sentence,) = dataset.faults
    assert sentence.endswith("scene_1 has 1 images without NNNN_meta.txt, which are left out.")


def test_roots_and_splits_that_are_none(root: Path) -> None:
    with pytest.raises(InputError, match="there is no data set folder"):
        NocsDataset(root / "nowhere", "real_test")
    with pytest.raises(InputError, match=r"NOCS has the splits camera_train, .*, got 'test'"):
        NocsDataset(root, "test")
    with pytest.raises(InputError, match=r"has no frames of 'camera_val': they belong into camera/val/scene"):
        NocsDataset(root, "camera_val")
