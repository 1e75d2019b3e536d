"""Where results go: what a sink is told and given, the null sink, and any number of sinks at once.

A new form of output is one file with a class that overrides what it needs of `NullSink`, and one line in
`crisp.output.registry`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from crisp.errors import InputError, ObjectFailure
from crisp.model import Model
from crisp.types import Detection, Frame, Mesh, Result


@dataclass(frozen=True, eq=False)
class Run:
    """What all frames of a run have in common.

    Args:
        folder: for all that the sinks write.
        settings: what the results depend on beside the model; plain values, as JSON has them.
        origin: what a reader is told of the results' origin beside the model; shown as it is, a line each.
        frames: how many the run has in all.
        resume: go on with what an earlier run left in the folder; otherwise it is written anew.
    """

    folder: Path
    model: Model
    settings: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    frames: int = 1
    resume: bool = False


@dataclass(frozen=True)
class Truth:
    """Errors of one object, where the truth is known. Lengths in metres."""

    add_s_m: float
    rotation_deg: float
    translation_m: float
    chamfer_m: float | None = None


@dataclass(frozen=True, eq=False)
class ObjectTruth:
    """What is known of a detected object, and how far its estimate is from it.

    Args:
        name: the object's.
        T_camera_object: (4, 4) the true pose.
        errors: None where there is no estimate to compare.
        errors_start: of the estimate before the corrector; None where that is unknown.
        right: whether the estimate counts as right, as a certificate claims; None where that is unknown.
        symmetric: it has declared symmetries, so rotations that they make equal count as right.
        visible_share: of its silhouette; None where it is unknown.
    """

    name: str
    mesh: Mesh
    T_camera_object: Float[np.ndarray, "4 4"]
    errors: Truth | None
    errors_start: Truth | None = None
    right: bool | None = None
    symmetric: bool = False
    visible_share: float | None = None


@dataclass(frozen=True, eq=False)
class FrameResults:
    """One frame and all that was found in it.

    Args:
        detections, results: one for each mask, in order.
        truths: one for each result where anything is known; else empty.
        starts: each result as it was before the corrector, where the caller has them; else None, and a sink
            that wants them makes them (`crisp.output.report.network_alone`).

    Raises:
        ValueError: lists that do not line up.
    """

    frame: Frame
    detections: Sequence[Detection | ObjectFailure]
    results: Sequence[Result]
    truths: Sequence[ObjectTruth | None] = ()
    starts: Sequence[Result | None] | None = None

    def __post_init__(self) -> None:
        for name in ("detections", "truths", "starts"):
            given = getattr(self, name)
            if (given or name == "detections") and len(given) != len(self.results):
                raise ValueError(f"there are {len(given)} {name} for {len(self.results)} results")

    @property
    def frame_id(self) -> str:
        return self.frame.frame_id


@runtime_checkable
class Sink(Protocol):
    """Takes the results of a run, frame by frame.

    All methods raise InputError for what cannot be written.
    """

    def open(self, run: Run) -> frozenset[str] | None:
        """Prepare for a run, before any long work.

        Returns:
            The ids of the frames that an earlier run finished and that this sink still has; None if it does
            not care. A frame is estimated again unless every sink that cares has it.
        """

    def forget(self, frame_ids: Iterable[str]) -> None:
        """Frames of an earlier run that will come again, told before the first of them comes."""

    def add(self, found: FrameResults) -> None:
        """One frame's results."""

    def add_failure(self, frame_id: str, message: str) -> None:
        """A frame that could not be read, with the reason as a sentence."""

    def close(self, written: Sequence[Path] = ()) -> Sequence[Path]:
        """The run is over.

        Args:
            written: what the sinks before this one returned.

        Returns:
            The files or folders that a reader should be told of.
        """


class NullSink:
    """Takes all and keeps nothing: the default, and the base of the others."""

    def open(self, run: Run) -> frozenset[str] | None:
        return None

    def forget(self, frame_ids: Iterable[str]) -> None:
        pass

    def add(self, found: FrameResults) -> None:
        pass

    def add_failure(self, frame_id: str, message: str) -> None:
        pass

    def close(self, written: Sequence[Path] = ()) -> Sequence[Path]:
        return ()


class Sinks(NullSink):
    """Any number of sinks as one; with none, the null sink."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def open(self, run: Run) -> frozenset[str] | None:
        """As for one sink; the run's folder is made first."""
        if self._sinks:
            prepare_folder(run.folder)
        finished = [done for sink in self._sinks if (done := sink.open(run)) is not None]
        return frozenset.intersection(*finished) if finished else None

    def forget(self, frame_ids: Iterable[str]) -> None:
        gone = tuple(frame_ids)
        for sink in self._sinks:
            sink.forget(gone)

    def add(self, found: FrameResults) -> None:
        for sink in self._sinks:
            sink.add(found)

    def add_failure(self, frame_id: str, message: str) -> None:
        for sink in self._sinks:
            sink.add_failure(frame_id, message)

    def close(self, written: Sequence[Path] = ()) -> Sequence[Path]:
        paths = list(written)
        for sink in self._sinks:
            paths += sink.close(tuple(paths))
        return tuple(paths)


def write_results(sink: Sink, run: Run, found: FrameResults) -> Sequence[Path]:
    """A run of one frame: open, add, close. Returns what `close` does."""
    sink.open(run)
    sink.add(found)
    return sink.close()


def prepare_folder(folder: Path) -> None:
    """Make an output folder and prove that it can be written, before any long work.

    Raises:
        InputError: it cannot be made or written.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot write to the output folder {folder} ({reason}).") from error
