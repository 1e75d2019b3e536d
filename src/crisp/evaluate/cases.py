"""What the metrics measure: labelled objects beside their estimates, and BOP19's choice of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from crisp.data.bop.detections import read_targets
from crisp.data.dataset import Dataset, Detected, DetectedMasks, FrameKey, Instance, KnownObject
from crisp.data.layout import BOP_CONVENTIONS, Conventions
from crisp.errors import InputError
from crisp.evaluate.detections import labels_of_detections
from crisp.evaluate.metrics.shape import ESTIMATE_STREAM, TRUTH_STREAM, SurfaceSample, sample_surface
from crisp.evaluate.predictions import PredictedObject, Predictions
from crisp.types import Frame, Mesh

SEED = 0
NO_DETECTION = -1
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class TrueModel:
    """A model with its samples, and what metrics work out of it alone: each made once for all instances."""

    model: KnownObject
    conventions: Conventions = BOP_CONVENTIONS
    _samples: dict[tuple[int, int], SurfaceSample] = field(default_factory=dict, repr=False)
    _values: dict[Callable[[TrueModel], Any], Any] = field(default_factory=dict, repr=False)

    @cached_property
    def unit_m(self) -> float:
        """One unit of length of the set's models."""
        return self.conventions.unit_m(self.model)

    def sample(self, count: int, *, stream: int = TRUTH_STREAM) -> SurfaceSample:
        """Points of the surface.

        Args:
            stream: TRUTH_STREAM, or ESTIMATE_STREAM to sample the truth as an estimate is.
        """
        if (count, stream) not in self._samples:
            points = sample_surface(self.model.mesh, count, seed=SEED, stream=stream)
            self._samples[count, stream] = SurfaceSample(points)
        return self._samples[count, stream]

    def once(self, make: Callable[[TrueModel], Value]) -> Value:
        """What a function makes of this model, from the second time on without calling it."""
        if make not in self._values:
            self._values[make] = make(self)
        found: Value = self._values[make]
        return found


class TrueModels:
    """The true models of a data set, each in its instances' own size."""

    def __init__(self, dataset: Dataset, conventions: Conventions = BOP_CONVENTIONS) -> None:
        self._dataset, self._conventions = dataset, conventions
        self._kept: dict[int, TrueModel] = {}

    def of(self, instance: Instance) -> TrueModel:
        """With samples that are made once; a size of one image's own is not met again, and not kept."""
        model = self._dataset.object(instance.object_id)
        if instance.scale != 1.0:
            return TrueModel(model.scaled(instance.scale), self._conventions)
        if instance.object_id not in self._kept:
            self._kept[instance.object_id] = TrueModel(model, self._conventions)
        return self._kept[instance.object_id]


def sample_estimate(mesh: Mesh, count: int) -> SurfaceSample:
    """Points of an estimated surface, independent of those of a true one."""
    return SurfaceSample(sample_surface(mesh, count, seed=SEED, stream=ESTIMATE_STREAM))


@dataclass(frozen=True, eq=False)
class Case:
    """One labelled object and what was said of it.

    Args:
        detection: number of the mask that it was estimated from; NO_DETECTION where no detection is of it.
        predicted: None where the predictions do not have it.
    """

    key: FrameKey
    detection: int
    instance: Instance
    truth: TrueModel
    predicted: PredictedObject | None

    @property
    def T(self) -> Float[np.ndarray, "4 4"] | None:
        """The estimated pose; None unless the estimate's status is ok."""
        return self.predicted.T_camera_object if self.predicted and self.predicted.status == "ok" else None

    @cached_property
    def mesh(self) -> Mesh | None:
        """The estimated shape, read when it is first asked for; None unless the estimate's status is ok.

        Raises:
            InputError: the file that `results.json` names is missing or no mesh.
        """
        return self.predicted.mesh() if self.predicted and self.predicted.status == "ok" else None

    @property
    def confidence(self) -> float:
        return 0.0 if self.predicted is None else self.predicted.confidence


@dataclass(frozen=True, eq=False)
class Loose:
    """An estimate whose detection is of no label.

    Args:
        object_id: as the detector says; None where it names a category alone.
        name: of that object, empty where it is not known.
        kind: the category.
        T: of the estimate, whose status is ok.
    """

    key: FrameKey
    object_id: int | None
    name: str
    kind: str
    predicted: PredictedObject
    T: Float[np.ndarray, "4 4"]

    @property
    def detection(self) -> int:
        """Its place among the frame's detections."""
        return self.predicted.detection

    @property
    def confidence(self) -> float:
        return self.predicted.confidence

    @cached_property
    def mesh(self) -> Mesh | None:
        """As of a case."""
        return self.predicted.mesh()


Choose = Callable[[Sequence[Case]], list[int]]
"""From the labels of a frame to the places of those that are targets."""


@dataclass(frozen=True, eq=False)
class FrameCases:
    """One frame: its labels whose mask was given, and the estimates that are of none of them.

    Args:
        detected: whether the masks are a detector's.
        choose: which labels a targets file asks for; None without such a file.
        load: reads the images.
        seconds: all estimates together.
    """

    cases: Sequence[Case]
    loose: Sequence[Loose]
    detected: bool
    choose: Choose | None
    load: Callable[[], Frame]
    seconds: float


