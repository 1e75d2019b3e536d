"""Estimates of one frame's files, or of a whole split, into sinks.

The frames of a split are estimated each for itself, or in order, with the tracks of their scene.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from crisp.data.dataset import Dataset, DetectedMasks, FrameKey
from crisp.data.layouts import open_dataset
from crisp.documents import read_json
from crisp.errors import InputError, ObjectFailure, naming
from crisp.evaluate.cases import targets_of
from crisp.evaluate.options import ModelChoice, PredictOptions
from crisp.model import Model
from crisp.output.registry import FRAME_SINKS, SET_SINKS, sinks_named
from crisp.output.sink import FrameResults, Run, Sinks, described
from crisp.progress import track
from crisp.sources.frame_files import FrameFiles
from crisp.sources.frames import read_detection
from crisp.sources.masks import MaskSource, open_detections
from crisp.tracking.tracker import checked_names
from crisp.types import Detection, Frame, Result


def estimate_files(
    files: FrameFiles, choice: ModelChoice, *, out: Path, sinks: Sequence[str] = ()
) -> list[Result]:
    """Estimate one frame and hand the results to sinks.

    Args:
        out: folder for what the sinks write.
        sinks: names, as in `crisp.output.registry`; by default what suits a single frame.

    Returns:
        One result for each mask, in order; one whose file cannot be read is `mask_unreadable`.

    Raises:
        InputError: a file of the frame that is missing or cannot be used, unusable weights or settings, an
            unknown sink, or a folder that cannot be written.
    """
    if files.rgb is None or files.depth is None or files.camera is None or not files.masks:
        raise InputError("give --rgb, --depth, --camera and --masks, or --dataset.")
    chosen = Sinks(sinks_named(sinks or FRAME_SINKS))
    frame = Frame.from_files(files.rgb, files.depth, files.camera)
    detections = [read_detection(path) for path in files.masks]
    model = choice.load()
    run = Run(
        out,
        model,
        settings={"masks": [path.name for path in files.masks]},
        origin={"image": files.rgb.name, "corrector": choice.correct},
    )
    chosen.open(run)
    results = model.estimate(frame, detections)
    chosen.add(FrameResults(frame, detections, results))
    chosen.close()
    return results


def predict(model: Model, dataset_dir: Path, options: PredictOptions, *, out: Path) -> list[str]:
    """Estimate every labelled object of a split from its ground-truth visible mask, or what a detector found.

    Poses of the labels are never opened for estimation. A frame that cannot be read is named in
    `results.json` and the others go on. A killed run goes on where it stopped, and tries again what could
    not be read.

    Args:
        out: folder for what the sinks write, such as `results.json` and the meshes.

    Returns:
        A sentence for each scene, frame or mask that could not be read.

    Raises:
        InputError: no such data set or split, fewer than one frame, or a folder with results of another
            model, other settings or another data set; tracks that cannot be kept; an unknown sink.
    """
    if options.frames is not None and options.frames < 1:
        raise InputError(f"at least one frame must be estimated, got --frames {options.frames}.")
    dataset = open_dataset(dataset_dir, options.split)
    source = _source(dataset, options)
    frames = _frames(dataset, source, options.targets)[: options.frames]
    views = estimating(model, dataset, frames, tracks=options.tracks)
    settings = _settings(dataset, source) | {"min_visib_fract": options.min_visible} | dict(views.settings)
    origin = {"data set": settings["dataset"], "split": options.split}
    sink = Sinks(sinks_named(options.sinks or SET_SINKS))
    done = sink.open(Run(out, model, settings, origin, frames=len(frames), resume=True))
    left = views.unfinished(frames, done or ())
    sink.forget(key.frame_id for key in left)
    faults = _faults(dataset, source)
    for key in track(left, "estimating", total=len(left)):
        try:
            frame, masks = dataset.load_frame(key), source.masks(key)
            results = views.estimate(key, frame, masks)
        except InputError as error:
            faults.append(f"{key.frame_id}: {error}")
            sink.add_failure(key.frame_id, str(error))
            continue
        sink.add(FrameResults(frame, masks, results))
        faults += _unreadable(key, results)
    sink.close()
    return faults


def _faults(dataset: Dataset, source: MaskSource) -> list[str]:
    if isinstance(source, DetectedMasks):
        return [*dataset.bare_faults, *source.faults]
    return list(dataset.faults)


def _unreadable(key: FrameKey, results: Sequence[Result]) -> list[str]:
    torn = [result.message for result in results if result.status == "mask_unreadable"]
    return [f"{key.frame_id}: {message}" for message in torn]


def _frames(dataset: Dataset, source: MaskSource, targets: Path | None) -> tuple[FrameKey, ...]:
    """Detections need no labels, so that frames without any are estimated too."""
    keys = dataset.bare_keys if isinstance(source, DetectedMasks) else dataset.keys
    if targets is None:
        return keys
    wanted = set(targets_of(targets, dataset).keys)
    return tuple(key for key in keys if key in wanted)


def _settings(dataset: Dataset, source: MaskSource) -> dict[str, Any]:
    said: dict[str, Any] = {
        "dataset": dataset.root.resolve().name,
        "split": dataset.split,
        "labels_sha256": dataset.labels_digest,
        "masks": "mask_visib",
    }
    if isinstance(source, DetectedMasks):
        said |= {"masks": "detections", "detections": dict(source.settings)}
    return said


@dataclass(frozen=True, eq=False)
class LabelledMasks:
    """The visible masks of a frame's labels, in their order."""

    dataset: Dataset
    min_visib_fract: float

    def masks(self, key: FrameKey) -> tuple[Detection | ObjectFailure, ...]:
        return tuple(
            self.dataset.detection(key, instance.index, object_id=instance.object_id)
            for instance in self.dataset.instances(key)
            if not instance.visib_fract < self.min_visib_fract
        )


def _source(dataset: Dataset, options: PredictOptions) -> MaskSource:
    if options.detections is None:
        return LabelledMasks(dataset, options.min_visible)
    if options.min_visible > 0:
        raise InputError("detections do not say how much of an object is visible: leave min_visible at 0.")
    return open_detections(dataset, options.detections, min_score=options.min_score)


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
