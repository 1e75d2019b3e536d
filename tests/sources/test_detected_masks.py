"""Detections as a source of masks: by frame, above a score, and what is damaged alone is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from detections_file import detection, true_detections, write_detections
from replicas import write_nocs, write_spe3r

from crisp.data.bop.reader import BopDataset
from crisp.data.dataset import FrameKey
from crisp.data.layouts import open_dataset
from crisp.errors import InputError, ObjectFailure
from crisp.sources.masks import MasksBeside, MaskSource, open_detections
from crisp.types import Detection


def test_a_bop_file_gives_its_masks_by_frame_above_a_score(bop_root: Path, tmp_path: Path) -> None:
    dataset = BopDataset(bop_root, "train")
    path = write_detections(tmp_path / "found.json", reversed(true_detections(dataset)))
    source = open_detections(dataset, path, min_score=0.8)
    assert isinstance(source, MaskSource) and source.faults == ()
    for key in dataset.keys:
        first, second = source.masks(key)  # in the file's order
        for one, index in ((first, 1), (second, 0)):
            assert isinstance(one, Detection)
            np.testing.assert_array_equal(one.mask, dataset.mask(key, index))
            assert (one.object_id, one.score) == (index + 1, pytest.approx(0.9 - 0.1 * index))
        (kept,) = open_detections(dataset, path, min_score=0.85).masks(key)
        assert isinstance(kept, Detection) and kept.object_id == 1
    assert source.masks(FrameKey(99, 0)) == ()


def test_what_is_damaged_is_lost_alone(bop_root: Path, tmp_path: Path) -> None:
    dataset = BopDataset(bop_root, "train")
    key, mask = dataset.keys[0], dataset.mask(dataset.keys[0], 0)
    good = detection(key, mask, object_id=1, score=0.5)
    torn = good | {"segmentation": {"size": [72, 96], "counts": [7]}}
    placeless = {"score": 1.0, "category_id": 1}
    unsure = torn | {"score": 0.1}
    source = open_detections(
        dataset, write_detections(tmp_path / "f.json", [torn, placeless, good, unsure]), min_score=0.2
    )
    first, second = source.masks(key)
    assert isinstance(first, ObjectFailure) and "do not fill" in str(first)
    assert isinstance(second, Detection)
    assert [one.score for one in source.found(key)] == [0.0, 0.5]
    (fault,) = source.faults
    assert "detection 1 in" in fault and "no scene_id" in fault


def test_settings_tell_files_apart(bop_root: Path, tmp_path: Path) -> None:
    dataset = BopDataset(bop_root, "train")
    entries = true_detections(dataset)
    one = open_detections(dataset, write_detections(tmp_path / "a.json", entries), min_score=0.5).settings
    two = open_detections(dataset, write_detections(tmp_path / "b.json", entries[1:]), min_score=0.5).settings
    assert one["file"] == "a.json" and one["min_score"] == 0.5
    assert len(one["sha256"]) == 64 and one["sha256"] != two["sha256"]


def test_a_nocs_folder_gives_masks_with_categories(tmp_path: Path) -> None:
    write_nocs(tmp_path, "real_test")
    dataset = open_dataset(tmp_path, "real_test")
    folder = tmp_path / "segmentation_results" / "REAL275"
    source = open_detections(dataset, folder)
    key, other = dataset.keys
    assert [one.category for one in source.found(key)] == ["mug", "can"]
    for one, index in zip(source.masks(key), range(2), strict=True):
        assert isinstance(one, Detection)
        np.testing.assert_array_equal(one.mask, dataset.mask(key, index))
    before = source.settings["sha256"]
    next(iter(sorted(folder.iterdir()))).unlink()
    source = open_detections(dataset, folder)
    with pytest.raises(InputError, match=r"results_test_scene_1_0000\.pkl"):
        source.masks(key)
    assert len(source.masks(other)) == 2 and source.settings["sha256"] != before
    shutil.rmtree(folder)
    with pytest.raises(InputError, match=r"holds no detections for split 'real_test'"):
        open_detections(dataset, folder)


def test_spe3r_has_none(tmp_path: Path) -> None:
    write_spe3r(tmp_path)
    dataset = open_dataset(tmp_path, "test")
    with pytest.raises(InputError, match="no detections for"):
        open_detections(dataset, tmp_path / "x.json")
    assert isinstance(MasksBeside(dataset), MaskSource)
    assert len(MasksBeside(dataset).masks(dataset.keys[0])) == 1
