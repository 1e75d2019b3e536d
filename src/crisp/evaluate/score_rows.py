"""What is known of one scored object, and what is said of many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crisp.evaluate.object_errors import (
    BopError,
    Box,
    BoxPair,
    L1Error,
    NormalisedError,
    PoseError,
    ShapeError,
    SquaredError,
)


@dataclass(frozen=True, eq=False)
class ObjectScore:
    """One labelled object.

    Args:
        detection: which of the frame's masks; -1 where a detector has not found the object.
        status: "ok", the estimate's failure, or "missing" where the predictions do not have it.
        confidence: for BOP's results file, and the order in which `bop` and `nocs-map` match.
        frame_seconds: the frame's time, all its objects together.
        pose, shape, normalised, l1, squared, boxes, bop: one for each protocol; None where it was not asked
            for, or (bop) the label is no target.
    """

    frame_id: str
    detection: int
    object_id: int
    name: str
    kind: str
    visib_fract: float
    status: str
    certified: bool | None
    confidence: float
    frame_seconds: float
    T_camera_object: Float[np.ndarray, "4 4"] | None
    pose: PoseError | None = None
    shape: ShapeError | None = None
    normalised: NormalisedError | None = None
    l1: L1Error | None = None
    squared: SquaredError | None = None
    boxes: BoxPair | None = None
    bop: BopError | None = None


@dataclass(frozen=True, eq=False)
class Surplus:
    """An estimate from a detection that is of no label: `bop` and `nocs-map` count it.

    Args:
        object_id: None where the detector names a category alone.
        name: of that object, empty where it is not known.
        box: None unless a protocol needs it, or without a mesh.
    """

    frame_id: str
    detection: int
    object_id: int | None
    name: str
    kind: str
    confidence: float
    frame_seconds: float
    T_camera_object: Float[np.ndarray, "4 4"]
    box: Box | None = None


@dataclass(frozen=True)
class Figure:
    """One number of a summary, with its 95 % interval over frames where one was made."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    protocol: str = ""


@dataclass(frozen=True)
class Summary:
    """All figures of one group of objects.

    Args:
        count: labelled objects.
        failed: those without an estimate.
    """

    group: str
    count: int
    failed: int
    figures: tuple[Figure, ...]

    def figure(self, name: str) -> Figure | None:
        """The one of that name."""
        return next((figure for figure in self.figures if figure.name == name), None)
