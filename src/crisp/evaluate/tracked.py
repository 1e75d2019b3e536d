"""How the frames of a split are estimated: each for itself, or in order, with the tracks of their scene."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from crisp.data.dataset import Dataset, FrameKey
from crisp.errors import InputError, ObjectFailure, naming
from crisp.frame_files import read_json
from crisp.model import Model
from crisp.results import described
from crisp.track_matching import checked_names
from crisp.types import Detection, Frame, Result

Detections = Sequence[Detection | ObjectFailure]


@runtime_checkable
class Estimating(Protocol):
    """Estimates the frames of a split."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What results depend on beside the model and the set."""

    def unfinished(self, keys: Sequence[FrameKey], done: Collection[str]) -> list[FrameKey]:
        """The frames still to be estimated, in order, where those with the ids `done` are there already."""

    def estimate(self, key: FrameKey, frame: Frame, detections: Detections) -> list[Result]:
        """One result for each detection."""


def estimating(
    model: Model, dataset: Dataset, keys: Sequence[FrameKey], *, tracks: str | Path | None
) -> Estimating:
    """Each frame for itself where `tracks` is None; else see `TrackedViews`."""
    return SingleViews(model) if tracks is None else TrackedViews(model, dataset, keys, tracks=tracks)


class SingleViews:
    """Each frame for itself."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.settings: Mapping[str, Any] = {}

    def unfinished(self, keys: Sequence[FrameKey], done: Collection[str]) -> list[FrameKey]:
        return [key for key in keys if key.frame_id not in done]

    def estimate(self, key: FrameKey, frame: Frame, detections: Detections) -> list[Result]:
        return self._model.estimate(frame, detections)


class TrackedViews:
    """The frames of each scene in order: objects with the points of their earlier frames; new tracks a scene.

    Args:
        keys: the frames that will be asked for.
        tracks: "auto" needs the camera's pose in every frame; else a JSON file: {frame id: [a name, or null,
            for each of the frame's masks, in order]}. Labels are never asked.

    Raises:
        InputError: no corrector or certificate, a frame without a camera's pose, or a file that does not fit.
    """

    def __init__(
        self, model: Model, dataset: Dataset, keys: Sequence[FrameKey], *, tracks: str | Path
    ) -> None:
        self._tracker, self._dataset = model.tracker(), dataset
        self._scene: int | None = None
        self._ids = None if str(tracks) == "auto" else read_track_ids(Path(tracks))
        said = "auto"
        if self._ids is None:
            _require_camera_poses(dataset, keys)
        else:
            _require_ids(self._ids, keys, source=str(tracks))
            said = hashlib.sha256(json.dumps(self._ids, sort_keys=True).encode()).hexdigest()
        self.settings: Mapping[str, Any] = {"tracks": said, "tracking": described(self._tracker.config)}

    def unfinished(self, keys: Sequence[FrameKey], done: Collection[str]) -> list[FrameKey]:
        """Scenes are done whole or again: a later frame needs what the earlier ones left in its tracks."""
        open_scenes = {key.scene_id for key in keys if key.frame_id not in done}
        return [key for key in keys if key.scene_id in open_scenes]

    def estimate(self, key: FrameKey, frame: Frame, detections: Detections) -> list[Result]:
        if key.scene_id != self._scene:
            self._tracker.new_scene()
            self._scene = key.scene_id
        if self._ids is not None:
            return self._tracker.estimate(frame, detections, tracks=self._ids[key.frame_id])
        T_world_camera = self._dataset.T_world_camera(key)
        return self._tracker.estimate(frame, detections, T_world_camera=T_world_camera)


def _require_camera_poses(dataset: Dataset, keys: Sequence[FrameKey]) -> None:
    """Asked of all frames before any is estimated."""
    if missing := [key.frame_id for key in keys if not dataset.has_camera_pose(key)]:
        raise InputError(
            f"{dataset.root / dataset.split} does not say where the camera stood in frame {missing[0]} "
            "(cam_R_w2c and cam_t_w2c in scene_camera.json): give it, or --tracks FILE.json with names."
        )


def _require_ids(ids: Mapping[str, Sequence[str | None]], keys: Sequence[FrameKey], *, source: str) -> None:
    if missing := [key.frame_id for key in keys if key.frame_id not in ids]:
        raise InputError(
            f"{source} has no track ids for frame {missing[0]}: it must hold a list for every frame."
        )


def read_track_ids(path: Path) -> dict[str, list[str | None]]:
    """Names by frame: {frame id: [a name, or null, for each mask, in order]}; whole numbers are names too.

    Raises:
        InputError: the file is missing or not of that form, or gives two masks of one frame the same name.
    """
    ids: dict[str, list[str | None]] = {}
    for frame_id, names in read_json(path).items():
        if not isinstance(names, list):
            raise InputError(
                f"{path} must hold a list of track ids for frame {frame_id}, got {str(names)[:40]}."
            )
        plain = [str(name) if type(name) is int else name for name in names]
        with naming(f"{path}, frame {frame_id}"):
            ids[frame_id] = checked_names(plain, masks=len(plain))
    return ids
