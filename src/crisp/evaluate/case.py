"""One labelled object beside what was said of it, or an estimate of none: what the protocols measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crisp.data.dataset import FrameKey, Instance
from crisp.evaluate.predictions import PredictedObject
from crisp.evaluate.true_model import TrueModel
from crisp.types import Mesh

NO_DETECTION = -1


@dataclass(frozen=True, eq=False)
class Case:
    """One labelled object and what was said of it.

    Args:
        detection: number of the mask that it was estimated from; NO_DETECTION where no detection is of it.
        predicted: None where the predictions do not have it.
        T, mesh: of the estimate; None unless its status is ok and the protocols need them.
    """

    key: FrameKey
    detection: int
    instance: Instance
    truth: TrueModel
    predicted: PredictedObject | None
    T: Float[np.ndarray, "4 4"] | None
    mesh: Mesh | None

    @property
    def confidence(self) -> float:
        return 0.0 if self.predicted is None else self.predicted.confidence


@dataclass(frozen=True, eq=False)
class Loose:
    """An estimate whose detection is of no label.

    Args:
        detection: its place among the frame's detections.
        object_id: as the detector says; None where it names a category alone.
        name: of that object, empty where it is not known.
        kind: the category.
        T, mesh: as of a case.
    """

    key: FrameKey
    detection: int
    object_id: int | None
    name: str
    kind: str
    confidence: float
    T: Float[np.ndarray, "4 4"]
    mesh: Mesh | None
