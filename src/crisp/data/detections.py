"""What a detector found on a split, in whatever form: masks with scores, frame by frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from crisp.data.dataset import Dataset, FrameKey
from crisp.errors import ObjectFailure
from crisp.types import Detection


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
    """Detections of a split, read frame by frame as they are asked for; satisfies `MaskSource`.

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
    def digest(self) -> str:
        """SHA-256 of what was read."""

    def masks(self, key: FrameKey) -> tuple[Detection | ObjectFailure, ...]:
        return tuple(one.mask for one in self.found(key))

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """What results depend on: the detections' name, SHA-256, and the least score."""
        return {"file": self.path.resolve().name, "sha256": self.digest(), "min_score": self.min_score}


@dataclass(frozen=True)
class DetectionsKind:
    """A form in which detections come.

    Args:
        looks_like: what it is, for a sentence.
        recognises: whether a path holds this form of detections for a data set.
        reader: opens them, leaving out lower scores; raises InputError where they cannot be read.
    """

    looks_like: str
    recognises: Callable[[Dataset, Path], bool]
    reader: Callable[[Dataset, Path, float], DetectedMasks]
