"""ADD-S over the stream that a model adapted to: the log's poses against labels that had no part in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from crisp.data.dataset import Dataset, FrameKey, Instance
from crisp.errors import InputError
from crisp.evaluate.cases import TrueModels
from crisp.evaluate.metrics.add_s import pose_error

LabelsOf = Callable[[FrameKey], Sequence[int | None]]


def stream_scores(
    dataset: Dataset, lines: Sequence[Mapping[str, Any]], *, labels_of: LabelsOf | None = None
) -> dict[str, Float[np.ndarray, " n"]]:
    """Errors of every object of the log, in its order: of "network alone", and "corrected"; metres.

    Infinite without an estimate; NaN where the truth is not known: a frame without labels, a mask of no
    labelled object.

    Args:
        labels_of: for each mask of a frame the index of its label, or None; that of the masks that lie
            beside the frames unless given.

    Raises:
        InputError: the log has masks that are not in the set, or not one of its objects has a label.
    """
    truths = _Truths(dataset, labels_of or dataset.labels_of_given_masks)
    errors = [truths.errors(line) for line in lines if line["event"] == "label"]
    found = np.array(errors, dtype=np.float64).reshape(-1, 2)
    if errors and np.isnan(found).all():
        raise InputError(truths.trouble or f"no mask of the log is of an object that {dataset.root} labels.")
    return {"network alone": found[:, 0], "corrected": found[:, 1]}


class _Truths:
    """The labels behind the masks of a log; `trouble` says why some frame has none."""

    def __init__(self, dataset: Dataset, labels_of: LabelsOf) -> None:
        self._dataset, self._labels_of = dataset, labels_of
        self._keys = {key.frame_id: key for key in dataset.bare_keys}
        self._models = TrueModels(dataset)
        self.trouble = ""

    def errors(self, line: Mapping[str, Any]) -> tuple[float, float]:
        """ADD-S of the start and of the end of one object."""
        instance = self._instance(line)
        if instance is None:
            return math.nan, math.nan
        truth = self._models.of(instance)
        start, end = (
            pose_error(truth, None if T is None else np.array(T), instance.T_camera_object).add_s_m
            for T in (line.get("T_camera_object_start"), line.get("T_camera_object"))
        )
        return start, end

    def _instance(self, line: Mapping[str, Any]) -> Instance | None:
        key, number = self._keys[line["frame"]], line["detection"]
        try:
            labels, instances = self._labels_of(key), self._dataset.instances(key)
        except InputError as error:
            self.trouble = str(error)
            return None
        if number >= len(labels):
            raise InputError(f"frame {line['frame']} has no mask {number}: the log is of another data set.")
        index = labels[number]
        return None if index is None else instances[index]
