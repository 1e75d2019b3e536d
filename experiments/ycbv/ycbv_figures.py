"""Statistics of the experiments on YCB-Video: weights for nearly equal images, intervals over scenes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from crisp.evaluate.metrics.crisp_shape import E_SHAPE_AUC
from crisp.evaluate.metrics.statistics import bootstrap_interval
from experiments.support.evidence import Claim
from experiments.ycbv.ycbv_sets import Row

Statistic = Callable[[np.ndarray, np.ndarray], float]
"""Of values and their weights."""
Part = tuple[str, str, Statistic, str]
"""What is claimed, of which field of the rows, by which statistic, in which unit."""


def weights_of(rows: Sequence[Row]) -> np.ndarray:
    """Weights with which nearly equal images of an object count as one."""
    count = Counter(row.view for row in rows)
    return np.array([1.0 / count[row.view] for row in rows])


def equal(rows: Sequence[Row]) -> np.ndarray:
    """Every object counts as one."""
    return np.ones(len(rows))


def over_scenes(
    rows: Sequence[Row], values: np.ndarray, weights: np.ndarray, statistic: Statistic
) -> tuple[float, tuple[float, float]]:
    """A statistic of the rows' values and weights, and its 95 % bootstrap interval over scenes."""
    places = np.arange(len(rows), dtype=float)  # errors must not be negative, which a change can be

    def of(chosen: np.ndarray) -> float:
        index = chosen.astype(int)
        return statistic(values[index], weights[index])

    scenes = np.array([row.scene for row in rows])
    return of(places), bootstrap_interval(places, of, clusters=scenes)


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> float:
    return float(np.average(values, weights=weights))


def weighted_auc(threshold: float) -> Statistic:
    """Mean of max(0, 1 - e / threshold)."""
    return lambda e, w: weighted_mean(np.maximum(0.0, 1.0 - e / threshold), w)


def weighted_median(e: np.ndarray, w: np.ndarray) -> float:
    """The weighted median: the smallest value that half of the weight does not exceed."""
    order = np.argsort(e)
    return float(e[order][np.searchsorted(np.cumsum(w[order]), 0.5 * w.sum())])


AUCS: tuple[tuple[str, str, float], ...] = (
    *((f"ADD-S AUC at {cm} cm", "add_s_m", cm / 100) for cm in (1, 2, 3)),
    *((f"e_shape AUC at {bound:g}", "crisp_shape", bound) for bound in E_SHAPE_AUC),
)
"""What is claimed, of which field of the rows, up to which error."""
TURNED: Part = (
    "median rotation error, objects without symmetry",
    "rotation_deg",
    weighted_median,
    "degrees",
)
BACKWARDS_DEG = 90
BACKWARDS: Part = (
    f"turned by more than {BACKWARDS_DEG} degrees, objects without symmetry",
    "rotation_deg",
    lambda e, w: weighted_mean(e > BACKWARDS_DEG, w),
    "share",
)
CHAMFER: Part = ("median chamfer", "chamfer_m", weighted_median, "mm")
OF_OBJECTS: tuple[Part, ...] = (
    ("ADD-S AUC at 2 cm", "add_s_m", weighted_auc(0.02), "share"),
    ("e_shape AUC at 0.05", "crisp_shape", weighted_auc(0.05), "share"),
    CHAMFER,
)


def values_of(rows: Sequence[Row], name: str) -> np.ndarray:
    return np.array([getattr(row, name) for row in rows], dtype=float)


def figures(
    title: str, rows: Sequence[Row], weights: np.ndarray, parts: Sequence[Part], *, goals: Mapping[str, str]
) -> list[Claim]:
    """A claim for each part; lengths are in millimetres."""
    claims = []
    for what, field, statistic, unit in parts:
        values = (1000.0 if unit == "mm" else 1.0) * values_of(rows, field)
        found, interval = over_scenes(rows, values, weights, statistic)
        claims.append(Claim(f"{title}: {what}", goals.get(what, "report"), found, interval, unit=unit))
    return claims


def claims_of(
    title: str, rows: Sequence[Row], weights: np.ndarray, *, goals: Mapping[str, str] | None = None
) -> list[Claim]:
    """All figures of one corrector on one set.

    Args:
        goals: by figure, such as "ADD-S AUC at 2 cm"; the others are a report.
    """
    parts: list[Part] = [
        *((what, field, weighted_auc(threshold), "share") for what, field, threshold in AUCS),
        CHAMFER,
    ]
    claims = figures(title, rows, weights, parts, goals=goals or {})
    plain = [i for i, row in enumerate(rows) if not row.symmetric]
    if plain:
        claims += figures(title, [rows[i] for i in plain], weights[plain], [TURNED, BACKWARDS], goals={})
    return claims + verdicts(title, rows, weights)


def verdicts(title: str, rows: Sequence[Row], weights: np.ndarray) -> list[Claim]:
    """How many are certified, and how many of those have the right pose; nothing without a certificate."""
    if all(row.certified is None for row in rows):
        return []
    claims = [share(f"{title}: share that is certified", rows, weights, lambda row: row.certified is True)]
    chosen = [i for i, row in enumerate(rows) if row.certified]
    if chosen:
        what = f"{title}: share of the certified within 10 % of the diameter"
        claims.append(share(what, [rows[i] for i in chosen], weights[chosen], lambda row: not row.wrong))
    return claims


def share(what: str, rows: Sequence[Row], weights: np.ndarray, holds: Callable[[Row], bool]) -> Claim:
    """The share of the rows, by weight, of which that holds."""
    values = np.array([float(holds(row)) for row in rows])
    found, interval = over_scenes(rows, values, weights, weighted_mean)
    return Claim(what, "report", found, interval, unit="share")


def by_object(title: str, rows: Sequence[Row], weights: np.ndarray) -> list[Claim]:
    """Of each object ADD-S AUC at 2 cm, e_shape AUC at 0.05, chamfer, and the share that is certified."""
    claims = []
    for name in sorted({row.name for row in rows}):
        chosen = [i for i, row in enumerate(rows) if row.name == name]
        own, w = [rows[i] for i in chosen], weights[chosen]
        what = f"{title}, {name}, {w.sum():.0f} seen"
        claims += figures(what, own, w, OF_OBJECTS, goals={})
        if any(row.certified is not None for row in own):
            claims.append(
                share(f"{what}: share that is certified", own, w, lambda row: row.certified is True)
            )
    return claims
