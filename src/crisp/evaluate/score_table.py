"""Errors of every labelled object, and their summary by group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from jaxtyping import Float

from crisp.metrics.scores import auc, bootstrap_interval

AUC_CM = (1, 2, 3, 10)
F_SCORE_M = (0.002, 0.005)
MM_PER_M = 1000.0


@dataclass(frozen=True)
class PoseError:
    """Protocol `add-s`; infinite where there is no estimate."""

    add_s_m: float
    rotation_deg: float
    translation_m: float


@dataclass(frozen=True)
class ShapeError:
    """Protocol `chamfer-mm`; infinite where there is no estimate.

    Args:
        f_scores: at F_SCORE_M; 0 where there is no estimate.
        floor_m: what two samples of the true mesh are apart.
    """

    chamfer_m: float
    f_scores: tuple[float, ...]
    floor_m: float


@dataclass(frozen=True, eq=False)
class ObjectScore:
    """One labelled object.

    Args:
        status: "ok", the estimate's failure, or "missing" where the predictions do not have it.
        confidence: for BOP's results file.
        frame_seconds: the frame's time, all its objects together.
        pose, shape: None where the protocol was not asked for.
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
    pose: PoseError | None
    shape: ShapeError | None


@dataclass(frozen=True)
class Figure:
    """One number of a summary, with its 95 % interval over frames where one was made."""

    name: str
    value: float
    interval: tuple[float, float] | None = None


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


@dataclass(frozen=True, eq=False)
class Scores:
    """What `score` found. `summaries` begins with all objects, then kinds, then names where they differ."""

    crisp_version: str
    model_name: str
    results_sha256: str
    settings: Mapping[str, Any]
    objects: tuple[ObjectScore, ...]

    @cached_property
    def summaries(self) -> tuple[Summary, ...]:
        """By group; intervals for all objects together."""
        groups: dict[str, list[ObjectScore]] = {}
        for row in self.objects:
            groups.setdefault(row.kind, []).append(row)
        names = {row.name for row in self.objects} - set(groups)
        by_name = {name: [row for row in self.objects if row.name == name] for name in sorted(names)}
        ordered = {kind: groups[kind] for kind in sorted(groups)} | by_name
        whole = _summary("all", list(self.objects), intervals=True)
        return (whole, *(_summary(group, rows, intervals=False) for group, rows in ordered.items()))

    def summary(self, group: str = "all") -> Summary:
        """One group's.

        Raises:
            KeyError: there is no such group.
        """
        return {summary.group: summary for summary in self.summaries}[group]


def _summary(group: str, rows: list[ObjectScore], *, intervals: bool) -> Summary:
    frames = np.array([row.frame_id for row in rows]) if intervals else None
    figures = (*_pose_figures(rows, frames), *_shape_figures(rows, frames))
    return Summary(group, len(rows), sum(row.T_camera_object is None for row in rows), figures)


def _pose_figures(rows: list[ObjectScore], frames: np.ndarray | None) -> Iterator[Figure]:
    errors = [row.pose for row in rows if row.pose is not None]
    if not errors:
        return
    add_s_m = np.array([e.add_s_m for e in errors])
    for cm in AUC_CM:
        yield _figure(f"ADD-S AUC {cm} cm", add_s_m, partial(auc, threshold=cm / 100), frames=frames)
    median = _median
    yield _figure("ADD-S median mm", MM_PER_M * add_s_m, median, frames=frames)
    yield _figure("rotation median deg", np.array([e.rotation_deg for e in errors]), median, frames=frames)
    translation_mm = MM_PER_M * np.array([e.translation_m for e in errors])
    yield _figure("translation median mm", translation_mm, median, frames=frames)


def _shape_figures(rows: list[ObjectScore], frames: np.ndarray | None) -> Iterator[Figure]:
    errors = [row.shape for row in rows if row.shape is not None]
    if not errors:
        return
    chamfer_mm = MM_PER_M * np.array([e.chamfer_m for e in errors])
    yield _figure("chamfer median mm", chamfer_mm, _median, frames=frames)
    estimated = chamfer_mm[np.isfinite(chamfer_mm)]
    yield Figure("chamfer mean of estimated mm", float(estimated.mean()) if len(estimated) else np.inf)
    yield Figure("sampling floor mm", MM_PER_M * float(np.mean([e.floor_m for e in errors])))
    for k, threshold_m in enumerate(F_SCORE_M):
        scores = np.array([e.f_scores[k] for e in errors])
        yield _figure(f"F-score {MM_PER_M * threshold_m:g} mm", scores, _mean, frames=frames)


def _figure(
    name: str, errors: np.ndarray, statistic: Callable[[np.ndarray], float], *, frames: np.ndarray | None
) -> Figure:
    interval = None if frames is None else bootstrap_interval(errors, statistic, clusters=frames)
    return Figure(name, statistic(errors), interval)


def _mean(errors: np.ndarray) -> float:
    return float(errors.mean())


def _median(errors: np.ndarray) -> float:
    """Of an even count the upper one: halfway to infinity is infinity anyway."""
    return float(np.sort(errors)[len(errors) // 2])
