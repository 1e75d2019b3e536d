"""Protocol `bop`: VSD, MSSD and MSPD of the BOP benchmark, and the recalls that AR is the mean of.

Hodan et al., BOP Challenge 2020 on 6D Object Localization (ECCVW 2020), section 2.2; thresholds of BOP19.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import ConvexHull

from crisp.errors import InputError
from crisp.evaluate.cases import Case, FrameCases, Loose, TrueModel
from crisp.evaluate.metrics.metric import Figure, Metric, Scored, mean
from crisp.geometry.camera import Camera
from crisp.shape.raster import depth_image
from crisp.types import Frame, Symmetries

SYMMETRY_STEP = 0.01
"""A continuous symmetry is turned so far at a time that no vertex moves by more than this many diameters."""
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 11))
"""Of VSD (tau and theta alike), of MSSD in diameters, and of MSPD in hundreds of pixels at a width of 640."""
VISIBLE_WITHIN_M = 0.015
"""delta of VSD."""
LEAST_VISIBLE = 0.1
"""Labels of which less can be seen are no targets, unless a targets file says what the targets are."""
MSPD_PX = 100.0
REFERENCE_WIDTH_PX = 640.0
PORTION = 2_000_000  # points in all symmetric poses that are projected at once: bounds memory


def symmetry_motions(symmetries: Symmetries, *, step: float = SYMMETRY_STEP) -> Float[np.ndarray, "s 4 4"]:
    """All motions that leave the object as it is, the identity first; continuous ones in ceil(pi/step) turns.

    Each discrete motion is followed by each turn about each axis, as BOP's toolkit does it.
    """
    discrete = np.stack([np.eye(4), *symmetries.discrete])
    turns = [_turns(axis, offset, int(np.ceil(np.pi / step))) for axis, offset in symmetries.continuous]
    if not turns:
        return discrete
    return (np.concatenate(turns)[None] @ discrete[:, None]).reshape(-1, 4, 4)


def _turns(
    axis: Float[np.ndarray, " 3"], offset: Float[np.ndarray, " 3"], count: int
) -> Float[np.ndarray, "n 4 4"]:
    """Rodrigues' formula at `count` equal angles from 0, about an axis through the offset."""
    x, y, z = axis / np.linalg.norm(axis)
    W = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = (2 * np.pi * np.arange(count) / count)[:, None, None]
    T = np.tile(np.eye(4), (count, 1, 1))
    T[:, :3, :3] = np.eye(3) + np.sin(angle) * W + (1 - np.cos(angle)) * (W @ W)
    T[:, :3, 3] = offset - T[:, :3, :3] @ offset
    return T


def mssd(
    vertices: Float[np.ndarray, "n 3"],
    T_estimated: Float[np.ndarray, "4 4"],
    T_true: Float[np.ndarray, "4 4"],
    *,
    motions: Float[np.ndarray, "s 4 4"],
) -> float:
    """Maximum symmetry-aware surface distance, metres: the least over motions of the farthest vertex.

    Args:
        vertices: of the model, object frame; those of its convex hull give the same value, since the
            distance between two affine images of a point is convex in the point.
        motions: of `symmetry_motions`.
    """
    apart = T_estimated - T_true @ motions
    moved = vertices @ apart[:, :3, :3].mT + apart[:, None, :3, 3]
    return float(np.sqrt((moved**2).sum(axis=-1)).max(axis=1).min())


