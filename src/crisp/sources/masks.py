"""Masks to estimate from without labels: those beside the frames, or what a detector found.

A new form of detections is one file with its `DetectionsKind`, and one line here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

from crisp.data.dataset import Dataset, DetectedMasks, DetectionsKind, FrameKey
from crisp.errors import InputError, ObjectFailure
from crisp.types import Detection

# Asked from the last to the first, as the first two take any path for their sets; each module has its
# `DETECTIONS`, imported when it is needed.
KINDS = {
    "bop": "crisp.data.bop.detections",
    "mask-rcnn": "crisp.data.nocs.detections",
}


@runtime_checkable
class MaskSource(Protocol):
    """Gives a frame's masks, always in the same order, and opens no label for it."""

    def masks(self, key: FrameKey) -> tuple[Detection | ObjectFailure, ...]:
        """Of one frame.

        Raises:
            InputError: the frame's masks cannot be read.
        """


@dataclass(frozen=True, eq=False)
class MasksBeside:
    """The masks that lie beside the frames."""

    dataset: Dataset

    def masks(self, key: FrameKey) -> tuple[Detection | ObjectFailure, ...]:
        return self.dataset.given_masks(key)


def open_detections(dataset: Dataset, path: str | Path, *, min_score: float = 0.0) -> DetectedMasks:
    """A detector's masks, in the last registered form that recognises them.

    Args:
        path: for a BOP set a detections JSON with RLE masks, for NOCS a folder of Mask R-CNN pickles.
        min_score: detections with a lower score are left out.

    Raises:
        InputError: they cannot be read, or no form of detections is known for such a data set.
    """
    path = Path(path)
    kinds: list[DetectionsKind] = [import_module(place).DETECTIONS for place in KINDS.values()]
    for kind in reversed(kinds):
        if kind.recognises(dataset, path):
            return kind.reader(dataset, path, min_score)
    forms = " or ".join(kind.looks_like for kind in kinds)
    raise InputError(f"no detections for {dataset.root} can be read from {path}: give {forms}.")
