"""What a detector would write about a BOP split, made from the labels' own masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

from crisp.data.dataset import Dataset, FrameKey


def compressed(mask: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    """COCO's compressed run lengths, as detectors write them."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def detection(
    key: FrameKey, mask: Bool[np.ndarray, "h w"], *, object_id: int, score: float
) -> dict[str, Any]:
    return {
        "scene_id": key.scene_id,
        "image_id": key.im_id,
        "category_id": object_id,
        "score": score,
        "segmentation": compressed(mask),
    }


def true_detections(dataset: Dataset) -> list[dict[str, Any]]:
    """Every label's visible mask, in order; a frame's first has the score 0.9, the next 0.8 and so on."""
    return [
        detection(key, dataset.mask(key, i.index), object_id=i.object_id, score=0.9 - 0.1 * i.index)
        for key in dataset.keys
        for i in dataset.instances(key)
    ]


def write_detections(path: Path, entries: Sequence[Any]) -> Path:
    path.write_text(json.dumps(list(entries)))
    return path
