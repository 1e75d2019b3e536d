"""Scores the objects of one frame after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from crisp.data.dataset import Dataset, FrameKey, Instance
from crisp.data.detections import Detected, DetectedMasks
from crisp.data.layout import Conventions
from crisp.errors import InputError
from crisp.evaluate.bop_frame import score_frame
from crisp.evaluate.detections import labels_of_detections
from crisp.evaluate.object_errors import BopError, Box, BoxPair
from crisp.evaluate.predictions import NO_DETECTION, Case, Loose, PredictedObject, Predictions
from crisp.evaluate.protocols import MAP_PROTOCOLS, NEED_MESH, Protocol
from crisp.evaluate.score_rows import ObjectScore, Surplus
from crisp.evaluate.targets import Choose, visible_enough
from crisp.evaluate.true_model import TrueModels
from crisp.types import Mesh


@dataclass(frozen=True, eq=False)
class FrameScores:
    """Of one frame: its labels, and estimates that are of none of them."""

    objects: tuple[ObjectScore, ...]
    surplus: tuple[Surplus, ...]


@dataclass(frozen=True, eq=False)
class _Seen:
    cases: list[Case]
    loose: list[Loose]


class FrameScorer:
    """Scores frame after frame, keeping each model's samples.

    Args:
        detections: that the predictions were made from; None where it was the labels' masks.
        choose: the targets of protocol `bop`.
    """

    def __init__(
        self,
        dataset: Dataset,
        predictions: Predictions,
        protocols: frozenset[Protocol],
        *,
        conventions: Conventions,
        detections: DetectedMasks | None = None,
        choose: Choose = visible_enough,
    ) -> None:
        self._detections, self._choose = detections, choose
        self._dataset = dataset
        self._predictions = predictions
        self._protocols = protocols
        self._conventions = conventions
        self._truths = TrueModels(dataset, conventions)

    def frame(self, key: FrameKey) -> FrameScores:
        """One score for each label whose mask was given, and the estimates that are of no label.

        Raises:
            InputError: the predictions belong to other masks, or a file is missing or damaged.
        """
        seen = self._of_labels(key) if self._detections is None else self._of_detections(key)
        cases, loose = seen.cases, seen.loose
        every = self._predictions.frames.get(key.frame_id, {}).values()
        seconds = sum((predicted.seconds for predicted in every), start=0.0)
        bop: Sequence[BopError | None] = [None] * len(cases)
        if "bop" in self._protocols:
            load = partial(self._dataset.load_frame, key)
            extra = None if self._detections is None else loose
            bop = score_frame(cases, load, loose=extra, choose=self._choose)
        rows = [self._object(case, e, seconds=seconds) for case, e in zip(cases, bop, strict=True)]
        return FrameScores(tuple(rows), tuple(self._surplus(one, seconds) for one in loose))

    def _given(self, key: FrameKey) -> list[Instance]:
        at_least = float(self._predictions.settings.get("min_visib_fract", 0.0))
        # A set that does not say how much is visible has NaN there: all its masks are given.
        return [i for i in self._dataset.instances(key) if not i.visib_fract < at_least]

    def _of_labels(self, key: FrameKey) -> _Seen:
        """Detection i is of the i-th label whose mask was given."""
        given = self._given(key)
        predicted = self._checked(key, len(given), "labels with a mask")
        return _Seen([self._case(key, n, label, predicted.get(n)) for n, label in enumerate(given)], [])

    def _of_detections(self, key: FrameKey) -> _Seen:
        """A detection is of the label that its mask overlaps, or of none."""
        assert self._detections is not None
        # A frame whose detections cannot be read was not predicted, and its labels are failures.
        said = self._detections.found(key) if self._predictions.frames.get(key.frame_id) else ()
        found = self._checked(key, len(said), "detections")
        predicted = {n: replace(one, confidence=said[n].score) for n, one in found.items()}
        labels = labels_of_detections(self._dataset, key, said)
        number_of = {label: n for n, label in enumerate(labels) if label is not None}
        cases = []
        for label in self._given(key):
            n = number_of.get(label.index, NO_DETECTION)
            cases.append(self._case(key, n, label, predicted.get(n)))
        free = [n for n, label in enumerate(labels) if label is None and n in predicted]
        loose = [self._loose(key, said[n], predicted[n]) for n in free]
        return _Seen(cases, [one for one in loose if one is not None])

    def _checked(self, key: FrameKey, masks: int, what: str) -> Mapping[int, PredictedObject]:
        predicted = self._predictions.frames.get(key.frame_id, {})
        if predicted and max(predicted) >= masks:
            raise InputError(
                f"the predictions hold detection {max(predicted)} of frame {key.frame_id}, which has only "
                f"{masks} {what}: they belong to other masks."
            )
        return predicted

    def _loose(self, key: FrameKey, said: Detected, predicted: PredictedObject) -> Loose | None:
        """None where nothing was estimated, or of an object that the set has not."""
        T, name, kind = predicted.T_camera_object, "", said.category
        if predicted.status != "ok" or T is None:
            return None
        if said.object_id in self._dataset.object_ids:
            model = self._dataset.object(said.object_id)
            name, kind = model.name, model.kind
        if kind is None:
            return None
        return Loose(
            key=key,
            detection=predicted.detection,
            object_id=said.object_id,
            name=name,
            kind=kind,
            confidence=predicted.confidence,
            T=T,
            mesh=predicted.mesh() if self._protocols & MAP_PROTOCOLS else None,
        )

    def _surplus(self, one: Loose, seconds: float) -> Surplus:
        return Surplus(
            frame_id=one.key.frame_id,
            detection=one.detection,
            object_id=one.object_id,
            name=one.name,
            kind=one.kind,
            confidence=one.confidence,
            frame_seconds=seconds,
            T_camera_object=one.T,
            box=None if one.mesh is None else _box(one.mesh, one.T),
        )

    def _case(
        self, key: FrameKey, detection: int, instance: Instance, predicted: PredictedObject | None
    ) -> Case:
        ok = predicted if predicted is not None and predicted.status == "ok" else None
        return Case(
            key=key,
            detection=detection,
            instance=instance,
            truth=self._truths.of(instance),
            predicted=predicted,
            T=None if ok is None else ok.T_camera_object,
            mesh=ok.mesh() if ok is not None and self._protocols & NEED_MESH else None,
        )

    def _object(self, case: Case, bop: BopError | None, *, seconds: float) -> ObjectScore:
        truth, asked, T_true = case.truth, self._protocols, case.instance.T_camera_object
        return ObjectScore(
            frame_id=case.key.frame_id,
            detection=case.detection,
            object_id=case.instance.object_id,
            name=truth.model.name,
            kind=truth.model.kind,
            visib_fract=case.instance.visib_fract,
            status="missing" if case.predicted is None else case.predicted.status,
            certified=None if case.predicted is None else case.predicted.certified,
            confidence=case.confidence,
            frame_seconds=seconds,
            T_camera_object=case.T,
            pose=truth.pose_error(case.T, T_true) if "add-s" in asked else None,
            shape=truth.shape_error(case.mesh) if "chamfer-mm" in asked else None,
            normalised=truth.normalised_error(case.mesh) if "crisp-shape" in asked else None,
            l1=truth.l1_error(case.T, T_true, case.mesh) if "spe3r-l1" in asked else None,
            squared=truth.squared_error(case.mesh) if "nocs-shape" in asked else None,
            boxes=self._boxes(case) if asked & MAP_PROTOCOLS else None,
            bop=bop,
        )

    def _boxes(self, case: Case) -> BoxPair:
        estimate = None
        if case.T is not None and case.mesh is not None:
            estimate = _box(case.mesh, case.T)
        return BoxPair(
            truth=_box(case.truth.model.mesh, case.instance.T_camera_object),
            estimate=estimate,
            free=self._conventions.turns(case.key, case.instance, kind=case.truth.model.kind),
            upright=self._conventions.upright,
        )


def _box(mesh: Mesh, T: Float[np.ndarray, "4 4"]) -> Box:
    used = mesh.vertices[np.unique(mesh.faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    return Box(T, (low + high) / 2, high - low)
