"""Scores a predictions folder against a data set's labels (method.md, section 9).

Detection i of a frame is its i-th label whose mask was given: those with at least the `min_visib_fract` that
the run's settings name (0 where they name none). With a detector's masks it is the label whose mask it
overlaps. A label without an estimate, because its frame or object is
missing or has a status other than ok, has infinite errors; nothing is left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import crisp
from crisp.data.dataset import Dataset, DetectedMasks, FrameKey
from crisp.data.layout import Conventions
from crisp.data.layouts import layout_of, open_dataset
from crisp.errors import InputError
from crisp.evaluate.cases import SEED, Case, CaseReader, FrameCases, Loose, Targets, targets_of
from crisp.evaluate.detections import MATCHING, detections_of
from crisp.evaluate.metrics import metrics_named
from crisp.evaluate.metrics.metric import Metric, ObjectScore, Surplus
from crisp.evaluate.options import ScoreOptions
from crisp.evaluate.predictions import Predictions, frames_of, read_predictions
from crisp.evaluate.score_files import Scores, check_settings, write_scores
from crisp.progress import track

Metrics = Mapping[str, Metric[Any]]
"""By name, in the order of their registration."""


def score(options: ScoreOptions, *, progress: bool = False) -> Scores:
    """Score estimates of a split of a data set, in whichever layout: `score_set` of its reader.

    Raises:
        InputError: as `score_set`, or there is no such data set or split.
    """
    metrics_named(options.protocols)  # a mistyped name is said before anything is opened
    dataset = open_dataset(options.dataset, options.split)
    return score_set(options, dataset, layout_of(options.dataset).conventions, progress=progress)


def score_set(
    options: ScoreOptions, dataset: Dataset, conventions: Conventions, *, progress: bool = False
) -> Scores:
    """Score estimates of a split of any layout; write `scores.json`, `.md`, `.csv` and BOP's results CSV.

    What each protocol samples and averages: the `settings` of each metric, docs/evaluation.md.

    Args:
        dataset, conventions: with the labels and the true models; of its layout.
        progress: show a bar.

    Raises:
        InputError: an unknown protocol, predictions that do not belong to the data set or to the detections,
            targets that do not, or scores in the folder that were made with other settings.
    """
    metrics, predictions = metrics_named(options.protocols), read_predictions(options.predictions)
    found_by = detections_of(predictions.settings, dataset, options.detections)
    wanted = None if options.targets is None else targets_of(options.targets, dataset)
    partly = options.predicted_frames_only
    settings = _settings(dataset, predictions, metrics, predicted_frames_only=partly)
    settings |= {"unit": conventions.unit, "upright_axis": "xyz"[conventions.upright]}
    settings |= _chosen(found_by, wanted)
    out = options.out or options.predictions
    check_settings(out, settings)
    reader = CaseReader(
        dataset,
        predictions,
        conventions=conventions,
        detections=found_by,
        choose=None if wanted is None else wanted.chosen,
    )
    keys = _keys(dataset, predictions, partly, wanted=wanted)
    frames = _scored(reader, metrics, keys, progress=progress)
    rows = [row for frame in frames for row in frame.objects]
    if not rows:
        raise InputError(f"{dataset.root} has no labelled object in split '{dataset.split}' to score.")
    scores = Scores(
        crisp_version=crisp.__version__,
        model_name=predictions.model_name,
        results_sha256=predictions.sha256,
        settings=settings,
        objects=tuple(rows),
        surplus=tuple(one for frame in frames for one in frame.surplus),
    )
    write_scores(scores, out)
    return scores


@dataclass(frozen=True, eq=False)
class _FrameScores:
    objects: list[ObjectScore]
    surplus: list[Surplus]


def _scored(
    reader: CaseReader, metrics: Metrics, keys: Sequence[FrameKey], *, progress: bool
) -> list[_FrameScores]:
    # Trees and matrices leave the interpreter's lock alone, so threads are worth their while; order is kept.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = pool.map(lambda key: _frame(reader.read(key), metrics), keys)
        return list(track(found, "scoring", total=len(keys)) if progress else found)


def _frame(frame: FrameCases, metrics: Metrics) -> _FrameScores:
    """One score for each label whose mask was given, and the estimates that are of no label."""
    found = {name: metric.errors(frame) for name, metric in metrics.items()}
    objects = [
        _object(case, {name: errors[k] for name, errors in found.items()}, seconds=frame.seconds)
        for k, case in enumerate(frame.cases)
    ]
    surplus = [_surplus(one, metrics, seconds=frame.seconds) for one in frame.loose]
    return _FrameScores(objects, surplus)


def _object(case: Case, errors: Mapping[str, Any], *, seconds: float) -> ObjectScore:
    return ObjectScore(
        frame_id=case.key.frame_id,
        detection=case.detection,
        object_id=case.instance.object_id,
        name=case.truth.model.name,
        kind=case.truth.model.kind,
        visib_fract=case.instance.visib_fract,
        status="missing" if case.predicted is None else case.predicted.status,
        certified=None if case.predicted is None else case.predicted.certified,
        confidence=case.confidence,
        frame_seconds=seconds,
        T_camera_object=case.T,
        errors=errors,
    )


def _surplus(one: Loose, metrics: Metrics, *, seconds: float) -> Surplus:
    return Surplus(
        frame_id=one.key.frame_id,
        detection=one.detection,
        object_id=one.object_id,
        name=one.name,
        kind=one.kind,
        confidence=one.confidence,
        frame_seconds=seconds,
        T_camera_object=one.T,
        said={name: metric.keep(one) for name, metric in metrics.items()},
    )


def _chosen(detections: DetectedMasks | None, targets: Targets | None) -> dict[str, Any]:
    """Settings of what is not always there."""
    said: dict[str, Any] = {}
    if detections is not None:
        said |= {"detections": dict(detections.settings), "matching": MATCHING}
    if targets is not None:
        said |= {"targets": {"file": targets.file, "sha256": targets.sha256}}
    return said


def _settings(
    dataset: Dataset,
    predictions: Predictions,
    metrics: Metrics,
    *,
    predicted_frames_only: bool,
) -> dict[str, Any]:
    """All that the figures depend on, apart from the predictions."""
    return {
        "dataset": dataset.root.resolve().name,
        "split": dataset.split,
        "labels_sha256": _labels_digest(dataset, predictions),
        "masks": str(predictions.settings.get("masks", "unknown")),
        "protocols": list(metrics),
        "min_visib_fract": float(predictions.settings.get("min_visib_fract", 0.0)),
        "predicted_frames_only": predicted_frames_only,
        "intervals": "95 %, 1000 bootstrap draws of frames",
        "seed": SEED,
        "protocol_settings": {name: dict(metric.settings) for name, metric in metrics.items()},
    }


def _labels_digest(dataset: Dataset, predictions: Predictions) -> str:
    digest, then = dataset.labels_digest, predictions.settings.get("labels_sha256")
    if then is not None and then != digest:
        raise InputError(
            f"the labels of split '{dataset.split}' of {dataset.root} have changed since the predictions "
            "were made: predict again."
        )
    return digest


def _keys(
    dataset: Dataset, predictions: Predictions, predicted_only: bool, *, wanted: Targets | None
) -> list[FrameKey]:
    known, labelled = frames_of(predictions, dataset), set(dataset.keys)
    keys = labelled if wanted is None else labelled & set(wanted.keys)
    return [
        key
        for frame_id, key in known.items()
        if key in keys and (not predicted_only or frame_id in predictions.frames)
    ]
