"""NOCS' mean average precision as one would write it first: for each frame, pair, threshold and turn."""

from __future__ import annotations

import numpy as np

from crisp.evaluate.metrics.boxes import TURNS, Boxes
from crisp.evaluate.metrics.nocs_map import (
    IOU_THRESHOLDS,
    LEAST_IOU,
    POSE_THRESHOLDS,
    NocsEstimates,
    NocsLabels,
)

SIGNS = [(x, y, z) for x in (0.5, -0.5) for y in (0.5, -0.5) for z in (0.5, -0.5)]


def corners(T: np.ndarray, centre: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(3, 8)"""
    return np.stack([T[:3, :3] @ (centre + size * np.array(s)) + T[:3, 3] for s in SIGNS], axis=1)


def iou_of_corners(a: np.ndarray, b: np.ndarray, *, original: bool) -> float:
    axis = 0 if original else 1
    low = np.maximum(a.min(axis=axis), b.min(axis=axis))
    high = np.minimum(a.max(axis=axis), b.max(axis=axis))
    common = 0.0 if (high - low).min() < 0 else float(np.prod(high - low))
    sizes = [np.prod(c.max(axis=axis) - c.min(axis=axis)) for c in (a, b)]
    union = float(sum(sizes)) - common
    return common / union if union > 0 else 0.0


def turn(angle: float, axis: int) -> np.ndarray:
    T = np.eye(4)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    T[i, i] = T[j, j] = np.cos(angle)
    T[j, i], T[i, j] = np.sin(angle), -np.sin(angle)
    return T


def iou(ours: Boxes, theirs: Boxes, *, free: bool, axis: int, original: bool) -> float:
    """Of the only box in each."""
    label = corners(theirs.T[0], theirs.centre[0], theirs.size[0])
    found = []
    for k in range(TURNS if free else 1):
        T = ours.T[0] @ turn(2 * np.pi * k / TURNS, axis)
        found.append(iou_of_corners(corners(T, ours.centre[0], ours.size[0]), label, original=original))
    return max(found)


def pose_error(T: np.ndarray, Q: np.ndarray, *, free: bool, axis: int) -> tuple[float, float]:
    R, S = T[:3, :3], Q[:3, :3]
    cosine = R[:, axis] @ S[:, axis] if free else (np.trace(R @ S.T) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), 100 * float(
        np.linalg.norm(T[:3, 3] - Q[:3, 3])
    )


def average_precision(scores: list[float], hits: list[bool], labels: int) -> float:
    """PASCAL VOC's: precision made to fall, summed where recall rises."""
    if labels == 0:
        return 0.0
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    precision, recall, right = [0.0], [0.0], 0
    for n, i in enumerate(order):
        right += hits[i]
        precision.append(right / (n + 1))
        recall.append(right / labels)
    precision.append(0.0)
    recall.append(1.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    steps = [i for i in range(1, len(recall)) if recall[i] != recall[i - 1]]
    return float(sum((recall[i] - recall[i - 1]) * precision[i] for i in steps))


def map_by_loops(labels: NocsLabels, estimates: NocsEstimates, *, axis: int, original: bool) -> np.ndarray:
    """(7,): three IoU thresholds, then four of pose, as shares."""
    per_category = []
    for c in np.unique(labels.category):
        found: list[tuple[list[float], list[bool], int]] = [([], [], 0) for _ in range(7)]
        for f in np.unique(labels.frame):
            part = _frame(labels, estimates, int(f), int(c), axis=axis, original=original)
            found = [(s + t, h + i, n + m) for (s, h, n), (t, i, m) in zip(found, part, strict=True)]
        per_category.append([average_precision(*row) for row in found])
    return np.mean(per_category, axis=0)


def _frame(labels, estimates, f: int, c: int, *, axis: int, original: bool):
    ours = [i for i in range(len(estimates.frame)) if estimates.frame[i] == f and estimates.category[i] == c]
    ours.sort(key=lambda i: -estimates.score[i])
    theirs = [j for j in range(len(labels.frame)) if labels.frame[j] == f and labels.category[j] == c]
    overlap, turned, shift = (np.zeros((len(ours), len(theirs))) for _ in range(3))
    for a, i in enumerate(ours):
        for b, j in enumerate(theirs):
            free = bool(labels.free[j])
            one, other = estimates.boxes.take(np.array([i])), labels.boxes.take(np.array([j]))
            overlap[a, b] = iou(one, other, free=free, axis=axis, original=original)
            turned[a, b], shift[a, b] = pose_error(one.T[0], other.T[0], free=free, axis=axis)
    rows = []
    for threshold in IOU_THRESHOLDS:
        hits, _ = greedy(-overlap, overlap > threshold)
        rows.append(([estimates.score[i] for i in ours], hits, len(theirs)))
    fit, reached = [True] * len(ours), [True] * len(theirs)
    if original:
        fit, reached = greedy(-overlap, overlap > LEAST_IOU)
    for deg, cm in POSE_THRESHOLDS:
        allowed = (turned <= deg) & (shift <= cm) & np.array(fit, bool)[:, None] & np.array(reached, bool)
        hits, _ = greedy(turned + shift, allowed)
        kept = [a for a in range(len(ours)) if fit[a]]
        rows.append(([estimates.score[ours[a]] for a in kept], [hits[a] for a in kept], sum(reached)))
    return rows


def greedy(cost: np.ndarray, allowed: np.ndarray) -> tuple[list[bool], list[bool]]:
    """Rows in turn take the cheapest allowed column that is free."""
    hits, taken = [False] * cost.shape[0], [False] * cost.shape[1]
    for a in range(cost.shape[0]):
        for b in np.argsort(cost[a], kind="stable"):
            if allowed[a, b] and not taken[b]:
                hits[a], taken[b] = True, True
                break
    return hits, taken
