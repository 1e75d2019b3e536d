"""Protocols `nocs-map` and `nocs-map-original`: mean average precision as the NOCS benchmark has it.

Estimates are matched to labels of their frame and category, the most confident first; then each category has
the area under its precision curve, and the mean over categories is reported. All frames are matched at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from crisp.errors import InputError
from crisp.evaluate.cases import Case, Loose
from crisp.evaluate.metrics.boxes import (
    TURNS,
    Boxes,
    Overlap,
    bounds_overlap,
    box_overlaps,
    original_overlap,
    shift_errors_cm,
    turn_errors_deg,
)
from crisp.evaluate.metrics.metric import Figure, ObjectMetric, ObjectScore, Scored, Surplus
from crisp.types import Mesh

IOU_THRESHOLDS = (0.25, 0.5, 0.75)
POSE_THRESHOLDS = ((5.0, 5.0), (5.0, 10.0), (10.0, 5.0), (10.0, 10.0))
"""Degrees and centimetres."""
LEAST_IOU = 0.1
"""The published code measures poses only of what overlaps this much."""
PERCENT = 100.0
DRAWS, SEED = 1000, 0
PORTION = 50  # draws at once


@dataclass(frozen=True)
class Variant:
    """What distinguishes the two protocols.

    Args:
        overlap: of corners.
        least_iou: estimates and labels without a partner that overlaps more are left out of the figures of
            poses, as the published code does it; None where everything counts.
    """

    overlap: Overlap
    least_iou: float | None


FIXED = Variant(bounds_overlap, None)
ORIGINAL = Variant(original_overlap, LEAST_IOU)


@dataclass(frozen=True, eq=False)
class NocsLabels:
    """What is there.

    Args:
        frame, category: whole numbers.
        free: whether the object may turn about its axis (bottle, bowl, can, mug whose handle is hidden).
    """

    boxes: Boxes
    frame: Int[np.ndarray, " n"]
    category: Int[np.ndarray, " n"]
    free: Bool[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class NocsEstimates:
    """What was said. `frame` and `category` as in the labels."""

    boxes: Boxes
    frame: Int[np.ndarray, " n"]
    category: Int[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Matches:
    """Hits of estimates at each of k thresholds, IoU's first.

    Args:
        hit: whether the estimate found a label.
        counts, wanted: whether the estimate and the label take part at all.
    """

    labels: NocsLabels
    estimates: NocsEstimates
    hit: Bool[np.ndarray, "k n"]
    counts: Bool[np.ndarray, "k n"]
    wanted: Bool[np.ndarray, "k m"]


def match(labels: NocsLabels, estimates: NocsEstimates, variant: Variant, *, axis: int) -> Matches:
    """Match all frames at all thresholds.

    Args:
        axis: of the object frame about which symmetric objects turn, 0 to 2.

    Raises:
        InputError: there is no label.
    """
    if len(labels.frame) == 0:
        raise InputError("there is no labelled object to score.")
    slots = _Slots.of(labels, estimates)
    e, g = slots.pairs
    ours, theirs, free = estimates.boxes.take(e), labels.boxes.take(g), labels.free[g]
    iou = slots.spread(box_overlaps(ours, theirs, free=free, axis=axis, overlap=variant.overlap), -np.inf)
    turn = slots.spread(turn_errors_deg(ours, theirs, free=free, axis=axis), np.inf)
    shift = slots.spread(shift_errors_cm(ours, theirs), np.inf)
    hit_iou, _ = _assign(-iou, [iou > t for t in IOU_THRESHOLDS])
    fit, found = slots.estimate >= 0, slots.label >= 0
    if variant.least_iou is not None:
        near, reached = _assign(-iou, [iou > variant.least_iou])
        fit, found = near[0], reached[0]
    both = fit[:, :, None] & found[:, None, :]
    hit_pose, _ = _assign(turn + shift, [both & (turn <= d) & (shift <= c) for d, c in POSE_THRESHOLDS])
    hits = np.concatenate([hit_iou, hit_pose])
    ious, poses = len(IOU_THRESHOLDS), len(POSE_THRESHOLDS)
    everyone, everything = np.ones(len(estimates.frame), bool), np.ones(len(labels.frame), bool)
    return Matches(
        labels,
        estimates,
        hit=np.stack([_gather(hit, slots.estimate, everyone) for hit in hits]),
        counts=np.stack([everyone] * ious + [_gather(fit, slots.estimate, everyone)] * poses),
        wanted=np.stack([everything] * ious + [_gather(found, slots.label, everything)] * poses),
    )


def _gather(values: np.ndarray, slot: np.ndarray, like: np.ndarray) -> np.ndarray:
    """From padded places back to the list's order."""
    flat = np.zeros_like(like)
    flat[slot[slot >= 0]] = values[slot >= 0]
    return flat


