"""What a metric is: an error of each object, figures of many, and columns for tables.

A metric is one class in one file of this folder and one line of `METRICS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from jaxtyping import Float

from crisp.evaluate.cases import Case, FrameCases, Loose
from crisp.evaluate.metrics.statistics import bootstrap_interval

MM_PER_M = 1000.0
Error = TypeVar("Error")


@dataclass(frozen=True, eq=False)
class ObjectScore:
    """One labelled object.

    Args:
        detection: which of the frame's masks; -1 where a detector has not found the object.
        status: "ok", the estimate's failure, or "missing" where the predictions do not have it.
        confidence: for BOP's results file, and the order in which estimates are matched to labels.
        frame_seconds: the frame's time, all its objects together.
        errors: by the name of each metric that was asked for; None where the object is no target of it.
    """

    frame_id: str
    detection: int
    object_id: int
    name: str
    kind: str
    visib_fract: float
    status: str
    certified: bool | None
    confidence: float
    frame_seconds: float
    T_camera_object: Float[np.ndarray, "4 4"] | None
    errors: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Surplus:
    """An estimate from a detection that is of no label.

    Args:
        object_id: None where the detector names a category alone.
        name: of that object, empty where it is not known.
        said: by the name of each metric, what it keeps of such an estimate.
    """

    frame_id: str
    detection: int
    object_id: int | None
    name: str
    kind: str
    confidence: float
    frame_seconds: float
    T_camera_object: Float[np.ndarray, "4 4"]
    said: Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """One number of a summary, with its 95 % interval over frames where one was made."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    protocol: str = ""


@dataclass(frozen=True)
class Summary:
    """All figures of one group of objects.

    Args:
        count: labelled objects.
        failed: those without an estimate.
    """

    group: str
    count: int
    failed: int
    figures: tuple[Figure, ...]

    def figure(self, name: str) -> Figure | None:
        """The one of that name."""
        return next((figure for figure in self.figures if figure.name == name), None)


@dataclass(frozen=True, eq=False)
class Scored(Generic[Error]):
    """The targets of one metric in a group of objects: at least one.

    Args:
        errors: one for each object.
        surplus: estimates that are of no label, each with what the metric kept of it.
        intervals: whether figures have 95 % intervals.
    """

    objects: Sequence[ObjectScore]
    errors: Sequence[Error]
    surplus: Sequence[tuple[Surplus, Any]] = ()
    intervals: bool = False

    def column(self, name: str) -> Float[np.ndarray, " n"]:
        """One number of every error."""
        return np.array([getattr(error, name) for error in self.errors])

    def figure(
        self,
        name: str,
        values: Float[np.ndarray, " n"],
        statistic: Callable[[Float[np.ndarray, " m"]], float],
    ) -> Figure:
        """A statistic of one value for each object; its interval is over draws of whole frames."""
        if not self.intervals:
            return Figure(name, statistic(values))
        frames = np.array([row.frame_id for row in self.objects])
        return Figure(name, statistic(values), bootstrap_interval(values, statistic, clusters=frames))


class Metric(ABC, Generic[Error]):
    """One protocol. It keeps nothing between calls, which come from several threads.

    Attributes:
        settings: all constants that its figures depend on, as plain JSON.
    """

    settings: ClassVar[dict[str, Any]]

    @abstractmethod
    def errors(self, frame: FrameCases) -> Sequence[Error | None]:
        """Of each label of a frame; None for labels that are no targets."""

    @abstractmethod
    def figures(self, scored: Scored[Error]) -> Iterable[Figure]:
        """The summary of some objects. Names are unique among all metrics."""

    def columns(self, error: Error) -> Mapping[str, float]:
        """What tables of objects say of one; infinite where there is no number. Nothing unless overridden."""
        return {}

    def keep(self, loose: Loose) -> Any:
        """What `figures` needs of an estimate that is of no label. Nothing unless overridden."""
        return None


class ObjectMetric(Metric[Error]):
    """A metric that looks at one object after the other."""

    @abstractmethod
    def error(self, case: Case) -> Error:
        """Of one label; infinite where there is no estimate."""

    def errors(self, frame: FrameCases) -> list[Error | None]:
        """Of each label."""
        return [self.error(case) for case in frame.cases]


def mean(errors: Float[np.ndarray, " n"] | Sequence[float]) -> float:
    """As a plain number."""
    return float(np.mean(errors))


def mean_of_finite(errors: Float[np.ndarray, " n"]) -> float:
    """Of the objects that were estimated; infinite where none was."""
    estimated = errors[np.isfinite(errors)]
    return float(estimated.mean()) if len(estimated) else np.inf


def median(errors: Float[np.ndarray, " n"]) -> float:
    """Of an even count the upper one: halfway to infinity is infinity anyway."""
    return float(np.sort(errors)[len(errors) // 2])
