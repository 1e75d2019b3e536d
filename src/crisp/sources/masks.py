"""Masks to estimate from without labels: those beside the frames, or what a detector found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from crisp.data.bop.detections import BopDetections
from crisp.data.bop.reader import BopDataset
from crisp.data.dataset import Dataset, FrameKey, files_digest
from crisp.data.nocs.files import detections_path, is_real, read_mask_rcnn
from crisp.data.nocs.reader import NocsDataset
from crisp.errors import InputError, ObjectFailure
from crisp.types import Detection


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


@dataclass(frozen=True, eq=False)
class Detected:
    """One object that a detector found.

    Args:
        mask: and with BOP's detections the object's id; a failure where it is damaged.
        category: with NOCS's detections; else None.
    """

    mask: Detection | ObjectFailure
    category: str | None = None

    @property
    def score(self) -> float:
        """The detector's; 0 where it is damaged."""
        return self.mask.score if isinstance(self.mask, Detection) else 0.0

    @property
    def object_id(self) -> int | None:
        return self.mask.object_id if isinstance(self.mask, Detection) else None


class DetectedMasks(ABC):
    """What a detector found on a split; detections are read frame by frame, as they are asked for.

    Args:
        path: where they lie.
        min_score: detections with a lower score are left out.

    Attributes:
        faults: a sentence for each detection of which the frame is not known.
    """

    faults: tuple[str, ...] = ()

    def __init__(self, path: Path, *, min_score: float) -> None:
        self.path, self.min_score = path, min_score

    @abstractmethod
    def found(self, key: FrameKey) -> tuple[Detected, ...]:
        """The frame's detections in the detector's order; none where it found nothing.

        Raises:
            InputError: they cannot be read.
        """

    @abstractmethod
    def _digest(self) -> str:
        """SHA-256 of what was read."""

    def masks(self, key: FrameKey) -> tuple[Detection | ObjectFailure, ...]:
        return tuple(one.mask for one in self.found(key))

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """What results depend on: the detections' name, SHA-256, and the least score."""
        return {"file": self.path.resolve().name, "sha256": self._digest(), "min_score": self.min_score}


class BopDetectedMasks(DetectedMasks):
    """A detections file of the BOP challenge."""

    def __init__(self, path: Path, *, min_score: float) -> None:
        super().__init__(path, min_score=min_score)
        self._read = BopDetections(path)
        self.faults = self._read.faults

    def found(self, key: FrameKey) -> tuple[Detected, ...]:
        return tuple(Detected(mask) for mask in self._read.of(key, min_score=self.min_score))

    def _digest(self) -> str:
        return self._read.sha256


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

    def _digest(self) -> str:
        return files_digest(self._path(key) for key in self._keys)


def open_detections(dataset: Dataset, path: str | Path, *, min_score: float = 0.0) -> DetectedMasks:
    """The detections that belong to a data set's layout.

    Args:
        path: BOP: a detections JSON with RLE masks. NOCS: a folder of Mask R-CNN pickles.
        min_score: detections with a lower score are left out.

    Raises:
        InputError: they cannot be read, or the layout (SPE3R) has none.
    """
    path = Path(path)
    if isinstance(dataset, BopDataset):
        return BopDetectedMasks(path, min_score=min_score)
    if isinstance(dataset, NocsDataset):
        return NocsDetectedMasks(path, dataset, min_score=min_score)
    raise InputError(
        f"{dataset.root} is in a layout for which no form of detections is known: leave them out."
    )
