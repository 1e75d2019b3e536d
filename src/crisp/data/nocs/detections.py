"""The detections that NOCS's authors hand out: Mask R-CNN results, one pickle a frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crisp.data.dataset import Dataset, Detected, DetectedMasks, DetectionsKind, FrameKey, files_digest
from crisp.data.nocs.files import CATEGORIES, is_real
from crisp.data.nocs.reader import NocsDataset
from crisp.data.plain_pickle import read_plain_pickle
from crisp.errors import InputError
from crisp.types import Detection

# The names in the results of NOCS and DualPoseNet, and in those of object-deformnet.
NAMES = {
    "classes": ("pred_class_ids", "class_ids"),
    "masks": ("pred_masks", "masks"),
    "scores": ("pred_scores", "scores"),
}


@dataclass(frozen=True, eq=False)
class CategoryDetection:
    """A detection and the category that the detector gave it."""

    detection: Detection
    category: str


def detections_path(folder: Path, key: FrameKey, *, real: bool) -> Path:
    """A frame's file, such as `results_test_scene_1_0000.pkl` or (CAMERA25) `results_val_00000_0000.pkl`."""
    scene = f"test_scene_{key.scene_id}" if real else f"val_{key.scene_id:05d}"
    return folder / f"results_{scene}_{key.im_id:04d}.pkl"


def read_mask_rcnn(path: Path) -> tuple[CategoryDetection, ...]:
    """The detections of one image, in the file's order.

    Raises:
        InputError: the file is missing, is refused (it names something to execute) or has no masks, classes
            and scores that fit together.
    """
    content = read_plain_pickle(path)
    if isinstance(content, list) and len(content) == 1:  # NOCS's own results are a list of images
        content = content[0]
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a dictionary with {', '.join(n[0] for n in NAMES.values())}.")
    classes, masks, scores = (np.asarray(_entry(content, names, path)) for names in NAMES.values())
    count = len(classes) if classes.ndim == 1 else -1
    if masks.ndim != 3 or masks.shape[2] != count or scores.shape != (count,):
        raise InputError(
            f"{path} must hold masks (H, W, N), N classes and N scores; it holds {masks.shape}, "
            f"{classes.shape} and {scores.shape}."
        )
    if count and not (classes.min() >= 1 and classes.max() <= len(CATEGORIES)):
        raise InputError(f"{path} holds the classes {classes.tolist()}: NOCS's are 1 to {len(CATEGORIES)}.")
    return tuple(
        CategoryDetection(
            Detection(np.ascontiguousarray(masks[:, :, i] > 0), score=float(scores[i])),
            CATEGORIES[int(classes[i]) - 1],
        )
        for i in range(count)
    )


def _entry(content: dict[Any, Any], names: tuple[str, ...], path: Path) -> Any:
    found = [content[name] for name in names if name in content]
    if not found:
        raise InputError(f"{path} has neither {' nor '.join(names)}: it holds no Mask R-CNN results.")
    return found[0]


class NocsDetectedMasks(DetectedMasks):
    """A folder of Mask R-CNN results, one pickle a frame."""

    def __init__(self, path: Path, dataset: NocsDataset, *, min_score: float) -> None:
        super().__init__(path, min_score=min_score)
        self._real, self._keys = is_real(dataset.split), dataset.bare_keys
        if not any(self._path(key).is_file() for key in self._keys):
            raise InputError(
                f"{path} holds no detections for split '{dataset.split}': there should be a file such as "
                f"{self._path(self._keys[0]).name} for each frame."
            )

    def found(self, key: FrameKey) -> tuple[Detected, ...]:
        return tuple(
            Detected(one.detection, one.category)
            for one in read_mask_rcnn(self._path(key))
            if one.detection.score >= self.min_score
        )

    def _path(self, key: FrameKey) -> Path:
        return detections_path(self.path, key, real=self._real)

    def digest(self) -> str:
        return files_digest(self._path(key) for key in self._keys)


def _open(dataset: Dataset, path: Path, min_score: float) -> DetectedMasks:
    assert isinstance(dataset, NocsDataset)
    return NocsDetectedMasks(path, dataset, min_score=min_score)


DETECTIONS = DetectionsKind(
    looks_like="a folder of Mask R-CNN pickles for NOCS",
    recognises=lambda dataset, path: isinstance(dataset, NocsDataset),
    reader=_open,
)
