"""`results.json` and the meshes beside it: what every verb that estimates writes (docs/conventions.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import crisp
from crisp.errors import InputError
from crisp.files import finite, write_whole
from crisp.output.sink import FrameResults, NullSink, Run, prepare_folder
from crisp.shape.mesh import write_ply
from crisp.sources.frames import read_json
from crisp.types import CorrectionSummary, Result

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
