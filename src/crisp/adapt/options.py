"""Where an adaptation reads and writes, and what tells one run from another."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crisp.adapt.recipe import AdaptRecipe
from crisp.data.dataset import Dataset
from crisp.documents import read_json, write_json
from crisp.errors import InputError
from crisp.model import Model
from crisp.output.results import described
from crisp.sources.masks import DetectedMasks, MasksBeside, MaskSource, open_detections

RUN_FILE = "run.json"


@dataclass(frozen=True)
class AdaptOptions:
    """Where an adaptation reads and writes.

    Args:
        dataset, split: frames and masks, in BOP's, NOCS' or SPE3R's layout; no label and no model of it is
            opened, but for what a set without a depth camera (SPE3R) renders its depth from.
        weights: the model that is adapted: bundled, or a checkpoint folder.
        out: run folder: audit log, state to resume from, and at the end `checkpoint/`.
        frames: only the first so many of the split.
        processes: each takes every so-manieth frame.
        snapshot_every: frames of each process from one snapshot to the next.
        detections: a detector's masks instead of those beside the frames: a BOP detections file, or NOCS'
            folder of Mask R-CNN results.
        min_score: detections with a lower score are left out.
    """

    dataset: Path
    split: str
    weights: str
    out: Path
    frames: int | None = None
    processes: int = 1
    snapshot_every: int = 25
    detections: Path | None = None
    min_score: float = 0.0


def mask_source(dataset: Dataset, options: AdaptOptions) -> MaskSource:
    """Where the masks come from."""
    if options.detections is None:
        return MasksBeside(dataset)
    return open_detections(dataset, options.detections, min_score=options.min_score)


def run_record(recipe: AdaptRecipe, options: AdaptOptions, dataset: Dataset, model: Model) -> dict[str, Any]:
    """What a run is; one with another record is another run.

    The settings of all stages are part of it: the recipe has but the corrector's name, and the model's digest
    does not cover the bounds of its certificate.
    """
    keys = dataset.bare_keys[: options.frames]
    frames = hashlib.sha256(json.dumps([key.frame_id for key in keys]).encode()).hexdigest()
    source = mask_source(dataset, options)
    record = {
        "recipe": asdict(recipe),
        "dataset": options.dataset.resolve().name,
        "split": options.split,
        "frames_sha256": frames,
        "model_sha256": model.sha256,
        "settings": described(model.with_correction(recipe.correct).settings),
        "processes": options.processes,
    }
    return record | ({"detections": source.settings} if isinstance(source, DetectedMasks) else {})


def claim(recipe: AdaptRecipe, options: AdaptOptions, dataset: Dataset, model: Model) -> None:
    """Write down in the run folder what this run is.

    Raises:
        InputError: the folder holds another one.
    """
    record = run_record(recipe, options, dataset, model)
    path = options.out / RUN_FILE
    if not path.exists():
        return write_json(path, record)
    if read_json(path) != json.loads(json.dumps(record)):
        raise InputError(
            f"{options.out} holds an adaptation with another recipe, corrector, data set, masks, model, "
            "certificate or number of processes: give another --out or remove it."
        )
    return None