def mspd(
    vertices: Float[np.ndarray, "n 3"],
    T_estimated: Float[np.ndarray, "4 4"],
    T_true: Float[np.ndarray, "4 4"],
    *,
    motions: Float[np.ndarray, "s 4 4"],
    K: Float[np.ndarray, "3 3"],
) -> float:
    """Maximum symmetry-aware projection distance, pixels. Infinite where a vertex lies behind the camera."""
    seen = _project(T_estimated[None], vertices, K)[0]
    if not np.isfinite(seen).all():
        return float("inf")
    poses = T_true @ motions
    rows = max(1, PORTION // len(vertices))
    farthest = [
        np.linalg.norm(seen - _project(poses[k : k + rows], vertices, K), axis=-1).max(axis=1)
        for k in range(0, len(poses), rows)
    ]
    return float(np.concatenate(farthest).min())


def _project(
    T: Float[np.ndarray, "s 4 4"], vertices: Float[np.ndarray, "n 3"], K: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "s n 2"]:
    points = vertices @ (K @ T[:, :3, :3]).mT + (T[:, :3, 3] @ K.T)[:, None]
    depth = points[..., 2:]
    return np.where(depth > 0, points[..., :2] / np.where(depth > 0, depth, 1.0), np.inf)


def vsd(
    estimated_m: Float[np.ndarray, "h w"],
    true_m: Float[np.ndarray, "h w"],
    measured_m: Float[np.ndarray, "h w"],
    *,
    diameter_m: float,
) -> Float[np.ndarray, " k"]:
    """Visible surface discrepancy at each tolerance tau of THRESHOLDS (in diameters); 0 to 1.

    Args:
        estimated_m, true_m: distance from the camera's centre to the model in either pose; 0 where it is not.
        measured_m: the same distance to what the camera measured; 0 where it measured nothing.

    Raises:
        InputError: the diameter is not positive.
    """
    if not diameter_m > 0:
        raise InputError(f"VSD needs a model with a positive diameter, got {diameter_m} m.")
    visible_true = _visible(true_m, measured_m)
    visible_estimate = _visible(estimated_m, measured_m) | (visible_true & (estimated_m > 0))
    both, either = visible_true & visible_estimate, visible_true | visible_estimate
    if not either.any():
        return np.ones(len(THRESHOLDS))
    apart = np.abs(estimated_m - true_m)[both] / diameter_m
    wrong = (apart[:, None] >= np.array(THRESHOLDS)).sum(axis=0)
    return (wrong + either.sum() - both.sum()) / either.sum()


def _visible(
    model_m: Float[np.ndarray, "h w"], measured_m: Float[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """As BOP19 has it: visible also where nothing was measured."""
    return (model_m > 0) & ((model_m - measured_m <= VISIBLE_WITHIN_M) | (measured_m == 0))


def recalls(
    errors: Float[np.ndarray, "p g *a"], thresholds: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " g"]:
    """Share of thresholds at which each of the g labels of one object in one frame is found.

    Estimates choose in their order (the most confident first): each takes the nearest label that is still
    free, if its error is below the threshold (BOP's localisation task). Extra axes of the errors (VSD's
    tolerances) count like thresholds.

    Args:
        errors: of p estimates against g labels; infinite where there is none.
        thresholds: in the errors' unit.
    """
    many = errors.reshape(*errors.shape[:2], -1)  # (p, g, a)
    taken = np.zeros((many.shape[1], many.shape[2], len(thresholds)), dtype=bool)
    for row in many:
        free = np.where(taken, np.inf, row[:, :, None])
        nearest = free.argmin(axis=0)[None]
        hit = np.take_along_axis(free, nearest, axis=0) < thresholds
        before = np.take_along_axis(taken, nearest, axis=0)
        np.put_along_axis(taken, nearest, before | hit, axis=0)
    return taken.mean(axis=(1, 2))


@dataclass(frozen=True)
class BopError:
    """Recalls are means over the thresholds, after matching within the frame.

    Args:
        mssd_m, mspd_px: of the object's own estimate; infinite where there is none.
    """

    vsd_recall: float
    mssd_recall: float
    mspd_recall: float
    mssd_m: float
    mspd_px: float

    @property
    def recall(self) -> float:
        """Average of the three: its mean over objects is AR."""
        return (self.vsd_recall + self.mssd_recall + self.mspd_recall) / 3


class Bop(Metric[BopError]):
    """Average recall of BOP's localisation task."""

    settings: ClassVar[dict[str, Any]] = {
        "thresholds": list(THRESHOLDS),
        "delta_m": VISIBLE_WITHIN_M,
        "symmetry_step": SYMMETRY_STEP,
        "least_visible": LEAST_VISIBLE,
    }

    def errors(self, frame: FrameCases) -> list[BopError | None]:
        """One record for each target, None for labels that are none.

        An estimate may only find a label of its object, but any of those. Of each object as many estimates
        count as there are targets, the most confident ones. A detector does not know of targets, so that with
        its masks estimates of labels that are none count, too. The frame is read only where something was
        estimated.
        """
        cases = frame.cases
        targets = (frame.choose or visible_enough)(cases)
        found: list[BopError | None] = [None] * len(cases)
        if not targets:
            return found
        extra: list[Case | Loose] = []
        if frame.detected:
            others = (case for k, case in enumerate(cases) if k not in targets and case.T is not None)
            extra = [*others, *frame.loose]
        estimated = extra or any(cases[k].T is not None for k in targets)
        view = _View(frame.load()) if estimated else None
        for object_id in {cases[k].instance.object_id: None for k in targets}:
            members = [k for k in targets if cases[k].instance.object_id == object_id]
            said = [one for one in extra if _object_id(one) == object_id]
            for k, error in zip(members, _object([cases[k] for k in members], said, view), strict=True):
                found[k] = error
        return found

    def figures(self, scored: Scored[BopError]) -> Iterator[Figure]:
        yield scored.figure("AR", scored.column("recall"), mean)
        for name in ("VSD", "MSSD", "MSPD"):
            yield scored.figure(f"AR {name}", scored.column(f"{name.lower()}_recall"), mean)

    def columns(self, error: BopError) -> dict[str, float]:
        return asdict(error)


def visible_enough(cases: Sequence[Case]) -> list[int]:
    """Labels of which at least 10 % can be seen; a set that does not say has NaN there, and all count."""
    return [k for k, case in enumerate(cases) if not case.instance.visib_fract < LEAST_VISIBLE]


def _motions(truth: TrueModel) -> Float[np.ndarray, "s 4 4"]:
    return symmetry_motions(truth.model.symmetries)


def _hull(truth: TrueModel) -> Float[np.ndarray, "n 3"]:
    """Vertices of the convex hull."""
    return truth.model.mesh.vertices[ConvexHull(truth.model.mesh.vertices).vertices]


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
        rows.append(
            [_within(ours, theirs, view.measured_m, diameter_m=truth.model.diameter_m) for theirs in labels]
        )
    return np.array(rows)


def _within(
    ours: Float[np.ndarray, "h w"],
    theirs: Float[np.ndarray, "h w"],
    measured: Float[np.ndarray, "h w"],
    *,
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
    motions, hull = truth.once(_motions), truth.once(_hull)
    surface, projection = np.zeros((2, len(said), len(cases)))
    for i, case in enumerate(said):
        assert case.T is not None
        for g, label in enumerate(cases):
            poses = (case.T, label.instance.T_camera_object)
            surface[i, g] = mssd(hull, *poses, motions=motions)
            projection[i, g] = mspd(truth.model.mesh.vertices, *poses, motions=motions, K=camera.K)
    return surface, projection
