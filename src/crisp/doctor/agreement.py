"""Whether a posed model lies where its mask and its depth are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from crisp.data.rendered_depth import render_depth
from crisp.geometry.points import nearest_distance
from crisp.types import Frame, Mesh

MOST_POINTS = 3000
LEAST_COVERED = 0.8
MOST_DISTANCE_SHARE = 0.08  # of the diameter, where a set has no metres
MOST_DISTANCE_M = 0.008


@dataclass(frozen=True)
class Agreement:
    """One labelled object.

    Args:
        mask_pixels: of the visible mask.
        measured_share: of those, the share with a depth value; 0 without pixels.
        covered_share: of those, the share that the posed model's silhouette covers; 0 without pixels.
        depth_distance_m: median over visible model points, at pixels that were measured, of the distance to
            the nearest measured point of the mask; NaN where there is nothing to compare. Where the sensor
            saw nothing it cannot disagree: the inside of a bowl may be one hole.
    """

    mask_pixels: int
    measured_share: float
    covered_share: float
    depth_distance_m: float


def agreement(
    frame: Frame, mask: Bool[np.ndarray, "h w"], mesh: Mesh, T_camera_object: Float[np.ndarray, "4 4"]
) -> Agreement:
    """Draw the model with its pose, and hold it against mask and depth.

    Args:
        mask: the visible pixels, of the frame's size.
        mesh: metres, object frame.
    """
    pixels = int(mask.sum())
    if pixels == 0:
        return Agreement(0, 0.0, 0.0, float("nan"))
    drawn_m = render_depth(mesh, T_camera_object, frame.camera)
    measured, shown = mask & (frame.depth_m > 0), mask & (drawn_m > 0)
    return Agreement(
        mask_pixels=pixels,
        measured_share=float(measured.sum() / pixels),
        covered_share=float(shown.sum() / pixels),
        depth_distance_m=_median_distance(frame, measured, drawn_m, shown=shown),
    )


def _median_distance(
    frame: Frame, measured: Bool[np.ndarray, "h w"], drawn_m: Float[np.ndarray, "h w"], *, shown: np.ndarray
) -> float:
    both = measured & shown
    if not both.any():
        return float("nan")
    points_model = frame.camera.backproject(drawn_m)[both]
    chosen = np.linspace(0, len(points_model) - 1, min(len(points_model), MOST_POINTS)).astype(np.int64)
    points_measured = frame.points_camera[measured]
    return float(np.median(nearest_distance(points_model[chosen], points_measured)))
