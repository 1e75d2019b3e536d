"""Reads what an estimate run wrote: `results.json` and the meshes beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from crisp.data.dataset import Dataset, FrameKey
from crisp.documents import read_record
from crisp.errors import InputError
from crisp.shape.mesh import read_ply
from crisp.sources.frames import numbers
from crisp.types import Mesh

RIGID_TOLERANCE = 1e-4


@dataclass(frozen=True)
class StoredVerdict:
    """Of a certificate in `results.json` what is scored."""

    certified: bool


@dataclass(frozen=True)
class StoredPrediction:
    """Of an object in `results.json` what is scored; its pose is 16 numbers, row by row, flat or nested."""

    detection: int
    status: str
    T_camera_object: Any = None
    mesh: str | None = None
    certificate: StoredVerdict | None = None
    inlier_share: float | None = None
    timing_ms: Mapping[str, float] | None = None


@dataclass(frozen=True)
class StoredFrame:
    """A frame in `results.json`."""

    frame_id: str
    objects: tuple[StoredPrediction, ...]


@dataclass(frozen=True)
class StoredModel:
    """The model in `results.json`."""

    name: str = "unknown"


@dataclass(frozen=True)
class StoredResults:
    """Of `results.json` what is scored; settings are free JSON values."""

    frames: tuple[StoredFrame, ...]
    model: StoredModel = field(default_factory=StoredModel)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PredictedObject:
    """One object of a frame as `results.json` has it.

    Args:
        detection: which of the frame's masks it was estimated from, counted from 0.
        status: "ok", or what was missing; then the pose does not count.
        T_camera_object: (4, 4) float64, metres; None where there is none.
        mesh_path: of the PLY file, metres, object frame; None where there is none.
        certified: the certificate's verdict; None where none was made.
        confidence: the registration's inlier share, 1 where the file does not say.
        seconds: all stages together.
    """

    detection: int
    status: str
    T_camera_object: Float[np.ndarray, "4 4"] | None
    mesh_path: Path | None
    certified: bool | None
    confidence: float
    seconds: float

    def mesh(self) -> Mesh | None:
        """The estimated shape.

        Raises:
            InputError: the file that `results.json` names is missing or no mesh.
        """
        return None if self.mesh_path is None else read_ply(self.mesh_path)


@dataclass(frozen=True, eq=False)
class Predictions:
    """A predictions folder.

    Args:
        model_name: of the model that made them.
        settings: of the run that made them.
        sha256: of `results.json`.
        frames: objects by frame id, such as "000001/000003", and then by detection.
    """

    model_name: str
    settings: Mapping[str, Any]
    sha256: str
    frames: Mapping[str, Mapping[int, PredictedObject]]


def read_predictions(folder: Path) -> Predictions:
    """Read and check `results.json`; meshes are read when asked for.

    Raises:
        InputError: the file is missing or not of the documented form.
    """
    path = folder / "results.json"
    stored = read_record(path, StoredResults, strangers=True)
    frames = {frame.frame_id: _objects(frame.objects, folder) for frame in stored.frames}
    if len(frames) < len(stored.frames):
        raise InputError(f"{path} names a frame twice: each frame must be there once.")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Predictions(stored.model.name, stored.settings, sha256, frames)


def frames_of(predictions: Predictions, dataset: Dataset) -> dict[str, FrameKey]:
    """All frames of the data set by their ids, once it is known to have those that were predicted.

    Raises:
        InputError: it lacks one of them.
    """
    known = {key.frame_id: key for key in dataset.bare_keys}
    if strangers := sorted(set(predictions.frames) - set(known)):
        raise InputError(
            f"the predictions hold frame {strangers[0]}, which split '{dataset.split}' of {dataset.root} "
            "does not have: they belong to another data set or split."
        )
    return known


def _objects(entries: Sequence[StoredPrediction], folder: Path) -> dict[int, PredictedObject]:
    objects = [_object(entry, folder) for entry in entries]
    by_detection = {predicted.detection: predicted for predicted in objects}
    if len(by_detection) < len(objects):
        raise InputError(f"{folder / 'results.json'} has two objects of one detection in a frame.")
    return by_detection


def _object(entry: StoredPrediction, folder: Path) -> PredictedObject:
    T, source = entry.T_camera_object, str(folder / "results.json")
    if entry.status == "ok" and T is None:
        raise InputError(f"{source} has an object with status ok but no T_camera_object.")
    return PredictedObject(
        detection=entry.detection,
        status=entry.status,
        T_camera_object=None if T is None else _rigid(T, source),
        mesh_path=None if entry.mesh is None else folder / entry.mesh,
        certified=None if entry.certificate is None else entry.certificate.certified,
        confidence=1.0 if entry.inlier_share is None else entry.inlier_share,
        seconds=sum((entry.timing_ms or {}).values()) / 1000,
    )


def _rigid(values: Any, source: str) -> Float[np.ndarray, "4 4"]:
    T = numbers(values, count=16, what=f"T_camera_object in {source}").reshape(4, 4)
    R = T[:3, :3]
    if not np.allclose(R @ R.T, np.eye(3), atol=RIGID_TOLERANCE) or np.linalg.det(R) < 0:
        raise InputError(f"a T_camera_object in {source} is not a rigid motion.")
    return T
