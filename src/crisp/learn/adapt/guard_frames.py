"""The guard's frames, looked at again under other weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crisp.learn.adapt.guard import Measure
from crisp.learn.adapt.seen import Features16, Masks, SeenObject
from crisp.types import Frame

Look = Callable[[Frame, Masks, Features16], list[SeenObject]]


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


def measure_of(seen: Sequence[SeenObject]) -> Measure:
    """Of every object of a frame that could be cropped; a mask without depth says nothing of weights."""
    counted = [item for item in seen if item.result.pnc is not None]
    return Measure.of([item.certified for item in counted], [item.own_residual_m for item in counted])
