"""BOP's targets, detections and model folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detections_file import compressed

from crisp.data.bop.detections import Target, decode_mask, read_detections, read_targets
from crisp.data.bop.reader import BopDataset
from crisp.data.dataset import FrameKey
from crisp.errors import InputError, ObjectFailure
from crisp.types import Detection


def targets(path: Path, *entries: tuple[int, int, int]) -> None:
    named = [{"scene_id": s, "im_id": i, "obj_id": o, "inst_count": 1} for s, i, o in entries]
    path.write_text(json.dumps(named))


def test_targets_choose_the_frames(root: Path) -> None:
    targets(root / "test_targets_bop19.json", (7, 4, 2), (2, 11, 1), (7, 4, 1))
    dataset = BopDataset(root, "train", targets="test_targets_bop19.json")
    assert dataset.keys == (FrameKey(2, 11), FrameKey(7, 4))
    assert dataset.targets == (
        Target(FrameKey(2, 11), 1, 1),
        Target(FrameKey(7, 4), 1, 1),
        Target(FrameKey(7, 4), 2, 1),
    )
    assert BopDataset(root, "train").targets == ()


def test_targets_that_are_none_are_refused(root: Path) -> None:
    targets(root / "a.json", (7, 99, 1))
    with pytest.raises(InputError, match=r"a.json names image 000007/000099, which split 'train' has not"):
        BopDataset(root, "train", targets="a.json").keys  # noqa: B018
    with pytest.raises(InputError, match=r"cannot read .*missing.json"):
        BopDataset(root, "train", targets="missing.json").keys  # noqa: B018
    (root / "a.json").write_text('[{"scene_id": 1}]')
    with pytest.raises(InputError, match=r"target 0 in .*a.json has no im_id"):
        read_targets(root / "a.json")
    (root / "a.json").write_text("{}")
    with pytest.raises(InputError, match=r"a.json must hold a JSON list of objects"):
        read_targets(root / "a.json")


def test_models_come_from_the_folder_that_is_named(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "models", root / "models_eval")
    (root / "models_eval" / "obj_000002.ply").unlink()
    assert BopDataset(root, "train").object_ids == (1, 2)
    assert BopDataset(root, "train", models="models_eval").object_ids == (1,)
    (root / "models_eval").rename(tmp_path / "elsewhere")
    assert BopDataset(root, "train", models=tmp_path / "elsewhere").object_ids == (1,)
    with pytest.raises(InputError, match="there is no folder of models"):
        BopDataset(root, "train", models="nowhere").object_ids  # noqa: B018


def test_one_broken_scene_leaves_the_others(root: Path) -> None:
    (root / "train/000002/scene_camera.json").write_text("{")
    dataset = BopDataset(root, "train")
    assert dataset.keys == (FrameKey(7, 0), FrameKey(7, 4))
    (fault,) = dataset.faults
    assert "000002/scene_camera.json is not JSON" in fault
    (root / "train/000007/scene_camera.json").unlink()
    with pytest.raises(InputError, match=r"000002/scene_camera.json is not JSON"):
        BopDataset(root, "train").keys  # noqa: B018


def test_run_lengths_go_down_the_columns() -> None:
    """Columns of two rows: off off | on off | off on, so 2 off, 1 on, 2 off, 1 on."""
    mask = np.array([[False, True, False], [False, False, True]])
    np.testing.assert_array_equal(decode_mask({"size": [2, 3], "counts": [2, 1, 2, 1]}, "it"), mask)
    # One character a run below 16 (48 + run); the fourth is written as its difference to the second: 0.
    np.testing.assert_array_equal(decode_mask({"size": [2, 3], "counts": "2120"}, "it"), mask)


def test_long_runs_take_several_characters_and_differences_may_be_negative() -> None:
    """20 = 0b10100: five bits, 20, and "more" (32) make chr(48 + 52) = "d"; then 0, for the fifth bit was the
    sign's, "0". 5 is "5", 13 is "=" (its fifth bit is 0). The fourth run is 2 = 5 - 3, and -3 in five bits
    with the sign is 0b11101 = 29, "M"."""
    mask = decode_mask({"size": [5, 8], "counts": "d05=M"}, "it")
    wanted = np.repeat([False, True, False, True], [20, 5, 13, 2]).reshape(8, 5).T
    np.testing.assert_array_equal(mask, wanted)


@pytest.mark.parametrize("seed", range(5))
def test_masks_come_back_equal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((7, 5)) < 0.2 * (seed + 0.5)
    np.testing.assert_array_equal(decode_mask(compressed(mask), "it"), mask)
    for all_one in (np.zeros((3, 2), bool), np.ones((3, 2), bool)):
        np.testing.assert_array_equal(decode_mask(compressed(all_one), "it"), all_one)


def detection(**entries: Any) -> dict[str, Any]:
    good = {"scene_id": 7, "image_id": 4, "category_id": 2, "score": 0.5, "bbox": [0, 0, 1, 1], "time": 0.1}
    return good | {"segmentation": {"size": [2, 3], "counts": [2, 1, 2, 1]}} | entries


def test_detections_come_by_frame_and_a_damaged_one_alone_is_lost(tmp_path: Path) -> None:
    entries = [
        detection(),
        detection(segmentation={"size": [2, 3], "counts": [2, 1]}),
        detection(segmentation={"size": [2, 3], "counts": "2\x01"}),
        detection(segmentation=None),
        detection(score="high"),
        detection(image_id=0, category_id=1),
    ]
    (tmp_path / "a.json").write_text(json.dumps(entries))
    found = read_detections(tmp_path / "a.json")
    assert set(found) == {FrameKey(7, 4), FrameKey(7, 0)}
    good, *bad = found[FrameKey(7, 4)]
    assert isinstance(good, Detection) and (good.object_id, good.score) == (2, 0.5)
    assert [isinstance(b, ObjectFailure) for b in bad] == [True] * 4
    words = ("do not fill its 3x2 image", "no compressed RLE", "has no mask", "score of detection 4 in")
    for failure, word in zip(bad, words, strict=True):
        assert word in str(failure)
    (tmp_path / "a.json").write_text(json.dumps([{"image_id": 4}]))
    with pytest.raises(InputError, match=r"detection 0 in .*a.json has no scene_id"):
        read_detections(tmp_path / "a.json")
