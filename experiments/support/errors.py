"""Errors of estimates under several ways of correcting, and claims about them.

The network sees every crop once; each way of correcting starts from the same predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crisp.data.bop.reader import BopDataset, FrameKey
from crisp.evaluate.metrics.pose import add_s, rotation_error_deg
from crisp.evaluate.metrics.shape import SurfaceSample, chamfer_l1, normalised_error, sample_surface
from crisp.evaluate.metrics.statistics import auc, bootstrap_interval
from crisp.model import Model
from crisp.objects import Objects
from crisp.progress import track
from crisp.refine.corrector import Corrector
from crisp.shape.mesh import MeshConfig
from crisp.stages import correct_all, cut_all, predict, reconstruct, register_all
from crisp.types import Detection, Estimate, Mesh
from experiments.support.evidence import Claim
from experiments.support.rendered_sets import MIN_VISIBLE

POINTS = 2500
"""Samples a side of e_pose and e_shape, and of ADD-S."""
MESHING = MeshConfig(resolution=64)
EVERY = 2  # of the pictures of each set, to stay within an hour
ADD_S_CM = (1, 2, 3)
E_SHAPE = (0.03, 0.05, 0.10)


@dataclass(frozen=True)
class Error:
    """One object under one way of correcting; infinite where there is no estimate.

    Args:
        add_s_m: metres.
        pose, shape: two-sided chamfer with the L1 norm, in diameters of the true model (SPE3R's objects have
            unit size): of the true model in both poses, and of the two shapes in the object frame.
        crisp_shape: e_shape of the protocol `crisp-shape`.
        rotation_deg: up to declared symmetries.
        symmetric: whether there are any.
    """

    frame_id: str
    add_s_m: float
    pose: float
    shape: float
    rotation_deg: float
    symmetric: bool
    crisp_shape: float


@dataclass(frozen=True, eq=False)
class Truth:
    """A true model, sampled once."""

    points: np.ndarray
    diameter_m: float
    symmetric: bool
    dataset: BopDataset
    object_id: int

    @classmethod
    def of(cls, dataset: BopDataset, object_id: int) -> Truth:
        known = dataset.object(object_id)
        points = sample_surface(known.mesh, POINTS, seed=0)
        return cls(points, known.diameter_m, not known.symmetries.none, dataset, object_id)

    def error(self, frame_id: str, estimate: Estimate | None, mesh: Mesh | None, T_true: np.ndarray) -> Error:
        if estimate is None:
            return Error(frame_id, np.inf, np.inf, np.inf, 180.0, self.symmetric, np.inf)
        T = estimate.T_camera_object.cpu().numpy()
        symmetries = self.dataset.object(self.object_id).symmetries
        moved = self.points @ T[:3, :3].T + T[:3, 3]
        placed = self.points @ T_true[:3, :3].T + T_true[:3, 3]
        shape = crisp_shape = np.inf
        if mesh is not None:
            sampled = SurfaceSample(sample_surface(mesh, POINTS, seed=0, stream=1))
            shape = chamfer_l1(sampled, SurfaceSample(self.points)) / self.diameter_m
            crisp_shape = normalised_error(sampled, SurfaceSample(self.points))
        return Error(
            frame_id,
            add_s(self.points, T, T_true),
            chamfer_l1(SurfaceSample(moved), SurfaceSample(placed)) / self.diameter_m,
            shape,
            rotation_error_deg(T, T_true, symmetries),
            self.symmetric,
            crisp_shape,
        )


def errors_of(
    model: Model, dataset: BopDataset, ways: Mapping[str, Corrector | None], *, every: int = EVERY
) -> dict[str, list[Error]]:
    """The errors of every labelled object of which enough can be seen, under every way of correcting."""
    truths: dict[int, Truth] = {}
    found: dict[str, list[Error]] = {name: [] for name in ways}
    keys = dataset.keys[::every]
    for key in track(keys, dataset.split, total=len(keys)):
        for name, errors in _frame(model, dataset, key, min_visib_fract=ways, truths=truths).items():
            found[name] += errors
    return found


def _frame(
    model: Model,
    dataset: BopDataset,
    key: FrameKey,
    ways: Mapping[str, Corrector | None],
    *,
    truths: dict[int, Truth],
) -> dict[str, list[Error]]:
    frame = dataset.load_frame(key)
    labels = [item for item in dataset.instances(key) if item.visib_fract >= MIN_VISIBLE]
    detections = [Detection(dataset.mask(key, item.index)) for item in labels]
    objects = cut_all(Objects.of(frame, detections), model.settings.crop)
    starts = register_all(predict(objects, model.network), model.registration)
    errors: dict[str, list[Error]] = {}
    for name, corrector in ways.items():
        settings = replace(model.settings, corrector=corrector)
        ends = correct_all(starts, model.network.decoder, shapes=model.known_shapes, settings=settings)
        meshed = reconstruct(ends, model.network.decoder, MESHING)
        errors[name] = []
        for found, label in zip(meshed.all, labels, strict=True):
            if label.object_id not in truths:
                truths[label.object_id] = Truth.of(dataset, label.object_id)
            truth = truths[label.object_id]
            errors[name].append(truth.error(key.frame_id, found.estimate, found.mesh, label.T_camera_object))
    return errors


def mean_finite(values: np.ndarray) -> float:
    """Means are of the objects that have an estimate; their share is a claim of its own."""
    return float(values[np.isfinite(values)].mean())


def fall(look: str, what: str, before: Sequence[Error], after: Sequence[Error], *, goal: str) -> Claim:
    """By which share the mean of an error falls, paired, with its interval over frames."""
    frames = np.array([e.frame_id for e in before])
    pairs = np.array([[getattr(a, what), getattr(b, what)] for a, b in zip(before, after, strict=True)])
    both = np.isfinite(pairs).all(axis=1)
    frames, pairs = frames[both], pairs[both]
    _, group = np.unique(frames, return_inverse=True)
    sums = np.zeros((group.max() + 1, 2))
    np.add.at(sums, group, pairs)
    rng = np.random.default_rng(0)
    drawn = sums[rng.integers(len(sums), size=(2000, len(sums)))].sum(axis=1)
    low, high = np.percentile(1 - drawn[:, 1] / drawn[:, 0], [2.5, 97.5])
    figure = 1 - sums[:, 1].sum() / sums[:, 0].sum()
    return Claim(
        f"{look}: mean e_{what} falls by", goal, float(figure), (float(low), float(high)), unit="share"
    )


def auc_claims(title: str, errors: Sequence[Error], *, goals: Mapping[str, str] | None = None) -> list[Claim]:
    """AUCs of both protocols, with intervals over frames.

    Args:
        goals: by figure, such as "ADD-S AUC at 2 cm"; the others are a report.
    """
    frames = np.array([e.frame_id for e in errors])
    claims = []
    for what, name, unit, thresholds in (
        ("ADD-S", "add_s_m", "cm", [cm / 100 for cm in ADD_S_CM]),
        ("e_shape", "crisp_shape", "", list(E_SHAPE)),
    ):
        values = np.array([getattr(e, name) for e in errors])
        for threshold in thresholds:

            def statistic(e: np.ndarray, threshold: float = threshold) -> float:
                return auc(e, threshold)

            at = f"{100 * threshold:.0f} cm" if unit else f"{threshold:g}"
            interval = bootstrap_interval(values, statistic, clusters=frames)
            figure, goal = f"{what} AUC at {at}", (goals or {}).get(f"{what} AUC at {at}", "report")
            claims.append(Claim(f"{title}: {figure}", goal, statistic(values), interval, unit="share"))
    return claims
