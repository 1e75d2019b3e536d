"""Scores the objects of one frame after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from crisp.data.dataset import Dataset, FrameKey, Instance
from crisp.errors import InputError
from crisp.evaluate.bop_frame import score_frame
from crisp.evaluate.case import Case
from crisp.evaluate.conventions import Conventions
from crisp.evaluate.object_errors import BopError, Box, BoxPair
from crisp.evaluate.predictions import PredictedObject, Predictions
from crisp.evaluate.protocols import MAP_PROTOCOLS, NEED_MESH, Protocol
from crisp.evaluate.score_rows import ObjectScore
from crisp.evaluate.true_model import TrueModels
from crisp.types import Mesh


class FrameScorer:
    """Scores frame after frame, keeping each model's samples."""

    def __init__(
        self,
        dataset: Dataset,
        predictions: Predictions,
        protocols: frozenset[Protocol],
        *,
        conventions: Conventions,
    ) -> None:
        self._dataset = dataset
        self._predictions = predictions
        self._protocols = protocols
        self._conventions = conventions
        self._truths = TrueModels(dataset, conventions)

    def frame(self, key: FrameKey) -> Iterator[ObjectScore]:
        """One score for each label whose mask was given.

        Raises:
            InputError: the predictions belong to other masks, or a file is missing or damaged.
        """
        cases = self._cases(key)
        seconds = sum((c.predicted.seconds for c in cases if c.predicted is not None), start=0.0)
        bop: Sequence[BopError | None] = [None] * len(cases)
        if "bop" in self._protocols:
            bop = score_frame(cases, lambda: self._dataset.load_frame(key))
        for case, found in zip(cases, bop, strict=True):
            yield self._object(case, found, seconds=seconds)

    def _cases(self, key: FrameKey) -> list[Case]:
        at_least = float(self._predictions.settings.get("min_visib_fract", 0.0))
        # A set that does not say how much is visible has NaN there: all its masks are given.
        given = [i for i in self._dataset.instances(key) if not i.visib_fract < at_least]
        predicted = self._predictions.frames.get(key.frame_id, {})
        if predicted and max(predicted) >= len(given):
            raise InputError(
                f"the predictions hold detection {max(predicted)} of frame {key.frame_id}, which has only "
                f"{len(given)} labels with a mask: they belong to other masks."
            )
        return [
            self._case(key, number, instance, predicted.get(number)) for number, instance in enumerate(given)
        ]

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
            confidence=0.0 if case.predicted is None else case.predicted.confidence,
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
