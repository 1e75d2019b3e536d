"""The guard: frames that are never trained on, and what they say of new weights without any label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from crisp.adapt.pseudo_labels import Features16, LabelledObject, Masks
from crisp.adapt.recipe import GuardConfig
from crisp.types import Frame

MEDIAN_ERROR = 1.2533  # the standard error of a median over that of a mean, for normal errors
MAD_TO_DEVIATION = 1.4826
FAR = 1e3  # stands for the residual of an object that came to nothing, metres


@dataclass(frozen=True, eq=False)
class Measure:
    """The guard's objects under certain weights, in the order in which they came.

    Args:
        certified: (N,) after correction.
        residual_m: (N,) of what the heads said, before correction; infinite where they came to nothing.
    """

    certified: Bool[np.ndarray, " n"]
    residual_m: Float[np.ndarray, " n"]

    @classmethod
    def of(cls, certified: Sequence[bool], residual_m: Sequence[float]) -> Measure:
        return cls(np.array(certified, dtype=bool), np.array(residual_m, dtype=np.float64))

    def __len__(self) -> int:
        return len(self.certified)

    def and_also(self, other: Measure) -> Measure:
        """Of both measures' objects."""
        return Measure(
            np.concatenate([self.certified, other.certified]),
            np.concatenate([self.residual_m, other.residual_m]),
        )

    @property
    def certified_share(self) -> float:
        return float(self.certified.mean()) if len(self) else 0.0

    @property
    def median_residual_m(self) -> float:
        return float(np.median(self.residual_m)) if len(self) else float("inf")


@dataclass(frozen=True)
class Verdict:
    """Whether new weights are worse than others on the guard, and in words why.

    Args:
        worse: beyond the noise.
        share_change: of the certified share.
        share_error: its standard error, object by object.
        residual_change: of the median residual, as a share: the median of the logarithms of the ratios.
        residual_error: its standard error.
        reasons: a sentence for each figure that got worse.
    """

    worse: bool
    share_change: float
    share_error: float
    residual_change: float
    residual_error: float
    reasons: tuple[str, ...]


def compare(before: Measure, after: Measure, config: GuardConfig) -> Verdict:
    """Both measures are of the same objects: the noise is that of the differences, not of the objects."""
    if len(before) != len(after):
        raise ValueError(f"measures of {len(before)} and of {len(after)} objects cannot be compared")
    share, share_error = _mean_change(after.certified.astype(float) - before.certified.astype(float))
    residual, residual_error = _median_change(_log_ratio(before.residual_m, after.residual_m))
    reasons = []
    if share < -config.noise * share_error:
        reasons.append(
            f"the certified share fell from {before.certified_share:.1%} to {after.certified_share:.1%}, "
            f"by more than {config.noise:g} standard errors of {share_error:.1%}."
        )
    if residual > max(config.noise * residual_error, config.residual_change):
        reasons.append(
            f"the median residual rose by {residual:.1%}, by more than {config.noise:g} standard errors of "
            f"{residual_error:.1%}."
        )
    return Verdict(bool(reasons), share, share_error, residual, residual_error, tuple(reasons))


def _mean_change(change: Float[np.ndarray, " n"]) -> tuple[float, float]:
    if len(change) < 2:
        return 0.0, 0.0
    return float(change.mean()), float(change.std(ddof=1) / len(change) ** 0.5)


def _median_change(change: Float[np.ndarray, " n"]) -> tuple[float, float]:
    if len(change) < 2:
        return 0.0, 0.0
    middle = float(np.median(change))
    deviation = MAD_TO_DEVIATION * float(np.median(np.abs(change - middle)))
    return middle, MEDIAN_ERROR * deviation / len(change) ** 0.5


def _log_ratio(
    before_m: Float[np.ndarray, " n"], after_m: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    tiny = np.finfo(float).tiny
    before, after = (np.clip(np.where(np.isfinite(m), m, FAR), tiny, FAR) for m in (before_m, after_m))
    return np.log(after / before)


Look = Callable[[Frame, Masks, Features16], list[LabelledObject]]


@dataclass(frozen=True, eq=False)
class GuardFrame:
    """A frame that is never trained on; its features are computed once."""

    frame: Frame
    detections: Masks
    features: Features16


class GuardFrames:
    """The frames of this process, and what their objects measured under two sets of weights.

    Attributes:
        start: under the weights that came in.
        good: under the last weights that passed.
    """

    def __init__(self) -> None:
        self.frames: list[GuardFrame] = []
        self.start = self.good = Measure.of([], [])

    @property
    def objects(self) -> int:
        return len(self.start)

    def add(self, item: GuardFrame, *, start: Measure, good: Measure) -> None:
        """A new frame with what its objects measure under both sets of weights."""
        self.frames.append(item)
        self.start, self.good = self.start.and_also(start), self.good.and_also(good)

    def measure(self, look: Look) -> Measure:
        """All objects under the present weights."""
        found = Measure.of([], [])
        for item in self.frames:
            found = found.and_also(measure_of(look(item.frame, item.detections, item.features)))
        return found


def measure_of(seen: Sequence[LabelledObject]) -> Measure:
    """Of every object of a frame that could be cropped; a mask without depth says nothing of weights."""
    counted = [item for item in seen if item.result.pnc is not None]
    return Measure.of([item.found.certified for item in counted], [item.own_residual_m for item in counted])
