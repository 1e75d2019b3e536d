"""Finds a model's certificate bounds on labelled splits, and how far they can be trusted.

Estimates and certificates are compared with the labels; `crisp.evaluate.bounds` chooses the bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from crisp.certify.certificate import CertificateConfig
from crisp.data.dataset import Dataset, FrameKey, Instance
from crisp.errors import InputError
from crisp.evaluate.bounds import UNBOUNDED, Bounds, Evidence, Point, choose, curves, point, point_json
from crisp.evaluate.cases import TrueModel, TrueModels
from crisp.evaluate.metrics.add_s import pose_error
from crisp.evaluate.metrics.chamfer import shape_error
from crisp.model import OWN, Model, own_correction
from crisp.progress import track
from crisp.recipes import correction_label
from crisp.shape.mesh import MeshConfig
from crisp.types import Certificate, Mesh, Result

ADD_S_SHARE = 0.1
CHAMFER_SHARE = 0.05
MESHING = MeshConfig(resolution=80)  # enough to tell whether a shape is within 5 % of its diameter


@dataclass(frozen=True)
class Judged:
    """One labelled object: what the certificate said, and what was true.

    Args:
        certificate: None where there is no estimate.
        diameter_m: of the true model.
        add_s_m, chamfer_m: errors of pose and of shape (object frame); infinite where there is no estimate.
        camera_chamfer_m: two-sided chamfer of the posed shapes, for objects without a common frame.
    """

    frame_id: str
    name: str
    kind: str
    visib_fract: float
    certificate: Certificate | None
    diameter_m: float
    add_s_m: float
    chamfer_m: float
    camera_chamfer_m: float

    @property
    def right(self) -> bool:
        """ADD-S below 10 % and chamfer below 5 % of the diameter."""
        return within_claim(self.add_s_m, self.chamfer_m, diameter_m=self.diameter_m)

    @property
    def right_in_camera(self) -> bool:
        """Camera-frame chamfer below 5 % of the diameter: for objects that the model has never seen."""
        return self.camera_chamfer_m < CHAMFER_SHARE * self.diameter_m


def within_claim(add_s_m: float, chamfer_m: float, *, diameter_m: float) -> bool:
    """What 'certified' promises: pose and shape within shares of the object's diameter."""
    return add_s_m < ADD_S_SHARE * diameter_m and chamfer_m < CHAMFER_SHARE * diameter_m


def judge(
    model: Model,
    dataset: Dataset,
    *,
    min_visib_fract: float = 0.1,
    progress: bool = False,
) -> list[Judged]:
    """Estimate every labelled object of a split from its visible mask, and compare with its label.

    Args:
        min_visib_fract: leave out objects of which less can be seen.
        progress: show a bar.
    """
    truths = TrueModels(dataset)
    model = replace(model, meshing=MESHING)
    keys = dataset.keys
    shown = track(keys, "judging", total=len(keys)) if progress else keys
    return [
        row
        for key in shown
        for row in _frame(model, dataset, key, min_visib_fract=min_visib_fract, truths=truths)
    ]


def _frame(
    model: Model,
    dataset: Dataset,
    key: FrameKey,
    *,
    min_visib_fract: float,
    truths: TrueModels,
) -> Iterator[Judged]:
    frame = dataset.load_frame(key)
    instances = [i for i in dataset.instances(key) if not i.visib_fract < min_visib_fract]
    results = model.estimate(frame, [dataset.mask(key, instance.index) for instance in instances])
    for instance, result in zip(instances, results, strict=True):
        yield _judged(key.frame_id, instance, truths.of(instance), result=result)


def _judged(frame_id: str, instance: Instance, truth: TrueModel, *, result: Result) -> Judged:
    T = result.T_camera_object if result.status == "ok" else None
    mesh = result.mesh if result.status == "ok" else None
    return Judged(
        frame_id=frame_id,
        name=truth.model.name,
        kind=truth.model.kind,
        visib_fract=instance.visib_fract,
        certificate=result.certificate if result.status == "ok" else None,
        diameter_m=truth.model.diameter_m,
        add_s_m=pose_error(truth, T, instance.T_camera_object).add_s_m,
        chamfer_m=shape_error(truth, mesh).chamfer_m,
        camera_chamfer_m=shape_error(truth, _in_true_frame(mesh, T, instance)).chamfer_m,
    )


def _in_true_frame(mesh: Mesh | None, T: np.ndarray | None, instance: Instance) -> Mesh | None:
    """The posed estimate in the frame of the truth: distances are those in the camera's frame."""
    if mesh is None or T is None:
        return None
    motion = np.linalg.inv(instance.T_camera_object) @ T
    return Mesh(mesh.vertices @ motion[:3, :3].T + motion[:3, 3], mesh.faces)


def measuring(config: CertificateConfig) -> CertificateConfig:
    """The same certificate without bounds, whose `threshold_m` is the diameter: for collecting evidence."""
    free = replace(config, eps_m=None, eps_share=1.0, free_space_share=None, mu_min=None)
    return replace(free, calibrated_with=None, withheld=None)


