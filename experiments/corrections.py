"""What tables 10, 13 and 14 share: one set of network predictions, corrected in several ways, and scored.

The network sees every crop once; each way of correcting starts from the same predictions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crisp.data.bop.reader import BopDataset, FrameKey
from crisp.evaluate.evidence import Claim, write_evidence
from crisp.evaluate.metrics.pose import add_s, rotation_error_deg
from crisp.evaluate.metrics.shape import SurfaceSample, chamfer_l1, normalised_error, sample_surface
from crisp.evaluate.metrics.statistics import auc, bootstrap_interval
from crisp.model import Model, load_model
from crisp.output.results import described
from crisp.progress import track
from crisp.refine.corrector import Corrector
from crisp.shape.mesh import MeshConfig
from crisp.stages import correct_all, cut_all, predict, reconstruct, register_all
from crisp.types import Crop, Detection, Estimate, Mesh
from experiments.held_out import MIN_VISIBLE, held_out_set

LOOKS = ("clean", "hard")
POINTS = 2500
"""Samples a side of e_pose and e_shape, and of ADD-S."""
FLIPPED_DEG = 90.0
MESHING = MeshConfig(resolution=64)
EVERY = 2  # of the pictures of each set, to stay within an hour
RESULTS = Path(__file__).parent / "results"
Goals = Mapping[tuple[str, str, str], str]
"""From look, way and "pose" or "shape" to what the fall of that error's mean must reach."""


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


def options_of(description: str | None) -> argparse.Namespace:
    """The command line that the three tables share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="three scenes a look, one picture each")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--work", type=Path, default=Path(".cache/held_out"), help="renders")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def errors_of(
    model: Model, dataset: BopDataset, ways: Mapping[str, Corrector | None], *, every: int = EVERY
) -> dict[str, list[Error]]:
    """The errors of every labelled object of which enough can be seen, under every way of correcting."""
    truths: dict[int, Truth] = {}
    found: dict[str, list[Error]] = {name: [] for name in ways}
    keys = dataset.keys[::every]
    for key in track(keys, dataset.split, total=len(keys)):
        for name, errors in _frame(model, dataset, key, ways, truths=truths).items():
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
    cut = cut_all(frame, detections, model.settings.crop)
    places = [i for i, item in enumerate(cut) if isinstance(item, Crop)]
    crops = [item for item in cut if isinstance(item, Crop)]
    prediction = predict(model.network, crops)
    registered = register_all(prediction, crops, model.registration)
    alive = [i for i, item in enumerate(registered) if isinstance(item, Estimate)]
    starts = [item for item in registered if isinstance(item, Estimate)]
    seen = prediction.take(alive), [crops[i] for i in alive]
    errors: dict[str, list[Error]] = {}
    for name, corrector in ways.items():
        settings = replace(model.settings, corrector=corrector)
        ends = correct_all(model.network.decoder, starts, seen, shapes=model.known_shapes, settings=settings)
        meshes = reconstruct(model.network.decoder, ends, MESHING)
        by_place = {places[i]: (e, m) for i, e, m in zip(alive, ends, meshes, strict=True)}
        errors[name] = []
        for place, label in enumerate(labels):
            if label.object_id not in truths:
                truths[label.object_id] = Truth.of(dataset, label.object_id)
            truth = truths[label.object_id]
            estimate, mesh = by_place.get(place, (None, None))
            mesh = mesh if isinstance(mesh, Mesh) else None
            errors[name].append(truth.error(key.frame_id, estimate, mesh, label.T_camera_object))
    return errors


def mean_finite(values: np.ndarray) -> float:
    """Means are of the objects that have an estimate; their share is a claim of its own."""
    return float(values[np.isfinite(values)].mean())


def summary(look: str, name: str, errors: Sequence[Error]) -> list[Claim]:
    """The figures of one way of correcting on one set, with 95 % intervals over frames."""
    frames = np.array([e.frame_id for e in errors])

    def claim(what: str, values: np.ndarray, statistic: Callable[[np.ndarray], float], unit: str) -> Claim:
        interval = bootstrap_interval(values, statistic, clusters=frames)
        return Claim(f"{look}, {name}: {what}", "report", statistic(values), interval, unit=unit)

    add_s_m = np.array([e.add_s_m for e in errors])
    pose, shape = np.array([e.pose for e in errors]), np.array([e.shape for e in errors])
    rotation = np.array([e.rotation_deg for e in errors])
    plain = np.array([not e.symmetric for e in errors])
    claims = [
        claim(f"ADD-S AUC at {cm} cm", add_s_m, lambda e, cm=cm: auc(e, cm / 100), "share")
        for cm in (1, 2, 3)
    ]
    for what, values in (("e_pose", pose), ("e_shape", shape)):
        claims.append(claim(f"mean {what}", values, mean_finite, "diameters"))
        claims.append(claim(f"median {what}", values, lambda v: float(np.median(v)), "diameters"))
    claims.append(claim("median ADD-S", 1000 * add_s_m, lambda v: float(np.median(v)), "mm"))
    flipped = (rotation > FLIPPED_DEG)[plain].astype(float)
    share = float(flipped.mean())
    interval = bootstrap_interval(flipped, lambda v: float(v.mean()), clusters=frames[plain])
    title = f"{look}, {name}: turned by more than {FLIPPED_DEG:.0f} degrees, objects without symmetry"
    return [*claims, Claim(title, "report", share, interval, unit="share")]


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


def run_table(
    name: str,
    description: str | None,
    ways: Mapping[str, Corrector | None],
    goals: Goals,
    *,
    every: int = EVERY,
) -> None:
    """Measure every way on both looks, against the first, and write the evidence file `name`."""
    options = options_of(description)
    start = time.perf_counter()
    model = load_model(options.weights)
    claims: list[Claim] = []
    first, *others = ways
    for look in LOOKS:
        dataset = held_out_set(look, options.work, quick=options.quick, workers=options.workers)
        errors = errors_of(model, dataset, ways, every=every)
        for other in others:
            for what in ("pose", "shape"):
                goal = goals.get((look, other, what), "report")
                title = f"{look}, {other} against {first}"
                claims.append(fall(title, what, errors[first], errors[other], goal=goal))
        for way in ways:
            claims += summary(look, way, errors[way])
    settings = settings_of(model, options) | {
        "every": every,
        "ways": {k: described(v) for k, v in ways.items()},
    }
    seconds = time.perf_counter() - start
    write_evidence(name, claims, settings=settings, seconds=seconds, folder=RESULTS, quick=options.quick)


def settings_of(model: Model, options: argparse.Namespace) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "sets": "held_out's, other seeds than training",
        "min_visible": MIN_VISIBLE,
        "masks": "ground truth",
        "points": POINTS,
        "correction_points": model.settings.correction_points,
        "mesh_resolution": MESHING.resolution,
        "weights": options.weights,
        "model_sha256": model.sha256,
    }
