"""The first of the two loops of evaluation: predictions of a whole split into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crisp.data.dataset import Dataset, FrameKey
from crisp.data.layouts import open_dataset
from crisp.errors import InputError
from crisp.evaluate.tracked import Estimating, estimating
from crisp.model import Model
from crisp.progress import track
from crisp.results import FrameResults, ResultsWriter

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
) -> list[str]:
    """Estimate every labelled object of a split from its ground-truth visible mask.

    Poses of the labels are never opened for estimation. A frame that cannot be read is named in
    `results.json` and the others go on. A killed run goes on where it stopped, and tries again what could
    not be read.

    Args:
        out: folder for `results.json` and the meshes.
        most_frames: only the first so many.
        min_visib_fract: leave out objects of which less can be seen; recorded, and heeded by `score`.
        tracks: let the frames of a scene, in order, help one another: "auto" tells objects apart by their
            places in the world, a JSON file by names; None takes each frame for itself.

    Returns:
        A sentence for each scene, frame or mask that could not be read.

    Raises:
        InputError: no such data set or split, fewer than one frame, or a folder with results of another
            model, other settings or another data set; tracks that cannot be kept.
    """
    if most_frames is not None and most_frames < 1:
        raise InputError(f"at least one frame must be estimated, got --frames {most_frames}.")
    dataset = open_dataset(dataset_dir, split)
    frames = dataset.keys[:most_frames]
    views = estimating(model, dataset, frames, tracks=tracks)
    settings: dict[str, Any] = {
        "dataset": dataset_dir.resolve().name,
        "split": split,
        "labels_sha256": dataset.labels_digest,
        "masks": "mask_visib",
        "min_visib_fract": min_visib_fract,
    }
    writer = ResultsWriter(out, model, settings | dict(views.settings), resume=True)
    keys = views.unfinished(frames, writer.frame_ids)
    writer.forget(key.frame_id for key in keys)
    faults = list(dataset.faults)
    for number, key in enumerate(track(keys, "estimating", total=len(keys))):
        try:
            found = _frame(views, dataset, key, min_visib_fract)
            writer.add(found)
            faults += _unreadable(found)
        except InputError as error:
            faults.append(f"{key.frame_id}: {error}")
            writer.add_failure(key.frame_id, str(error))
        if (number + 1) % WRITE_EVERY == 0:
            writer.write()
    writer.write()
    return faults


def _unreadable(found: FrameResults) -> list[str]:
    torn = [result.message for result in found.results if result.status == "mask_unreadable"]
    return [f"{found.frame_id}: {message}" for message in torn]


def _frame(views: Estimating, dataset: Dataset, key: FrameKey, min_visib_fract: float) -> FrameResults:
    frame = dataset.load_frame(key)
    detections = [
        dataset.detection(key, instance.index, object_id=instance.object_id)
        for instance in dataset.instances(key)
        if not instance.visib_fract < min_visib_fract
    ]
    return FrameResults(key.frame_id, frame.camera, views.estimate(key, frame, detections))