@dataclass(frozen=True, eq=False)
class _Slots:
    """Estimates and labels of each frame and category side by side: place in the list, -1 where empty.

    Estimates stand by falling confidence, labels in their order.
    """

    estimate: Int[np.ndarray, "g p"]
    label: Int[np.ndarray, "g q"]

    @classmethod
    def of(cls, labels: NocsLabels, estimates: NocsEstimates) -> _Slots:
        frames = np.concatenate([labels.frame, estimates.frame])
        categories = np.concatenate([labels.category, estimates.category])
        groups = np.unique(np.stack([frames, categories], axis=1), axis=0, return_inverse=True)[1].ravel()
        count, split = int(groups.max()) + 1, len(labels.frame)
        confident_first = np.argsort(-estimates.score, kind="stable")
        return cls(
            _padded(groups[split:], confident_first, count),
            _padded(groups[:split], np.arange(split), count),
        )

    @property
    def pairs(self) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        group, i, j = np.nonzero(self._both)
        return self.estimate[group, i], self.label[group, j]

    @property
    def _both(self) -> Bool[np.ndarray, "g p q"]:
        return (self.estimate >= 0)[:, :, None] & (self.label >= 0)[:, None, :]

    def spread(self, values: Float[np.ndarray, " n"], empty: float) -> Float[np.ndarray, "g p q"]:
        """Values of `pairs` at their places."""
        padded = np.full(self._both.shape, empty)
        padded[self._both] = values
        return padded


