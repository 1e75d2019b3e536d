"""The method's figure: from one frame and its detections to a result for each of them, in order.

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
from crisp.geometry.points import diameter
from crisp.types import Certificate, Crop, Detection, Estimate, Frame, Mesh, Prediction, Result


@dataclass(frozen=True)
class Stages:
    """The parts that `estimate` is made of; each takes all objects of a frame at once.

    `correct` and `certify` answer for every object that reaches them: an estimate that cannot be corrected
    stays as it was, one that cannot be trusted gets a certificate that says so. `name` says which known
    object each is, as far as it can; without it nothing is named.
    """

    cut: Callable[[Frame, Sequence[Detection | ObjectFailure]], list[Crop | ObjectFailure]]
    predict: Callable[[Sequence[Crop]], Prediction]
    register: Callable[[Prediction, Sequence[Crop]], list[Estimate | ObjectFailure]]
    correct: Callable[[Sequence[Estimate], Prediction, Sequence[Crop]], list[Estimate]]
    certify: Callable[[Sequence[Estimate], Frame, Sequence[Detection]], list[Certificate | None]]
    reconstruct: Callable[[Sequence[Estimate]], list[Mesh | ObjectFailure]]
    name: Callable[[Sequence[Estimate], Sequence[Certificate | None]], list[str | None]] = (
        lambda estimates, certificates: [None] * len(estimates)
    )


def estimate(frame: Frame, detections: Sequence[Detection | ObjectFailure], stages: Stages) -> list[Result]:
    """One result per detection, in order, never fewer; a failed object does not touch its siblings.

    A detection may have failed before it came here, because its mask could not be read.
    """
    clock = Clock()
    board = _Board(detections)
    with clock.time("crop"):
        crops = board.keep(stages.cut(frame, detections))
    cropped = len(crops)
    if crops:
        with clock.time("network"):
            prediction = stages.predict(crops)
        board.seen(crops, prediction)
        with clock.time("register"):
            estimates = board.keep(stages.register(prediction, crops))
        prediction, crops = prediction.take(board.kept), [crops[i] for i in board.kept]
        with clock.time("correct"):
            estimates = stages.correct(estimates, prediction, crops)
        with clock.time("certify"):
            certificates = stages.certify(estimates, frame, board.detections())
        board.posed(estimates, certificates, names=stages.name(estimates, certificates))
        with clock.time("mesh"):
            meshes = board.keep(stages.reconstruct(estimates))
        board.shaped(meshes)
    return board.results(clock.ms_per_object(cropped))


class _Board:
    """Results under way. `keep` takes a stage's outputs for the objects still alive and drops the failed."""

    def __init__(self, detections: Sequence[Detection | ObjectFailure]) -> None:
        self._detections = detections
        self._alive = list(range(len(detections)))
        self._results = [Result(status="ok") for _ in detections]
        self.kept: list[int] = []  # places of the objects alive in the list that `keep` saw last

    def keep(self, outputs: Sequence[object]) -> list:
        kept = []
        self.kept, alive = [], []
        for place, (slot, output) in enumerate(zip(self._alive, outputs, strict=True)):
            if isinstance(output, ObjectFailure):
                self._set(slot, status=output.status, message=output.message)
            else:
                kept.append(output)
                self.kept.append(place)
                alive.append(slot)
        self._alive = alive
        return kept

    def detections(self) -> list[Detection]:
        """Of the objects still alive."""
        chosen = [self._detections[slot] for slot in self._alive]
        return [item for item in chosen if isinstance(item, Detection)]

    def seen(self, crops: Sequence[Crop], prediction: Prediction) -> None:
        for slot, seen, pnc in zip(self._alive, crops, prediction.pnc, strict=True):
            self._set(slot, box_px=seen.box_px, pnc=pnc.cpu().numpy(), valid=seen.valid.numpy())

    def posed(
        self,
        estimates: Sequence[Estimate],
        certificates: Sequence[Certificate | None],
        *,
        names: Sequence[str | None],
    ) -> None:
        rows = zip(self._alive, estimates, certificates, names, strict=True)
        for slot, found, certificate, name in rows:
            self._set(
                slot,
                label=name,
                T_camera_object=found.T_camera_object.cpu().numpy(),
                shape_code=found.shape_code.cpu().numpy(),
                inlier_share=found.inlier_share,
                correction=found.correction,
                certificate=certificate,
            )

    def shaped(self, meshes: Sequence[Mesh]) -> None:
        for slot, mesh in zip(self._alive, meshes, strict=True):
            self._set(slot, mesh=mesh, diameter_m=diameter(mesh.vertices))

    def results(self, timing_ms: dict[str, float]) -> list[Result]:
        return [replace(result, timing_ms=timing_ms) for result in self._results]

    def _set(self, slot: int, **values: object) -> None:
        self._results[slot] = replace(self._results[slot], **values)  # type: ignore[arg-type]


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
