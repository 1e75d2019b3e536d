"""`results.json` and the meshes beside it: what every verb that estimates writes (docs/conventions.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import crisp
from crisp.errors import InputError
from crisp.files import finite, write_whole
from crisp.geometry.camera import Camera
from crisp.model import Model
from crisp.shape.mesh import write_ply
from crisp.sources.frames import read_json
from crisp.types import CorrectionSummary, Result

MESHES = "meshes"


@dataclass(frozen=True)
class Truth:
    """Errors of one object, where the truth is known. Lengths in metres."""

    add_s_m: float
    rotation_deg: float
    translation_m: float
    chamfer_m: float | None = None


@dataclass(frozen=True, eq=False)
class FrameResults:
    """All results of one frame.

    Args:
        errors: one for each result where the truth is known; else empty.
        errors_start: of what the network alone had said, where that was corrected; else empty.
    """

    frame_id: str
    camera: Camera
    results: Sequence[Result]
    errors: Sequence[Truth | None] = field(default=())
    errors_start: Sequence[Truth | None] = field(default=())


class ResultsWriter:
    """Collects frames and writes `results.json` into a folder, meshes as they come.

    Args:
        settings: of this run beside the model's own; they are written down with the results.
        resume: keep the frames of an earlier run with the same model and settings.

    Raises:
        InputError: the folder cannot be written, or (with `resume`) holds results of another model or of
            other settings, or a `results.json` that is none.
    """

    def __init__(
        self, folder: Path, model: Model, settings: Mapping[str, Any], *, resume: bool = False
    ) -> None:
        self._folder = folder
        self._head = {
            "crisp_version": crisp.__version__,
            "model": {"name": model.name, "sha256": model.sha256},
            "settings": dict(settings) | described(model.settings),
        }
        prepare_folder(folder)
        if (folder / MESHES).exists():  # else it is made with the first mesh
            prepare_folder(folder / MESHES)
        self._frames: list[dict[str, Any]] = self._earlier() if resume else []

    @property
    def frame_ids(self) -> set[str]:
        """Frames that are already there."""
        return {frame["frame_id"] for frame in self._frames}

    def forget(self, frame_ids: Iterable[str]) -> None:
        """Frames of an earlier run that are to be written anew."""
        gone = set(frame_ids)
        self._frames = [frame for frame in self._frames if frame["frame_id"] not in gone]

    def _earlier(self) -> list[dict[str, Any]]:
        path = self._folder / "results.json"
        if not path.exists():
            return []
        content = read_json(path)
        frames = [frame for frame in content.pop("frames", []) if _whole(frame)]
        if content != json.loads(json.dumps(self._head)):
            raise InputError(f"{path} holds results of another model or other settings: give another --out.")
        return frames

    def add(self, frame: FrameResults) -> None:
        objects = []
        for index, result in enumerate(frame.results):
            entry = _object(index, result)
            if result.mesh is not None:
                entry["mesh"] = f"{MESHES}/{frame.frame_id.replace('/', '_')}_{index}.ply"
                write_ply(result.mesh, self._folder / entry["mesh"])
            for name, errors in (("errors", frame.errors), ("errors_start", frame.errors_start)):
                if index < len(errors) and (truth := errors[index]) is not None:
                    entry[name] = asdict(truth)
            objects.append(entry)
        K = [float(v) for v in frame.camera.K.ravel()]
        camera = {"K": K, "width": frame.camera.width, "height": frame.camera.height}
        self._frames.append({"frame_id": frame.frame_id, "camera": camera, "objects": objects})

    def add_failure(self, frame_id: str, message: str) -> None:
        """A frame that could not be read: it is named, with the reason, and holds no objects."""
        self._frames.append({"frame_id": frame_id, "camera": None, "message": message, "objects": []})

    def write(self) -> Path:
        """Write `results.json` (through a temporary name) and return its path."""
        path = self._folder / "results.json"
        self._frames.sort(key=lambda frame: frame["frame_id"])
        write_whole(path, json.dumps(self._head | {"frames": self._frames}, indent=1) + "\n")
        return path


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


def _whole(frame: Mapping[str, Any]) -> bool:
    """Whether all of the frame's files could be read; if not, it is tried again."""
    statuses = [entry.get("status") for entry in frame.get("objects", [])]
    return "message" not in frame and "mask_unreadable" not in statuses


def _object(index: int, result: Result) -> dict[str, Any]:
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