def _padded(groups: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    """(count, most) the list's places by group, in the given order."""
    order = order[np.argsort(groups[order], kind="stable")]
    sizes = np.bincount(groups, minlength=count)
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    slots = np.full((count, int(sizes.max(initial=0))), -1)
    slots[groups[order], place] = order
    return slots


def _assign(
    cost: Float[np.ndarray, "g p q"], allowed: list[Bool[np.ndarray, "g p q"]]
) -> tuple[Bool[np.ndarray, "k g p"], Bool[np.ndarray, "k g q"]]:
    """Each estimate in turn takes the cheapest allowed label that is still free; groups side by side."""
    may = np.stack(allowed)
    hit = np.zeros(may.shape[:3], dtype=bool)
    taken = np.zeros((*may.shape[:2], may.shape[3]), dtype=bool)
    if not may.size:
        return hit, taken
    for i in range(may.shape[2]):
        open_ = may[:, :, i] & ~taken
        choice = np.where(open_, cost[:, i], np.inf).argmin(axis=-1)[..., None]
        hit[:, :, i] = np.take_along_axis(open_, choice, axis=-1)[..., 0]
        before = np.take_along_axis(taken, choice, axis=-1)
        np.put_along_axis(taken, choice, before | hit[:, :, i, None], axis=-1)
    return hit, taken


def mean_average_precision(
    matches: Matches, weights: Float[np.ndarray, "d f"] | None = None
) -> Float[np.ndarray, "d k"]:
    """Mean over the labels' categories of the average precision at each threshold, shares.

    Args:
        weights: how often each frame counts (columns by the frame's number), for bootstrap draws; once
            unless given. A category that a draw leaves without a label does not count in it.
    """
    labels, estimates = matches.labels, matches.estimates
    frames = int(max(labels.frame.max(), estimates.frame.max(initial=0))) + 1
    weights = np.ones((1, frames)) if weights is None else weights
    found = [
        _average_precisions(matches, estimates.category == c, labels.category == c, weights=weights)
        for c in np.unique(labels.category)
    ]
    ap = np.stack(found)  # (categories, draws, thresholds), NaN without a label
    there = np.isfinite(ap)
    return np.where(there, ap, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)


def _average_precisions(
    matches: Matches, ours: np.ndarray, theirs: np.ndarray, *, weights: Float[np.ndarray, "d f"]
) -> Float[np.ndarray, "d k"]:
    estimates = matches.estimates
    rows = np.flatnonzero(ours)
    rows = rows[np.argsort(-estimates.score[rows], kind="stable")]
    label_weights = weights[:, matches.labels.frame[theirs]]
    estimate_weights = weights[:, estimates.frame[rows]]
    there = label_weights.sum(axis=1) > 0
    areas = np.stack(
        [
            average_precision(
                hit[rows],
                estimate_weights * counts[rows],
                total=(label_weights * wanted[theirs]).sum(axis=1),
            )
            for hit, counts, wanted in zip(matches.hit, matches.counts, matches.wanted, strict=True)
        ],
        axis=1,
    )
    return np.where(there[:, None], areas, np.nan)


def average_precision(
    hit: Bool[np.ndarray, " n"], weights: Float[np.ndarray, "d n"], *, total: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " d"]:
    """Area under the precision curve, precision made to fall with recall (PASCAL VOC); 0 without labels.

    Args:
        hit: by falling confidence.
        weights: how often each estimate counts.
        total: of the labels' weights.
    """
    hits, said = np.cumsum(weights * hit, axis=1), np.cumsum(weights, axis=1)
    precision = hits / np.maximum(said, 1e-12)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    area = (weights * hit * envelope).sum(axis=1)
    return np.where(total > 0, area / np.where(total > 0, total, 1.0), 0.0)


@dataclass(frozen=True, eq=False)
class Box:
    """A posed box; centre and size along the object frame's axes, metres."""

    T_camera_object: Float[np.ndarray, "4 4"]
    centre: Float[np.ndarray, " 3"]
    size: Float[np.ndarray, " 3"]

    @classmethod
    def around(cls, mesh: Mesh, T: Float[np.ndarray, "4 4"]) -> Box:
        """The bounds of what the faces use."""
        used = mesh.vertices[np.unique(mesh.faces)]
        low, high = used.min(axis=0), used.max(axis=0)
        return cls(T, (low + high) / 2, high - low)


@dataclass(frozen=True, eq=False)
class BoxPair:
    """What is kept of one label.

    Args:
        truth, estimate: boxes of the true and of the estimated mesh; None without an estimate.
        free: whether the object may turn about the upright axis.
        upright: that axis of the object frame, 0 to 2.
    """

    truth: Box
    estimate: Box | None
    free: bool
    upright: int


class NocsMap(ObjectMetric[BoxPair]):
    """mAP at each threshold in percent, as they are published; everything counts."""

    variant: ClassVar[Variant] = FIXED
    prefix: ClassVar[str] = ""
    settings: ClassVar[dict[str, Any]] = {
        "iou": list(IOU_THRESHOLDS),
        "deg_cm": [list(pair) for pair in POSE_THRESHOLDS],
        "turns": TURNS,
        "score": "mean over categories of AP",
        "category": "the label's",
        "bounds": "over corners",
        "least_iou": None,
    }

    def error(self, case: Case) -> BoxPair:
        T, mesh, conventions = case.T, case.mesh, case.truth.conventions
        return BoxPair(
            truth=Box.around(case.truth.model.mesh, case.instance.T_camera_object),
            estimate=None if T is None or mesh is None else Box.around(mesh, T),
            free=conventions.turns(case.key, case.instance, kind=case.truth.model.kind),
            upright=conventions.upright,
        )

    def keep(self, loose: Loose) -> Box | None:
        return None if loose.mesh is None else Box.around(loose.mesh, loose.T)

    def figures(self, scored: Scored[BoxPair]) -> list[Figure]:
        matches = matched(scored, self.variant)
        values = PERCENT * mean_average_precision(matches)[0]
        bounds = PERCENT * _intervals(matches) if scored.intervals else None
        names = [f"{self.prefix}IoU {100 * t:g}" for t in IOU_THRESHOLDS]
        names += [f"{self.prefix}{deg:g} deg {cm:g} cm" for deg, cm in POSE_THRESHOLDS]
        found = [Figure(name, float(values[k]), _interval(bounds, k)) for k, name in enumerate(names)]
        if self.variant.least_iou is not None:
            left_out = PERCENT * float(1 - matches.wanted[-1].mean())
            found.append(Figure(f"{self.prefix}labels left out of poses %", left_out))
        return found


class NocsMapOriginal(NocsMap):
    """With the faults of the published code, and the share of labels that its poses leave out."""

    variant = ORIGINAL
    prefix = "original "
    settings: ClassVar[dict[str, Any]] = NocsMap.settings | {
        "bounds": "over coordinates",
        "least_iou": LEAST_IOU,
    }


def matched(scored: Scored[BoxPair], variant: Variant) -> Matches:
    """All estimates matched to all labels. An estimate has the category of its mask's label; one that is of
    no label has that of its detector."""
    pairs = scored.errors
    loose = [(one, box) for one, box in scored.surplus if box is not None]
    everything: list[ObjectScore | Surplus] = [*scored.objects, *(one for one, _ in loose)]
    frame = np.unique([one.frame_id for one in everything], return_inverse=True)[1]
    category = np.unique([one.kind for one in everything], return_inverse=True)[1]
    count = len(pairs)
    said = [k for k, pair in enumerate(pairs) if pair.estimate is not None]
    said += range(count, len(everything))
    boxes = [pair.estimate for pair in pairs if pair.estimate is not None] + [box for _, box in loose]
    labels = NocsLabels(
        _boxes([pair.truth for pair in pairs]),
        frame[:count],
        category[:count],
        np.array([pair.free for pair in pairs]),
    )
    confidence = np.array([everything[k].confidence for k in said], dtype=np.float64)
    estimates = NocsEstimates(_boxes(boxes), frame[said], category[said], confidence)
    return match(labels, estimates, variant, axis=pairs[0].upright)


def _boxes(boxes: Sequence[Box]) -> Boxes:
    T = np.array([box.T_camera_object for box in boxes], dtype=np.float64).reshape(-1, 4, 4)
    centre = np.array([box.centre for box in boxes], dtype=np.float64).reshape(-1, 3)
    size = np.array([box.size for box in boxes], dtype=np.float64).reshape(-1, 3)
    return Boxes(T, centre, size)


def _intervals(matches: Matches) -> Float[np.ndarray, "2 k"]:
    """95 % percentile intervals: whole frames drawn with replacement, matched once and weighted."""
    frames = int(max(matches.labels.frame.max(), matches.estimates.frame.max(initial=0))) + 1
    drawn = np.random.default_rng(SEED).integers(frames, size=(DRAWS, frames))
    values = [
        mean_average_precision(matches, _weights(drawn[k : k + PORTION], frames))
        for k in range(0, DRAWS, PORTION)
    ]
    return np.percentile(np.concatenate(values), [2.5, 97.5], axis=0, method="inverted_cdf")


def _weights(drawn: Int[np.ndarray, "d f"], frames: int) -> Float[np.ndarray, "d f"]:
    """How often each draw has each frame."""
    row = np.arange(len(drawn))[:, None] * frames
    counts = np.bincount((drawn + row).ravel(), minlength=len(drawn) * frames)
    return counts.reshape(len(drawn), frames).astype(np.float64)


def _interval(bounds: Float[np.ndarray, "2 k"] | None, k: int) -> tuple[float, float] | None:
    return None if bounds is None else (float(bounds[0, k]), float(bounds[1, k]))
