"""Where results go: what a sink is given, the null sink, any number of sinks at once, and `results.json`.

A new form of output is one file with a class that overrides what it needs of `NullSink`, and one line in
`crisp.output.registry`. `results.json`, with the meshes beside it, is what every verb that estimates writes
(docs/conventions.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

import crisp
from crisp.documents import read_json
from crisp.errors import InputError, ObjectFailure
from crisp.files import finite, write_whole
from crisp.model import Model
from crisp.shape.mesh import write_ply
from crisp.types import CorrectionSummary, Detection, Frame, Mesh, Result


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


NAME = "results.json"
MESHES = "meshes"
WRITE_EVERY = 10


class ResultsJson(NullSink):
    """Collects frames and writes `results.json` every few of them and at the end, meshes as they come.

    With `Run.resume`, the frames of an earlier run stay, except those of which a file could not be read: they
    are tried again. InputError if that run had another model or other settings.
    """

    def open(self, run: Run) -> frozenset[str]:
        self._folder = run.folder
        self._head = {
            "crisp_version": crisp.__version__,
            "model": {"name": run.model.name, "sha256": run.model.sha256},
            "settings": dict(run.settings) | described(run.model.settings),
        }
        prepare_folder(run.folder)
        if (run.folder / MESHES).exists():  # else it is made with the first mesh
            prepare_folder(run.folder / MESHES)
        self._frames: list[dict[str, Any]] = self._earlier() if run.resume else []
        self._unwritten = 0
        return frozenset(frame["frame_id"] for frame in self._frames)

    def _earlier(self) -> list[dict[str, Any]]:
        path = self._folder / NAME
        if not path.exists():
            return []
        content = read_json(path)
        frames = [frame for frame in content.pop("frames", []) if _whole(frame)]
        if content != json.loads(json.dumps(self._head)):
            raise InputError(f"{path} holds results of another model or other settings: give another --out.")
        return frames

    def forget(self, frame_ids: Iterable[str]) -> None:
        gone = set(frame_ids)
        self._frames = [frame for frame in self._frames if frame["frame_id"] not in gone]

    def add(self, found: FrameResults) -> None:
        objects = []
        for index, result in enumerate(found.results):
            entry = object_entry(index, result)
            if result.mesh is not None:
                entry["mesh"] = f"{MESHES}/{found.frame_id.replace('/', '_')}_{index}.ply"
                write_ply(result.mesh, self._folder / entry["mesh"])
            objects.append(entry | _errors(found, index))
        camera = found.frame.camera
        K = [float(v) for v in camera.K.ravel()]
        said = {"K": K, "width": camera.width, "height": camera.height}
        self._add({"frame_id": found.frame_id, "camera": said, "objects": objects})

    def add_failure(self, frame_id: str, message: str) -> None:
        """The frame is named, with the reason, and holds no objects."""
        self._add({"frame_id": frame_id, "camera": None, "message": message, "objects": []})

    def _add(self, frame: dict[str, Any]) -> None:
        self._frames.append(frame)
        self._unwritten += 1
        if self._unwritten == WRITE_EVERY:
            self._write()

    def _write(self) -> None:
        self._frames.sort(key=lambda frame: frame["frame_id"])
        content = json.dumps(self._head | {"frames": self._frames}, indent=1) + "\n"
        write_whole(self._folder / NAME, content)
        self._unwritten = 0

    def close(self, written: Sequence[Path] = ()) -> tuple[Path]:
        self._write()
        return (self._folder / NAME,)


def _whole(frame: Mapping[str, Any]) -> bool:
    """Whether all of the frame's files could be read; if not, it is tried again."""
    statuses = [entry.get("status") for entry in frame.get("objects", [])]
    return "message" not in frame and "mask_unreadable" not in statuses


def _errors(found: FrameResults, index: int) -> dict[str, Any]:
    truth = found.truths[index] if found.truths else None
    if truth is None:
        return {}
    errors = {"errors": truth.errors, "errors_start": truth.errors_start}
    return {name: asdict(value) for name, value in errors.items() if value is not None}


def object_entry(index: int, result: Result) -> dict[str, Any]:
    """One object as `results.json` has it, but for its mesh and its errors.

    Args:
        index: of the mask that it was estimated from.
    """
    pose = result.T_camera_object
    return {
        "detection": index,
        "status": result.status,
        "message": result.message,
        "label": result.label,
        "track": result.track,
        "T_camera_object": None if pose is None else [[float(v) for v in row] for row in pose],
        "diameter_m": result.diameter_m,
        "inlier_share": result.inlier_share,
        "box_px": None if result.box_px is None else list(result.box_px),
        "mesh": None,
        "correction": _correction(result.correction),
        "certificate": None if result.certificate is None else finite(asdict(result.certificate)),
        "timing_ms": result.timing_ms,
    }


def _correction(found: CorrectionSummary | None) -> dict[str, Any] | None:
    if found is None:
        return None
    names = ("status", "reason", "rounds", "rms_start_m", "rms_m")
    T_start = [[float(v) for v in row] for row in found.T_camera_object_start]
    return finite({name: getattr(found, name) for name in names} | {"T_camera_object_start": T_start})


def described(settings: Any) -> Any:
    """A record of settings as plain JSON, with the kind of every part that has a choice of kinds."""
    if is_dataclass(settings) and not isinstance(settings, type):
        values = {f.name: described(getattr(settings, f.name)) for f in fields(settings)}
        return {"kind": type(settings).__name__} | values
    if isinstance(settings, list | tuple):
        return [described(value) for value in settings]
    return settings
