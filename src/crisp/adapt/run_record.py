"""Where the masks of an adaptation come from, and what tells one run from another."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from crisp.adapt.options import AdaptOptions
from crisp.adapt.recipe import AdaptRecipe
from crisp.data.dataset import Dataset
from crisp.data.detections import DetectedMasks
from crisp.documents import write_json
from crisp.errors import InputError
from crisp.model import Model
from crisp.output.results import described
from crisp.sources.frames import read_json
from crisp.sources.masks import MasksBeside, MaskSource, open_detections

RUN_FILE = "run.json"


def mask_source(dataset: Dataset, options: AdaptOptions) -> MaskSource:
    """Where the masks come from."""
    if options.detections is None:
        return MasksBeside(dataset)
    return open_detections(dataset, options.detections, min_score=options.min_score)


def run_record(
    recipe: AdaptRecipe, options: AdaptOptions, dataset: Dataset, *, model: Model
) -> dict[str, Any]:
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


def claim(recipe: AdaptRecipe, options: AdaptOptions, dataset: Dataset, *, model: Model) -> None:
    """Write down in the run folder what this run is.

    Raises:
        InputError: the folder holds another one.
    """
    record = run_record(recipe, options, dataset, model=model)
    path = options.out / RUN_FILE
    if not path.exists():
        return write_json(path, record)
    if read_json(path) != json.loads(json.dumps(record)):
        raise InputError(
            f"{options.out} holds an adaptation with another recipe, corrector, data set, masks, model, "
            "certificate or number of processes: give another --out or remove it."
        )
    return None
