"""Figures of `nocs-map` and `nocs-map-original`: percentages, as they are published."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

from crisp.evaluate.metrics.boxes import Boxes
from crisp.evaluate.metrics.nocs_map import (
    IOU_THRESHOLDS,
    POSE_THRESHOLDS,
    Matches,
    NocsEstimates,
    NocsLabels,
    Variant,
    match,
    mean_average_precision,
)
from crisp.evaluate.object_errors import Box
from crisp.evaluate.score_rows import Figure, ObjectScore, Surplus

PERCENT = 100.0
DRAWS, SEED = 1000, 0
PORTION = 50  # draws at once


def map_figures(
    rows: Sequence[ObjectScore],
    frames: Shaped[np.ndarray, " n"] | None,
    *,
    prefix: str,
    variant: Variant,
    surplus: Sequence[Surplus] = (),
) -> list[Figure]:
    """mAP at each threshold in percent, and (original) the share of labels that its poses leave out.

    Args:
        surplus: estimates that are of no label.
    """
    scored = [row for row in rows if row.boxes is not None]
    matches = matched(scored, variant, surplus=surplus)
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


def matched(rows: Sequence[ObjectScore], variant: Variant, *, surplus: Sequence[Surplus] = ()) -> Matches:
    """All estimates matched to all rows' labels. An estimate has the category of its mask's label; one that
    is of no label has that of its detector."""
    pairs = [row.boxes for row in rows if row.boxes is not None]
    loose = [one for one in surplus if one.box is not None]
    everything: list[ObjectScore | Surplus] = [*rows, *loose]
    frame = np.unique([one.frame_id for one in everything], return_inverse=True)[1]
    category = np.unique([one.kind for one in everything], return_inverse=True)[1]
    said = [k for k, pair in enumerate(pairs) if pair.estimate is not None]
    said += range(len(rows), len(everything))
    boxes = [pair.estimate for pair in pairs if pair.estimate is not None]
    boxes += [one.box for one in loose if one.box is not None]
    count = len(rows)
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
