"""The first of the two loops of evaluation: predictions of a whole split into a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crisp.data.dataset import Dataset, FrameKey
from crisp.data.detected_masks import DetectedMasks, MaskSource, open_detections
from crisp.data.layouts import open_dataset
from crisp.errors import InputError, ObjectFailure
from crisp.evaluate.targets import targets_of
from crisp.evaluate.tracked import estimating
from crisp.model import Model
from crisp.progress import track
from crisp.results import FrameResults, ResultsWriter
from crisp.types import Detection

WRITE_EVERY = 10


def predict(
    model: Model,
    dataset_dir: Path,
    split: str,
    out: Path,
    *,
    most_frames: int | None = None,
    min_visib_fract: float = 0.0,
    tracks: str | Path | None = None,
    detections: Path | None = None,
    min_score: float = 0.0,
    targets: Path | None = None,
) -> list[str]:
    """Estimate every labelled object of a split from its ground-truth visible mask, or what a detector found.

    Poses of the labels are never opened for estimation. A frame that cannot be read is named in
    `results.json` and the others go on. A killed run goes on where it stopped, and tries again what could
    not be read.

    Args:
        out: folder for `results.json` and the meshes.
        most_frames: only the first so many.
        min_visib_fract: leave out objects of which less can be seen; recorded, and heeded by `score`.
        tracks: let the frames of a scene, in order, help one another: "auto" tells objects apart by their
            places in the world, a JSON file by names; None takes each frame for itself.
        detections: masks from a BOP detections file or a folder of NOCS's; labels are then not needed.
        min_score: detections with a lower score are left out.
        targets: BOP's targets file: only the frames that it names.

    Returns:
        A sentence for each scene, frame or mask that could not be read.

    Raises:
        InputError: no such data set or split, fewer than one frame, or a folder with results of another
            model, other settings or another data set; tracks that cannot be kept.
    """
    if most_frames is not None and most_frames < 1:
        raise InputError(f"at least one frame must be estimated, got --frames {most_frames}.")
    dataset = open_dataset(dataset_dir, split)
    source = _source(dataset, detections, min_visib_fract=min_visib_fract, min_score=min_score)
    frames = _frames(dataset, source, targets)[:most_frames]
    views = estimating(model, dataset, frames, tracks=tracks)
    settings = _settings(dataset, source) | {"min_visib_fract": min_visib_fract}
    writer = ResultsWriter(out, model, settings | dict(views.settings), resume=True)
    left = views.unfinished(frames, writer.frame_ids)
    writer.forget(key.frame_id for key in left)
    faults = _faults(dataset, source)
    for number, key in enumerate(track(left, "estimating", total=len(left))):
        try:
            frame, masks = dataset.load_frame(key), source.masks(key)
            found = FrameResults(key.frame_id, frame.camera, views.estimate(key, frame, masks))
            writer.add(found)
            faults += _unreadable(found)
        except InputError as error:
            faults.append(f"{key.frame_id}: {error}")
            writer.add_failure(key.frame_id, str(error))
        if (number + 1) % WRITE_EVERY == 0:
            writer.write()
    writer.write()
    return faults


def _faults(dataset: Dataset, source: MaskSource) -> list[str]:
    if isinstance(source, DetectedMasks):
        return [*dataset.bare_faults, *source.faults]
    return list(dataset.faults)


def _unreadable(found: FrameResults) -> list[str]:
    torn = [result.message for result in found.results if result.status == "mask_unreadable"]
    return [f"{found.frame_id}: {message}" for message in torn]


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


def _source(
    dataset: Dataset, detections: Path | None, *, min_visib_fract: float, min_score: float
) -> MaskSource:
    if detections is None:
        return LabelledMasks(dataset, min_visib_fract)
    if min_visib_fract > 0:
        raise InputError(
            "detections do not say how much of an object is visible: leave min_visib_fract at 0."
        )
    return open_detections(dataset, detections, min_score=min_score)
