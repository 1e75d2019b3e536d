"""The figures of each protocol, from the errors of some objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Float, Shaped

from crisp.evaluate.map_figures import map_figures
from crisp.evaluate.metrics.nocs_map import FIXED, ORIGINAL
from crisp.evaluate.metrics.statistics import auc, bootstrap_interval
from crisp.evaluate.object_errors import SquaredError
from crisp.evaluate.protocols import AUC_CM, E_SHAPE_AUC, F_SCORE_M
from crisp.evaluate.score_rows import Figure, ObjectScore, Surplus

MM_PER_M = 1000.0
Frames = Shaped[np.ndarray, " n"] | None
"""What each object belongs to, for the intervals; None where none are wanted."""


def figures(
    rows: Sequence[ObjectScore],
    protocols: Iterable[str],
    *,
    frames: Frames,
    surplus: Sequence[Surplus] = (),
) -> Iterator[Figure]:
    """All figures of the protocols, in the order in which they are named.

    Args:
        frames: of each row, over which the 95 % intervals are; none are made unless given.
        surplus: estimates that are of no label, which mAP counts as false.
    """
    makers: dict[str, Callable[[Sequence[ObjectScore], Frames], Iterable[Figure]]] = {
        "add-s": _pose,
        "crisp-shape": _normalised,
        "chamfer-mm": _shape,
        "spe3r-l1": _l1,
        "nocs-shape": _squared,
        "nocs-map-original": partial(map_figures, prefix="original ", variant=ORIGINAL, surplus=surplus),
        "nocs-map": partial(map_figures, prefix="", variant=FIXED, surplus=surplus),
        "bop": _bop,
    }
    for name in protocols:
        for figure in makers[name](rows, frames):
            yield replace(figure, protocol=name)


def _pose(rows: Sequence[ObjectScore], frames: Frames) -> Iterator[Figure]:
    errors = [row.pose for row in rows if row.pose is not None]
    add_s_m = np.array([e.add_s_m for e in errors])
    for cm in AUC_CM:
        yield _figure(f"ADD-S AUC {cm} cm", add_s_m, partial(auc, threshold=cm / 100), frames=frames)
    yield _figure("ADD-S median mm", MM_PER_M * add_s_m, _median, frames=frames)
    yield _figure("rotation median deg", np.array([e.rotation_deg for e in errors]), _median, frames=frames)
    translation_mm = MM_PER_M * np.array([e.translation_m for e in errors])
    yield _figure("translation median mm", translation_mm, _median, frames=frames)


def _normalised(rows: Sequence[ObjectScore], frames: Frames) -> Iterator[Figure]:
    errors = [row.normalised for row in rows if row.normalised is not None]
    e_shape, floors = np.array([e.e_shape for e in errors]), np.array([e.floor for e in errors])
    for bound in E_SHAPE_AUC:
        yield _figure(f"e_shape AUC {bound:.2f}", e_shape, partial(auc, threshold=bound), frames=frames)
        yield Figure(f"e_shape AUC {bound:.2f} floor", auc(floors, bound))
    yield _figure("e_shape mean", e_shape, _mean, frames=frames)
    yield _figure("e_shape median", e_shape, _median, frames=frames)
    yield Figure("e_shape mean of estimated", _mean_of_finite(e_shape))
    yield Figure("e_shape floor", _mean(floors))


def _shape(rows: Sequence[ObjectScore], frames: Frames) -> Iterator[Figure]:
    errors = [row.shape for row in rows if row.shape is not None]
    chamfer_mm = MM_PER_M * np.array([e.chamfer_m for e in errors])
    yield _figure("chamfer median mm", chamfer_mm, _median, frames=frames)
    yield Figure("chamfer mean of estimated mm", _mean_of_finite(chamfer_mm))
    yield Figure("sampling floor mm", MM_PER_M * _mean([e.floor_m for e in errors]))
    for k, threshold_m in enumerate(F_SCORE_M):
        scores = np.array([e.f_scores[k] for e in errors])
        yield _figure(f"F-score {MM_PER_M * threshold_m:g} mm", scores, _mean, frames=frames)


def _l1(rows: Sequence[ObjectScore], frames: Frames) -> Iterator[Figure]:
    errors = [row.l1 for row in rows if row.l1 is not None]
    parts = (
        ("e_shape L1", [e.e_shape for e in errors], [e.shape_floor for e in errors]),
        ("e_pose L1", [e.e_pose for e in errors], [e.pose_floor for e in errors]),
    )
    for name, values, floors in parts:
        yield _figure(f"{name} mean", np.array(values), _mean, frames=frames)
        yield _figure(f"{name} median", np.array(values), _median, frames=frames)
        yield Figure(f"{name} mean of estimated", _mean_of_finite(np.array(values)))
        yield Figure(f"{name} floor", _mean(floors))


def _squared(rows: Sequence[ObjectScore], frames: Frames) -> Iterator[Figure]:
    scored = [(row.kind, row.squared) for row in rows if row.squared is not None]
    yield _figure("NOCS shape mean", np.array([e.chamfer for _, e in scored]), _mean, frames=frames)
    yield Figure("NOCS shape mean over categories", _over_categories(scored))
    yield Figure("NOCS shape mean of estimated", _mean_of_finite(np.array([e.chamfer for _, e in scored])))
    yield Figure("NOCS shape floor", _mean([e.floor for _, e in scored]))


def _over_categories(scored: Sequence[tuple[str, SquaredError]]) -> float:
    """The average that is printed beside the categories: each counts once, however many objects it has."""
    kinds = sorted({kind for kind, _ in scored})
    return _mean([_mean([e.chamfer for kind, e in scored if kind == this]) for this in kinds])


def _bop(rows: Sequence[ObjectScore], frames: Frames) -> Iterator[Figure]:
    chosen = [k for k, row in enumerate(rows) if row.bop is not None]
    errors = [row.bop for row in rows if row.bop is not None]
    if not errors:  # a group without a target: less than 10 % of each can be seen
        return
    frames = None if frames is None else frames[chosen]
    columns = {
        "AR": [e.recall for e in errors],
        "AR VSD": [e.vsd_recall for e in errors],
        "AR MSSD": [e.mssd_recall for e in errors],
        "AR MSPD": [e.mspd_recall for e in errors],
    }
    for name, values in columns.items():
        yield _figure(name, np.array(values), _mean, frames=frames)


def _figure(
    name: str,
    errors: Float[np.ndarray, " n"],
    statistic: Callable[[Float[np.ndarray, " m"]], float],
    *,
    frames: Frames,
) -> Figure:
    interval = None if frames is None else bootstrap_interval(errors, statistic, clusters=frames)
    return Figure(name, statistic(errors), interval)


def _mean(errors: Float[np.ndarray, " n"] | Sequence[float]) -> float:
    return float(np.mean(errors))


def _mean_of_finite(errors: Float[np.ndarray, " n"]) -> float:
    estimated = errors[np.isfinite(errors)]
    return float(estimated.mean()) if len(estimated) else np.inf


def _median(errors: Float[np.ndarray, " n"]) -> float:
    """Of an even count the upper one: halfway to infinity is infinity anyway."""
    return float(np.sort(errors)[len(errors) // 2])
