"""ADD-S over the stream that a model adapted to: the log's poses against labels that had no part in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from crisp.data.dataset import Dataset
from crisp.errors import InputError
from crisp.evaluate.true_model import TrueModels


def stream_scores(dataset: Dataset, lines: Sequence[Mapping[str, Any]]) -> dict[str, Float[np.ndarray, " n"]]:
    """Errors of every object of the log, in its order: of "network alone", and "corrected"; metres.

    The number of a mask is that of its label, as in BOP.

    Raises:
        InputError: the set has no labels, or other objects than the log.
    """
    keys = {key.frame_id: key for key in dataset.keys}
    truths = TrueModels(dataset)
    errors: list[tuple[float, float]] = []
    for line in lines:
        if line["event"] != "label":
            continue
        instances = dataset.instances(keys[line["frame"]])
        if line["detection"] >= len(instances):
            raise InputError(f"frame {line['frame']} has no label for mask {line['detection']}.")
        instance = instances[line["detection"]]
        truth = truths.of(instance)
        poses = (line.get("T_camera_object_start"), line.get("T_camera_object"))
        start, end = (
            truth.pose_error(None if T is None else np.array(T), instance.T_camera_object).add_s_m
            for T in poses
        )
        errors.append((start, end))
    found = np.array(errors, dtype=np.float64).reshape(-1, 2)
    return {"network alone": found[:, 0], "corrected": found[:, 1]}
