"""Each estimate before and after the corrector, and how far the measured points lie from its surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from crisp.certify.certificate import observe_pixels
from crisp.errors import ObjectFailure
from crisp.geometry.points import diameter
from crisp.model import Model
from crisp.refine.problem import Observation, object_points
from crisp.shape.mesh import extract_meshes
from crisp.shape.sdf import valid_distances
from crisp.types import Detection, Frame, Mesh, Result


@dataclass(frozen=True, eq=False)
class Comparison:
    """One object before and after the corrector.

    Args:
        distance_m: (H, W) over the whole image: how far each measured point of the object's mask lies from
            the estimated surface; NaN elsewhere.
        start: the result before the corrector; None where nothing was corrected.
        start_distance_m: from that one's surface.
    """

    distance_m: Float[np.ndarray, "h w"]
    start: Result | None = None
    start_distance_m: Float[np.ndarray, "h w"] | None = None


def compare(
    model: Model,
    frame: Frame,
    detections: Sequence[Detection | ObjectFailure],
    *,
    results: Sequence[Result],
    starts: Sequence[Result | None] | None = None,
) -> list[Comparison | None]:
    """For each result of a frame, in order; None where there is no estimate.

    Args:
        starts: what `network_alone` gives, where it is known already.
    """
    if starts is None:
        starts = network_alone(model, results)
    after = _distances(model, frame, detections, results=results)
    before = _distances(model, frame, detections, results=starts)
    return [
        None if distance is None else Comparison(distance, start, start_distance)
        for distance, start, start_distance in zip(after, starts, before, strict=True)
    ]


def network_alone(model: Model, results: Sequence[Result]) -> list[Result | None]:
    """Each result with the pose and the shape from before the corrector; None where nothing was corrected.

    A shape that the corrector changed is meshed for it.
    """
    meshes = _start_meshes(model, results)
    return [_start(result, mesh) for result, mesh in zip(results, meshes, strict=True)]


def _start(result: Result, mesh: Mesh | None) -> Result | None:
    if result.correction is None:
        return None
    return replace(
        result,
        status="no_surface" if mesh is None else "ok",
        message="the shape before the corrector has no surface." if mesh is None else "",
        T_camera_object=result.correction.T_camera_object_start,
        shape_code=result.correction.shape_code_start,
        mesh=mesh,
        diameter_m=None if mesh is None else diameter(mesh.vertices),
        correction=None,
        certificate=None,
    )


@torch.inference_mode()
def _start_meshes(model: Model, results: Sequence[Result]) -> list[Mesh | None]:
    """A shape that stayed has its mesh already."""
    meshes = [result.mesh for result in results]
    codes = {
        i: result.correction.shape_code_start
        for i, result in enumerate(results)
        if result.correction is not None
        and result.shape_code is not None
        and not np.array_equal(result.correction.shape_code_start, result.shape_code)
    }
    if codes:
        stacked = torch.from_numpy(np.stack(list(codes.values()))).to(model.device)
        found = extract_meshes(model.network.decoder, stacked, model.meshing)
        for i, mesh in zip(codes, found, strict=True):
            meshes[i] = None if isinstance(mesh, ObjectFailure) else mesh
    return meshes


def _distances(
    model: Model,
    frame: Frame,
    detections: Sequence[Detection | ObjectFailure],
    *,
    results: Sequence[Result | None],
) -> list[Float[np.ndarray, "h w"] | None]:
    maps: list[Float[np.ndarray, "h w"] | None] = [None] * len(results)
    posed = {
        i: (result.T_camera_object, result.shape_code, detection.mask & (frame.depth_m > 0))
        for i, (result, detection) in enumerate(zip(results, detections, strict=True))
        if isinstance(detection, Detection)
        and result is not None
        and result.T_camera_object is not None
        and result.shape_code is not None
    }
    if not posed:
        return maps
    poses, codes, masks = zip(*posed.values(), strict=True)
    seen = observe_pixels(frame, masks)
    T, h = (torch.from_numpy(np.stack(rows)).to(model.device) for rows in (poses, codes))
    pixels = Observation(seen.points_camera.to(T), seen.valid.to(model.device))
    points = object_points(T, pixels).to(h)
    found = valid_distances(model.network.decoder, points, pixels.valid, codes=h).abs().cpu().numpy()
    for row, (i, mask) in enumerate(zip(posed, masks, strict=True)):
        filled = np.full(mask.shape, np.nan)
        filled[mask] = found[row, : mask.sum()]
        maps[i] = filled
    return maps
