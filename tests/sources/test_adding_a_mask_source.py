"""A new form of detections is one file with its `DetectionsKind` and one line that registers it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crisp.data.bop.reader import BopDataset
from crisp.evaluate.options import PredictOptions
from crisp.evaluate.predict import predict
from crisp.model import Model
from crisp.sources import masks
from crisp.sources.masks import MaskSource, open_detections

# All that a user writes: one .npy a frame, whose numbers tell the objects apart.
FILE = '''
"""Label images as arrays."""

import numpy as np

from crisp.data.dataset import Detected, DetectedMasks, DetectionsKind
from crisp.types import Detection


class LabelImages(DetectedMasks):
    def found(self, key):
        path = self.path / f"{key.scene_id}_{key.im_id}.npy"
        numbers = np.load(path) if path.is_file() else np.zeros((1, 1))
        return tuple(Detected(Detection(numbers == n, score=1.0)) for n in np.unique(numbers) if n)

    def digest(self):
        return "0"


DETECTIONS = DetectionsKind(
    looks_like="a folder of label images",
    recognises=lambda dataset, path: path.is_dir() and any(path.glob("*.npy")),
    reader=lambda dataset, path, min_score: LabelImages(path, min_score=min_score),
)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bop_root: Path) -> Path:
    """Label images of one frame, with its two masks; their form is registered after the others."""
    (tmp_path / "label_images.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(masks.KINDS, "label-images", "label_images")
    dataset = BopDataset(bop_root, "train")
    key = dataset.keys[0]
    numbers = sum((i + 1) * dataset.mask(key, i).astype(int) for i in range(2))
    (tmp_path / "labels").mkdir()
    np.save(tmp_path / "labels" / f"{key.scene_id}_{key.im_id}.npy", numbers)
    return tmp_path / "labels"


def test_it_gives_the_masks(folder: Path, bop_root: Path) -> None:
    dataset = BopDataset(bop_root, "train")
    source = open_detections(dataset, folder)
    assert isinstance(source, MaskSource)
    found = source.masks(dataset.keys[0])
    for i in range(2):
        np.testing.assert_array_equal(found[i].mask, dataset.mask(dataset.keys[0], i))
    assert source.masks(dataset.keys[1]) == ()


def test_frames_are_estimated_from_them(
    folder: Path, bop_root: Path, tmp_path: Path, flat_model: Model
) -> None:
    options = PredictOptions("train", frames=1, detections=folder)
    assert predict(flat_model, bop_root, options, out=tmp_path / "out") == []
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(results["frames"][0]["objects"]) == 2
    assert results["settings"]["detections"]["file"] == "labels"
