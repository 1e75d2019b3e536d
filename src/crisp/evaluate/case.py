"""One labelled object beside what was said of it: what the protocols measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crisp.data.dataset import FrameKey, Instance
from crisp.evaluate.predictions import PredictedObject
from crisp.evaluate.true_model import TrueModel
from crisp.types import Mesh


@dataclass(frozen=True, eq=False)
class Case:
    """One labelled object and what was said of it.

    Args:
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
