"""Which label a detection is of: after the fact, for scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from crisp.data.dataset import Dataset, Detected, DetectedMasks, FrameKey
from crisp.errors import InputError
from crisp.sources.masks import open_detections
from crisp.types import Detection

LEAST_OVERLAP = 0.5
"""Intersection over union of a detection's mask and of a label's visible one, from which on they are of one
object."""
MATCHING = f"visible masks of one object or category, IoU >= {LEAST_OVERLAP:g}, the best pairs first"


def labels_of_detections(
    dataset: Dataset, key: FrameKey, detected: Sequence[Detected]
) -> tuple[int | None, ...]:
    """For each detection of a frame the index of its label, or None: one label to a detection at most.

    Pairs are taken by falling overlap of their masks, among those of one object (BOP's detections name it) or
    category (NOCS's).

    Raises:
        InputError: the frame has no labels, or they cannot be read.
    """
    if not detected:
        return ()
    labels = dataset.instances(key)
    seen = [dataset.detection(key, label.index) for label in labels]
    pairs = [
        (_overlap(one.mask.mask, other.mask), i, label.index)
        for i, one in enumerate(detected)
        for label, other in zip(labels, seen, strict=True)
        if isinstance(one.mask, Detection)
        and isinstance(other, Detection)
        and may_be(one, dataset, label.object_id)
    ]
    found: dict[int, int] = {}
    for overlap, i, index in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])):
        if overlap >= LEAST_OVERLAP and i not in found and index not in found.values():
            found[i] = index
    return tuple(found.get(i) for i in range(len(detected)))


def may_be(one: Detected, dataset: Dataset, object_id: int) -> bool:
    """Whether a detector means a certain object by a detection."""
    if one.category is None:
        return one.object_id == object_id
    return dataset.object(object_id).kind == one.category


def _overlap(one: Bool[np.ndarray, "h w"], other: Bool[np.ndarray, "i j"]) -> float:
    if one.shape != other.shape:
        return 0.0
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 0.0


def detections_of(settings: Mapping[str, Any], dataset: Dataset, path: Path | None) -> DetectedMasks | None:
    """The detections that predictions were made from; None where they were made from the labels' masks.

    Args:
        settings: of the predictions.
        path: where the detections lie.

    Raises:
        InputError: they were made from detections and the path is missing or leads to others, or the other
            way round.
    """
    said = settings.get("detections")
    if said is None and path is None:
        return None
    if said is None:
        raise InputError("the predictions were not made from detections: leave --detections out.")
    if path is None:
        raise InputError(f"the predictions were made from the detections {said['file']}: give --detections.")
    found = open_detections(dataset, path, min_score=float(said["min_score"]))
    if found.settings["sha256"] != said["sha256"]:
        raise InputError(f"{path} is not what the predictions were made from: its SHA-256 is another.")
    return found