def evidence_of(rows: Sequence[Judged], *, in_camera: bool = False) -> Evidence:
    """From what was judged with a `measuring` certificate.

    Args:
        in_camera: right means right in the camera's frame.
    """

    def figures(name: str, sign: float = 1.0) -> Float[np.ndarray, " n"]:
        values = [None if r.certificate is None else getattr(r.certificate, name) for r in rows]
        found = [np.inf if v is None or np.isnan(v) else sign * v for v in values]
        return np.array(found, dtype=np.float64)

    residual = figures("residual_quantile_m")
    diameter = figures("threshold_m")
    right = [row.right_in_camera if in_camera else row.right for row in rows]
    return Evidence(
        residual_m=np.where((diameter > 0) & np.isfinite(diameter), residual, np.inf),
        diameter_m=np.where((diameter > 0) & np.isfinite(diameter), diameter, 1.0),
        free_space_share=figures("free_space_share"),
        minus_mu=figures("mu", -1.0),
        right=np.array(right, dtype=bool),
    )


@dataclass(frozen=True, eq=False)
class Calibration:
    """What `calibrate` found.

    Args:
        config: for the model.
        chosen: what it certifies on the calibration set.
        evidence: JSON values: data, settings, counts and curves.
    """

    config: CertificateConfig
    chosen: Point
    evidence: dict[str, Any]


def calibrate(
    model: Model,
    datasets: Sequence[Dataset],
    *,
    target: float = 0.95,
    min_visib_fract: float = 0.1,
    correct: str = OWN,
    config: CertificateConfig | None = None,
) -> Calibration:
    """Estimate, certify without bounds, compare with the labels, choose the bounds.

    Args:
        datasets: labelled splits, all taken together; of other scenes than the training's.
        target: for the lower end of precision's 95 % interval. Bounds that are chosen on a set look better
            there than elsewhere: ask for somewhat more than is needed.
        min_visib_fract: leave out objects of which less can be seen.
        correct: the correction settings to measure the bounds with, as in `Model.with_correction`; they count
            for no others.
        config: quantile, surface and free-space settings to calibrate for.

    Raises:
        InputError: a target outside (0, 1), no corrector, nothing to judge, or a target that no bounds reach.
    """
    if not 0 < target < 1:
        raise InputError(f"the target must be a share between 0 and 1, got {target}.")
    corrected = model.with_correction(correct)
    if corrected.corrector is None:
        raise InputError("there are no certificates without a corrector: calibrate with one, not with none.")
    used = own_correction(model.info) if correct == OWN else correct
    measured = replace(measuring(config or CertificateConfig()), calibrated_with=correction_label(used))
    probe = replace(corrected, certificate=measured)
    rows = [row for d in datasets for row in judge(probe, d, min_visib_fract=min_visib_fract, progress=True)]
    if not rows:
        raise InputError("the data set has no labelled object to calibrate on.")
    evidence = evidence_of(rows)
    bounds = choose(evidence, target=target)
    described = {
        "datasets": [
            {"name": d.root.resolve().name, "split": d.split, "labels_sha256": d.labels_digest}
            for d in datasets
        ],
        "target": target,
        "interval": "95 %, Clopper and Pearson, over instances",
        "right": "ADD-S below 10 % and two-sided chamfer below 5 % of the diameter",
        "min_visib_fract": min_visib_fract,
        "corrector": measured.calibrated_with,
        "instances": len(rows),
        "right_instances": int(evidence.right.sum()),
    }
    chosen = point(evidence, bounds.certified(evidence))
    names = ", ".join(f"{d.root.resolve().name}/{d.split}" for d in datasets)
    return Calibration(
        config=_bounded(measured, bounds, calibration=f"calibrated on {len(rows)} instances of {names}"),
        chosen=chosen,
        evidence=described | {"chosen": point_json(chosen), "curves": curves(evidence, bounds)},
    )


def _bounded(config: CertificateConfig, bounds: Bounds, *, calibration: str) -> CertificateConfig:
    share, minus_mu = bounds.free_space_share, bounds.minus_mu
    return replace(
        config,
        eps_m=bounds.residual if bounds.scale == "metres" else None,
        eps_share=bounds.residual if bounds.scale == "diameters" else None,
        free_space_share=share if np.isfinite(share) else None,
        mu_min=-minus_mu if np.isfinite(minus_mu) else None,
        calibration=calibration,
    )


def sentence(found: Calibration) -> str:
    """The bounds and what they certify, for a person."""
    config, chosen = found.config, found.chosen
    bounds = {
        "residual below": _length(config),
        "free-space share at most": None
        if config.free_space_share is None
        else f"{config.free_space_share:.3f}",
        "mu at least": None if config.mu_min is None else f"{config.mu_min:.2e}",
    }
    asked = ", ".join(f"{name} {value}" for name, value in bounds.items() if value is not None)
    low, high = chosen.interval
    return (
        f"{asked}: certifies {chosen.coverage:.1%} of {found.evidence['instances']} instances, "
        f"{chosen.precision:.1%} of them rightly (95 %: {low:.1%} to {high:.1%})"
    )


def _length(config: CertificateConfig) -> str:
    if config.eps_share is not None:
        return f"{config.eps_share:.4f} diameters"
    return f"{1000 * (config.eps_m or 0.0):.2f} mm"


def bounds_of(config: CertificateConfig) -> Bounds:
    """The bounds of a certificate, to be held against evidence that was collected without any.

    Raises:
        InputError: it bounds the residual in metres and in diameters at once.
    """
    if config.eps_m is not None and config.eps_share is not None:
        raise InputError("evidence is judged in metres or in diameters: give eps_m or eps_share, not both.")
    return Bounds(
        scale="metres" if config.eps_m is not None else "diameters",
        residual=config.eps_m or config.eps_share or 0.0,
        free_space_share=UNBOUNDED if config.free_space_share is None else config.free_space_share,
        minus_mu=UNBOUNDED if config.mu_min is None else -config.mu_min,
    )
