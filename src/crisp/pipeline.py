"""The method's figure: from one frame and its detections to a result for each of them.

A variation (another registration, another corrector, none) is another stage handed in, never a mode.
`crisp.stages` has the standard ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from crisp.errors import ObjectFailure
from crisp.objects import Objects
from crisp.types import Detection, Frame, Result

Stage = Callable[[Objects], Objects]
"""Takes the objects of a frame with what is known of them, and gives them back with more."""


@dataclass(frozen=True)
class Stages:
    """The parts that `process` is made of; each sees all objects of a frame that are still alive.

    Args:
        cut: gives crops, or says why there is none.
        predict: gives the network's prediction.
        register: gives estimates, or says why there is none.
        correct: gives other estimates; one that cannot be corrected stays as it was.
        certify: gives certificates; an estimate that cannot be trusted gets one that says so.
        reconstruct: gives meshes, or says why there is none.
        name: says which known object each is, as far as it can; without it nothing is named.
    """

    cut: Stage
    predict: Stage
    register: Stage
    correct: Stage
    certify: Stage
    reconstruct: Stage
    name: Stage = lambda objects: objects


def estimate(frame: Frame, detections: Sequence[Detection | ObjectFailure], stages: Stages) -> list[Result]:
    """One result per detection, in order, never fewer; a failed object does not touch the others.

    A detection may have failed before it came here, because its mask could not be read.
    """
    return process(frame, detections, stages).results()


def process(frame: Frame, detections: Sequence[Detection | ObjectFailure], stages: Stages) -> Objects:
    """As `estimate`, with all that the stages found."""
    clock = Clock()
    objects = Objects.of(frame, detections)
    with clock.time("crop"):
        objects = stages.cut(objects)
    count = len(objects.alive)
    if count:
        with clock.time("network"):
            objects = stages.predict(objects)
        with clock.time("register"):
            objects = stages.register(objects)
        with clock.time("correct"):
            objects = stages.correct(objects)
        with clock.time("certify"):
            objects = stages.certify(objects)
        objects = stages.name(objects)
        with clock.time("mesh"):
            objects = stages.reconstruct(objects)
    return replace(objects, timing_ms=clock.ms_per_object(count))


@dataclass
class Clock:
    """Wall time by stage. A GPU's queue is emptied before each reading."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        start = self._now()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self._now() - start

    def ms_per_object(self, objects: int) -> dict[str, float]:
        return {stage: round(1000 * s / max(objects, 1), 3) for stage, s in self.seconds.items()}

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()
