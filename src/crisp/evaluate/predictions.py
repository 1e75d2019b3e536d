"""Reads what an estimate run wrote: `results.json` and the meshes beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from crisp.data.dataset import Dataset, FrameKey
from crisp.errors import InputError
from crisp.shape.mesh import read_ply
from crisp.sources.frames import numbers, read_json
from crisp.types import Mesh

RIGID_TOLERANCE = 1e-4


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
    content = read_json(path)
    try:
        frames = {str(f["frame_id"]): _objects(f["objects"], folder) for f in content["frames"]}
        name = str(content.get("model", {}).get("name", "unknown"))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not of the form that `crisp estimate` writes: {error!r}.") from error
    if len(frames) < len(content["frames"]):
        raise InputError(f"{path} names a frame twice: each frame must be there once.")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Predictions(name, content.get("settings", {}), sha256, frames)


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


def _objects(entries: list[Mapping[str, Any]], folder: Path) -> dict[int, PredictedObject]:
    objects = [_object(entry, folder) for entry in entries]
    by_detection = {predicted.detection: predicted for predicted in objects}
    if len(by_detection) < len(objects):
        raise InputError(f"{folder / 'results.json'} has two objects of one detection in a frame.")
    return by_detection


def _object(entry: Mapping[str, Any], folder: Path) -> PredictedObject:
    T = entry.get("T_camera_object")
    if entry["status"] == "ok" and T is None:
        raise InputError(f"{folder / 'results.json'} has an object with status ok but no T_camera_object.")
    certificate, mesh = entry.get("certificate"), entry.get("mesh")
    share = entry.get("inlier_share")
    return PredictedObject(
        detection=int(entry["detection"]),
        status=str(entry["status"]),
        T_camera_object=None if T is None else _rigid(T, str(folder / "results.json")),
        mesh_path=None if mesh is None else folder / mesh,
        certified=None if certificate is None else bool(certificate["certified"]),
        confidence=1.0 if share is None else float(share),
        seconds=sum((entry.get("timing_ms") or {}).values()) / 1000,
    )


def _rigid(values: Any, source: str) -> Float[np.ndarray, "4 4"]:
    T = numbers(values, count=16, what=f"T_camera_object in {source}").reshape(4, 4)
    R = T[:3, :3]
    if not np.allclose(R @ R.T, np.eye(3), atol=RIGID_TOLERANCE) or np.linalg.det(R) < 0:
        raise InputError(f"a T_camera_object in {source} is not a rigid motion.")
    return T
