"""Mean average precision as the NOCS benchmark has it (protocols `nocs-map`, `nocs-map-original`).

Estimates are matched to labels of their frame and category, the most confident first; then each category has
the area under its precision curve, and the mean over categories is reported. All frames are matched at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from crisp.errors import InputError
from crisp.evaluate.metrics.boxes import (
    Boxes,
    Overlap,
    bounds_overlap,
    box_overlaps,
    original_overlap,
    shift_errors_cm,
    turn_errors_deg,
)

IOU_THRESHOLDS = (0.25, 0.5, 0.75)
POSE_THRESHOLDS = ((5.0, 5.0), (5.0, 10.0), (10.0, 5.0), (10.0, 10.0))
"""Degrees and centimetres."""
LEAST_IOU = 0.1
"""The published code measures poses only of what overlaps this much."""


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
