"""Protocol `bop` within one frame: errors of every estimate of an object against every label of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from crisp.evaluate.metrics.bop_errors import (
    MSPD_PX,
    REFERENCE_WIDTH_PX,
    THRESHOLDS,
    mspd,
    mssd,
    recalls,
    vsd,
)
from crisp.evaluate.object_errors import BopError
from crisp.evaluate.predictions import Case, Loose
from crisp.evaluate.targets import Choose, visible_enough
from crisp.evaluate.true_model import TrueModel
from crisp.geometry.camera import Camera
from crisp.shape.raster import depth_image
from crisp.types import Frame


def score_frame(
    cases: Sequence[Case],
    load: Callable[[], Frame],
    *,
    loose: Sequence[Loose] | None = None,
    choose: Choose = visible_enough,
) -> list[BopError | None]:
    """One record for each target, None for labels that are none.

    An estimate may only find a label of its object, but any of those. Of each object as many estimates count
    as there are targets, the most confident ones. The frame is read only where something was estimated.

    Args:
        loose: with a detector's masks, estimates that are of no label. A detector does not know of targets,
            so that estimates of labels that are none count then, too.
        choose: which labels are targets.
    """
    targets = choose(cases)
    found: list[BopError | None] = [None] * len(cases)
    if not targets:
        return found
    extra: list[Case | Loose] = []
    if loose is not None:
        extra = [*(case for k, case in enumerate(cases) if k not in targets and case.T is not None), *loose]
    estimated = extra or any(cases[k].T is not None for k in targets)
    view = _View(load()) if estimated else None
    for object_id in {cases[k].instance.object_id: None for k in targets}:
        members = [k for k in targets if cases[k].instance.object_id == object_id]
        said = [one for one in extra if _object_id(one) == object_id]
        for k, error in zip(members, _object([cases[k] for k in members], said, view), strict=True):
            found[k] = error
    return found


class _View:
    """A frame's camera and how far from its centre each pixel's surface is."""

    def __init__(self, frame: Frame) -> None:
        self.camera = frame.camera
        self._stretch = np.linalg.norm(frame.camera.rays(), axis=-1)  # from depth to distance
        self.measured_m = frame.depth_m * self._stretch

    def distance_m(self, truth: TrueModel, T: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "h w"]:
        return depth_image(truth.model.mesh, T, self.camera) * self._stretch


def _object_id(one: Case | Loose) -> int | None:
    return one.instance.object_id if isinstance(one, Case) else one.object_id


def _object(cases: Sequence[Case], extra: Sequence[Case | Loose], view: _View | None) -> list[BopError]:
    """All targets of one object in a frame."""
    estimates: list[Case | Loose] = [*(c for c in cases if c.T is not None), *extra]
    said = sorted(estimates, key=lambda c: -c.confidence)[: len(cases)]
    if not said or view is None:
        return [BopError(0.0, 0.0, 0.0, np.inf, np.inf) for _ in cases]
    truth = cases[0].truth
    errors = _vsd_errors(said, cases, view), *_vertex_errors(said, cases, view.camera)
    spread, surface_m, projection_px = errors
    width = view.camera.width / REFERENCE_WIDTH_PX
    thresholds = np.array(THRESHOLDS)
    of_vsd = recalls(spread, thresholds)
    of_mssd = recalls(surface_m, thresholds * truth.model.diameter_m)
    of_mspd = recalls(projection_px, thresholds * MSPD_PX * width)
    place = {c.detection: i for i, c in enumerate(said)}
    records = []
    for g, case in enumerate(cases):
        i = place.get(case.detection)
        own = (np.inf, np.inf) if i is None else (float(surface_m[i, g]), float(projection_px[i, g]))
        records.append(BopError(float(of_vsd[g]), float(of_mssd[g]), float(of_mspd[g]), *own))
    return records


def _vsd_errors(
    said: Sequence[Case | Loose], cases: Sequence[Case], view: _View
) -> Float[np.ndarray, "p g k"]:
    truth = cases[0].truth
    labels = [view.distance_m(truth, c.instance.T_camera_object) for c in cases]
    rows = []
    for case in said:
        assert case.T is not None
        ours = view.distance_m(truth, case.T)
        rows.append([_within(ours, theirs, view.measured_m, truth.model.diameter_m) for theirs in labels])
    return np.array(rows)


def _within(
    ours: Float[np.ndarray, "h w"],
    theirs: Float[np.ndarray, "h w"],
    measured: Float[np.ndarray, "h w"],
    diameter_m: float,
) -> Float[np.ndarray, " k"]:
    """VSD, only where one of the two models is: all else counts nothing."""
    rows, columns = (np.flatnonzero(((ours > 0) | (theirs > 0)).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.ones(len(THRESHOLDS))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return vsd(ours[part], theirs[part], measured[part], diameter_m=diameter_m)


def _vertex_errors(
    said: Sequence[Case | Loose], cases: Sequence[Case], camera: Camera
) -> tuple[Float[np.ndarray, "p g"], Float[np.ndarray, "p g"]]:
    """MSSD in metres and MSPD in pixels."""
    truth = cases[0].truth
    surface, projection = np.zeros((2, len(said), len(cases)))
    for i, case in enumerate(said):
        assert case.T is not None
        for g, label in enumerate(cases):
            poses = (case.T, label.instance.T_camera_object)
            surface[i, g] = mssd(truth.corners, *poses, motions=truth.motions)
            projection[i, g] = mspd(truth.model.mesh.vertices, *poses, motions=truth.motions, K=camera.K)
    return surface, projection