class CaseReader:
    """Finds whose each estimate is, frame after frame.

    Args:
        detections: that the predictions were made from; None where it was the labels' masks.
        choose: as of `FrameCases`.
    """

    def __init__(
        self,
        dataset: Dataset,
        predictions: Predictions,
        *,
        conventions: Conventions,
        detections: DetectedMasks | None = None,
        choose: Choose | None = None,
    ) -> None:
        self._dataset, self._predictions = dataset, predictions
        self._detections, self._choose = detections, choose
        self._truths = TrueModels(dataset, conventions)

    def read(self, key: FrameKey) -> FrameCases:
        """One frame.

        Raises:
            InputError: the predictions belong to other masks, or a file is missing or damaged.
        """
        cases, loose = self._of_labels(key) if self._detections is None else self._of_detections(key)
        every = self._predictions.frames.get(key.frame_id, {}).values()
        return FrameCases(
            cases=cases,
            loose=loose,
            detected=self._detections is not None,
            choose=self._choose,
            load=partial(self._dataset.load_frame, key),
            seconds=sum((predicted.seconds for predicted in every), start=0.0),
        )

    def _given(self, key: FrameKey) -> list[Instance]:
        at_least = float(self._predictions.settings.get("min_visib_fract", 0.0))
        # A set that does not say how much is visible has NaN there: all its masks are given.
        return [i for i in self._dataset.instances(key) if not i.visib_fract < at_least]

    def _of_labels(self, key: FrameKey) -> tuple[list[Case], list[Loose]]:
        """Detection i is of the i-th label whose mask was given."""
        given = self._given(key)
        predicted = self._checked(key, len(given), "labels with a mask")
        return [self._case(key, n, label, predicted=predicted.get(n)) for n, label in enumerate(given)], []

    def _of_detections(self, key: FrameKey) -> tuple[list[Case], list[Loose]]:
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
            cases.append(self._case(key, n, label, predicted=predicted.get(n)))
        free = [n for n, label in enumerate(labels) if label is None and n in predicted]
        loose = [self._loose(key, said[n], predicted[n]) for n in free]
        return cases, [one for one in loose if one is not None]

    def _checked(self, key: FrameKey, masks: int, what: str) -> Mapping[int, PredictedObject]:
        predicted = self._predictions.frames.get(key.frame_id, {})
        if predicted and max(predicted) >= masks:
            raise InputError(
                f"the predictions hold detection {max(predicted)} of frame {key.frame_id}, which has only "
                f"{masks} {what}: they belong to other masks."
            )
        return predicted

    def _case(
        self, key: FrameKey, detection: int, label: Instance, *, predicted: PredictedObject | None
    ) -> Case:
        return Case(key, detection, label, truth=self._truths.of(label), predicted=predicted)

    def _loose(self, key: FrameKey, said: Detected, predicted: PredictedObject) -> Loose | None:
        """None where nothing was estimated, or of an object that the set has not."""
        T, name, kind = predicted.T_camera_object, "", said.category
        if predicted.status != "ok" or T is None:
            return None
        if said.object_id in self._dataset.object_ids:
            model = self._dataset.object(said.object_id)
            name, kind = model.name, model.kind
        return None if kind is None else Loose(key, said.object_id, name, kind=kind, predicted=predicted, T=T)


@dataclass(frozen=True, eq=False)
class Targets:
    """A targets file such as `test_targets_bop19.json`.

    Args:
        counts: instances to be found, by frame and object.
    """

    file: str
    sha256: str
    counts: Mapping[tuple[FrameKey, int], int]

    @property
    def keys(self) -> tuple[FrameKey, ...]:
        """The frames that the file names, sorted."""
        return tuple(sorted({key for key, _ in self.counts}))

    def chosen(self, cases: Sequence[Case]) -> list[int]:
        """Of each object the `inst_count` most visible labels, as BOP19 has it."""
        order = sorted(range(len(cases)), key=lambda k: (-_visible(cases[k]), k))
        left = dict(self.counts)
        found = []
        for k in order:
            what = (cases[k].key, cases[k].instance.object_id)
            if left.get(what, 0) > 0:
                left[what] -= 1
                found.append(k)
        return sorted(found)


def targets_of(path: str | Path, dataset: Dataset) -> Targets:
    """Read a targets file.

    Args:
        path: of the file, or its name in the data set's folder.
        dataset: that must have the frames.

    Raises:
        InputError: there is no such file, it is none, or it names a frame that the split has not.
    """
    path = Path(path)
    path = path if path.is_file() else dataset.root / path
    counts = {(target.key, target.object_id): target.count for target in read_targets(path)}
    known = set(dataset.bare_keys)
    if missing := sorted({key for key, _ in counts} - known):
        raise InputError(
            f"{path} names image {missing[0].frame_id}, which split '{dataset.split}' of {dataset.root} "
            "has not."
        )
    return Targets(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), counts)


def _visible(case: Case) -> float:
    share = case.instance.visib_fract
    return 1.0 if math.isnan(share) else share
