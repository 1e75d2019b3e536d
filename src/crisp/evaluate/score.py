"""Scores a predictions folder against a data set's labels (method.md, section 9).

Detection i of a frame is its i-th label whose mask was given: those with at least the `min_visib_fract` that
the run's settings name (0 where they name none). A label without an estimate, because its frame or object is
missing or has a status other than ok, has infinite errors; nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.spatial import cKDTree

import crisp
from crisp.data.dataset import Dataset, FrameKey, Instance, KnownObject
from crisp.data.layouts import open_dataset
from crisp.errors import InputError
from crisp.evaluate.predictions import PredictedObject, Predictions, read_predictions
from crisp.evaluate.score_files import check_settings, write_scores
from crisp.evaluate.score_table import F_SCORE_M, ObjectScore, PoseError, Scores, ShapeError
from crisp.metrics.pose import add_s, rotation_error_deg, translation_error_m
from crisp.metrics.shape import (
    CHAMFER_POINTS,
    ESTIMATE_STREAM,
    TRUTH_STREAM,
    SurfaceSample,
    compare,
    sample_surface,
)
from crisp.progress import track
from crisp.types import Mesh

Protocol = Literal["add-s", "chamfer-mm"]
PROTOCOLS: tuple[Protocol, ...] = ("add-s", "chamfer-mm")
ADD_S_POINTS = 5000
SEED = 0


def score(
    predictions_dir: Path,
    dataset_dir: Path,
    split: str,
    *,
    protocols: Sequence[Protocol] = PROTOCOLS,
    out: Path | None = None,
    predicted_frames_only: bool = False,
    progress: bool = False,
) -> Scores:
    """Score estimates of a split and write `scores.json`, `.md`, `.csv` and BOP's own results CSV.

    ADD-S: 5000 area-weighted samples of the true model. chamfer-mm: 10,000 a side, object frame.

    Args:
        predictions_dir: with `results.json`.
        dataset_dir: the data set's root.
        out: where the files go; beside the predictions unless given.
        predicted_frames_only: leave out frames that `results.json` does not name (part of a split).
        progress: show a bar.

    Raises:
        InputError: an unknown protocol, predictions that do not belong to the data set, or scores in the
            folder that were made with other settings.
    """
    if not protocols or (unknown := set(protocols) - set(PROTOCOLS)):
        what = ", ".join(sorted(unknown)) if protocols else "none"
        raise InputError(f"protocols must be among {', '.join(PROTOCOLS)}, got {what}.")
    predictions, dataset = read_predictions(predictions_dir), open_dataset(dataset_dir, split)
    settings = _settings(
        dataset, predictions, sorted(set(protocols)), predicted_frames_only=predicted_frames_only
    )
    out = out or predictions_dir
    check_settings(out, settings)
    keys = _keys(dataset, predictions, predicted_frames_only)
    scorer = _Scorer(dataset, predictions, frozenset(protocols))
    shown = track(keys, "scoring", total=len(keys)) if progress else keys
    rows = [row for key in shown for row in scorer.frame(key)]
    if not rows:
        raise InputError(f"{dataset_dir} has no labelled object in the frames of split '{split}' to score.")
    scores = Scores(
        crisp_version=crisp.__version__,
        model_name=predictions.model_name,
        results_sha256=predictions.sha256,
        settings=settings,
        objects=tuple(rows),
    )
    write_scores(scores, out)
    return scores


def _settings(
    dataset: Dataset, predictions: Predictions, protocols: list[Protocol], *, predicted_frames_only: bool
) -> dict[str, Any]:
    """All that the figures depend on, apart from the predictions."""
    return {
        "dataset": dataset.root.resolve().name,
        "split": dataset.split,
        "protocols": protocols,
        "min_visib_fract": float(predictions.settings.get("min_visib_fract", 0.0)),
        "predicted_frames_only": predicted_frames_only,
        "add_s_points": ADD_S_POINTS,
        "chamfer_points": CHAMFER_POINTS,
        "f_score_m": list(F_SCORE_M),
        "seed": SEED,
    }


def _keys(dataset: Dataset, predictions: Predictions, predicted_only: bool) -> list[FrameKey]:
    known = {key.frame_id: key for key in dataset.keys}
    if strangers := sorted(set(predictions.frames) - set(known)):
        raise InputError(
            f"the predictions hold frame {strangers[0]}, which split '{dataset.split}' of {dataset.root} "
            "does not have: they belong to another data set or split."
        )
    return [key for frame_id, key in known.items() if not predicted_only or frame_id in predictions.frames]


@dataclass(frozen=True, eq=False)
class TrueModel:
    """A model with its samples, made once for all its instances."""

    model: KnownObject

    @cached_property
    def add_s_points(self) -> np.ndarray:
        return sample_surface(self.model.mesh, ADD_S_POINTS, seed=SEED)

    @cached_property
    def add_s_tree(self) -> cKDTree:
        return cKDTree(self.add_s_points)

    @cached_property
    def surface(self) -> SurfaceSample:
        return SurfaceSample(sample_surface(self.model.mesh, CHAMFER_POINTS, seed=SEED, stream=TRUTH_STREAM))

    @cached_property
    def floor_m(self) -> float:
        again = sample_surface(self.model.mesh, CHAMFER_POINTS, seed=SEED, stream=ESTIMATE_STREAM)
        return compare(SurfaceSample(again), self.surface).chamfer_m

    def pose_error(self, T: np.ndarray | None, T_true: np.ndarray) -> PoseError:
        if T is None:
            return PoseError(np.inf, np.inf, np.inf)
        return PoseError(
            add_s_m=add_s(self.add_s_points, T, T_true, tree=self.add_s_tree),
            rotation_deg=rotation_error_deg(T, T_true, self.model.symmetries),
            translation_m=translation_error_m(T, T_true, self.model.symmetries),
        )

    def shape_error(self, mesh: Mesh | None) -> ShapeError:
        if mesh is None:
            return ShapeError(np.inf, tuple(0.0 for _ in F_SCORE_M), self.floor_m)
        points = sample_surface(mesh, CHAMFER_POINTS, seed=SEED, stream=ESTIMATE_STREAM)
        found = compare(SurfaceSample(points), self.surface)
        return ShapeError(found.chamfer_m, tuple(found.f_score(t) for t in F_SCORE_M), self.floor_m)


class _Scorer:
    """Scores frame after frame, keeping each model's samples."""

    def __init__(self, dataset: Dataset, predictions: Predictions, protocols: frozenset[Protocol]) -> None:
        self._dataset = dataset
        self._predictions = predictions
        self._protocols = protocols
        self._truths: dict[tuple[int, float], TrueModel] = {}

    def frame(self, key: FrameKey) -> Iterator[ObjectScore]:
        at_least = float(self._predictions.settings.get("min_visib_fract", 0.0))
        # A set that does not say how much is visible has NaN there: all its masks are given.
        given = [i for i in self._dataset.instances(key) if not i.visib_fract < at_least]
        predicted = self._predictions.frames.get(key.frame_id, {})
        if predicted and max(predicted) >= len(given):
            raise InputError(
                f"the predictions hold detection {max(predicted)} of frame {key.frame_id}, which has only "
                f"{len(given)} labels with a mask: they belong to other masks."
            )
        seconds = sum((p.seconds for p in predicted.values()), start=0.0)
        for detection, instance in enumerate(given):
            found = predicted.get(detection)
            yield self._object(key, instance, detection=detection, predicted=found, seconds=seconds)

    def _object(
        self,
        key: FrameKey,
        instance: Instance,
        *,
        detection: int,
        predicted: PredictedObject | None,
        seconds: float,
    ) -> ObjectScore:
        truth = self._truth(instance)
        ok = predicted is not None and predicted.status == "ok"
        T = predicted.T_camera_object if predicted is not None and ok else None
        mesh = predicted.mesh() if predicted is not None and ok and "chamfer-mm" in self._protocols else None
        return ObjectScore(
            frame_id=key.frame_id,
            detection=detection,
            object_id=instance.object_id,
            name=truth.model.name,
            kind=truth.model.kind,
            visib_fract=instance.visib_fract,
            status="missing" if predicted is None else predicted.status,
            certified=None if predicted is None else predicted.certified,
            confidence=0.0 if predicted is None else predicted.confidence,
            frame_seconds=seconds,
            T_camera_object=T,
            pose=truth.pose_error(T, instance.T_camera_object) if "add-s" in self._protocols else None,
            shape=truth.shape_error(mesh) if "chamfer-mm" in self._protocols else None,
        )

    def _truth(self, instance: Instance) -> TrueModel:
        key = instance.object_id, instance.scale
        if key not in self._truths:
            if instance.scale != 1.0:  # a size of this image's own is not met again: keep no such model
                self._truths = {k: v for k, v in self._truths.items() if k[1] == 1.0}
            self._truths[key] = TrueModel(self._dataset.object(instance.object_id).scaled(instance.scale))
        return self._truths[key]
