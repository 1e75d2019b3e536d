"""Figures of `nocs-map` and `nocs-map-original`: percentages, as they are published."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

from crisp.evaluate.object_errors import Box
from crisp.evaluate.score_rows import Figure, ObjectScore
from crisp.metrics.boxes import Boxes
from crisp.metrics.nocs_map import (
    IOU_THRESHOLDS,
    POSE_THRESHOLDS,
    Matches,
    NocsEstimates,
    NocsLabels,
    Variant,
    match,
    mean_average_precision,
)

PERCENT = 100.0
DRAWS, SEED = 1000, 0
PORTION = 50  # draws at once


def map_figures(
    rows: Sequence[ObjectScore],
    frames: Shaped[np.ndarray, " n"] | None,
    *,
    prefix: str,
    variant: Variant,
) -> list[Figure]:
    """mAP at each threshold in percent, and (original) the share of labels that its poses leave out."""
    scored = [row for row in rows if row.boxes is not None]
    matches = matched(scored, variant)
    values = PERCENT * mean_average_precision(matches)[0]
    bounds = None if frames is None else PERCENT * _intervals(matches)
    names = [f"{prefix}IoU {100 * t:g}" for t in IOU_THRESHOLDS]
    names += [f"{prefix}{deg:g} deg {cm:g} cm" for deg, cm in POSE_THRESHOLDS]
    found = [Figure(name, float(values[k]), _interval(bounds, k)) for k, name in enumerate(names)]
    if variant.least_iou is not None:
        left_out = PERCENT * float(1 - matches.wanted[-1].mean())
        found.append(Figure(f"{prefix}labels left out of poses %", left_out))
    return found


def _interval(bounds: Float[np.ndarray, "2 k"] | None, k: int) -> tuple[float, float] | None:
    return None if bounds is None else (float(bounds[0, k]), float(bounds[1, k]))


def matched(rows: Sequence[ObjectScore], variant: Variant) -> Matches:
    """All rows' estimates matched to all rows' labels. An estimate has the category of its mask's label."""
    pairs = [row.boxes for row in rows if row.boxes is not None]
    frame = np.unique([row.frame_id for row in rows], return_inverse=True)[1]
    category = np.unique([row.kind for row in rows], return_inverse=True)[1]
    said = [k for k, pair in enumerate(pairs) if pair.estimate is not None]
    labels = NocsLabels(
        _boxes([pair.truth for pair in pairs]), frame, category, np.array([pair.free for pair in pairs])
    )
    estimates = NocsEstimates(
        _boxes([pair.estimate for pair in pairs if pair.estimate is not None]),
        frame[said],
        category[said],
        np.array([rows[k].confidence for k in said], dtype=np.float64),
    )
    return match(labels, estimates, variant, axis=pairs[0].upright)


def _boxes(boxes: Sequence[Box]) -> Boxes:
    T = np.array([box.T_camera_object for box in boxes], dtype=np.float64).reshape(-1, 4, 4)
    centre = np.array([box.centre for box in boxes], dtype=np.float64).reshape(-1, 3)
    size = np.array([box.size for box in boxes], dtype=np.float64).reshape(-1, 3)
    return Boxes(T, centre, size)


def _intervals(matches: Matches) -> Float[np.ndarray, "2 k"]:
    """95 % percentile intervals: whole frames drawn with replacement, matched once and weighted."""
    frames = int(matches.labels.frame.max()) + 1
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
