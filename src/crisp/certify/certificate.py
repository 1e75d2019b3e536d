"""The certificate: whether an estimate can be trusted, and in words why not (method, section 6).

Three checks, on all measured points of an object's mask, each with a threshold that `crisp calibrate` finds:

1. oc = 1 when the p-quantile of |f_d(R x_i + t | h)| over the points is below eps (12);
2. the predicted surface does not stand where the depth map looked through (`free_space`);
3. only one shape explains the visible points: mu is large enough (section 5; the figures are handed in).

The bounds of a model lie in `calibration.json` beside its checkpoint's files without being one of them, so
calibrating changes no weight and no hash. The file names the model and the corrector that the bounds were
measured with; they count for no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crisp.documents import build_record, read_record, write_json
from crisp.errors import InputError
from crisp.refine.free_space import DepthMap, FreeSpace, FreeSpaceConfig, free_space
from crisp.refine.problem import Observation, masked_quantile, object_points
from crisp.shape.sdf import SignedDistance, valid_distances
from crisp.shape.surface import SurfaceConfig, SurfacePoints, surface_points
from crisp.types import Certificate, Estimate, Frame


def observe_pixels(frame: Frame, masks: Sequence[Bool[np.ndarray, "h w"]]) -> Observation:
    """The measured pixels of each mask, back-projected: (B, N, 3) metres, float32, on the CPU.

    N is the largest count; the padding is zeros and not valid (the only place where rows are padded).

    Raises:
        InputError: a mask of another size than the frame.
    """
    if wrong := [mask.shape for mask in masks if mask.shape != frame.depth_m.shape]:
        raise InputError(
            f"a mask is {wrong[0][1]}x{wrong[0][0]} but the frame is "
            f"{frame.camera.width}x{frame.camera.height}: it must have the frame's size."
        )
    rows = [torch.from_numpy(frame.points_camera[mask & (frame.depth_m > 0)]) for mask in masks]
    counts = torch.tensor([len(row) for row in rows], dtype=torch.long)
    longest = int(counts.max()) if rows else 0
    padded = torch.zeros(len(rows), longest, 3)
    valid = torch.arange(longest) < counts[:, None]
    if rows:
        padded[valid] = torch.cat(rows)
    return Observation(padded, valid)


UNCALIBRATED = "uncalibrated: published thresholds"
MM_PER_M = 1000
MOST_DIGITS = 8


@dataclass(frozen=True)
class CertificateConfig:
    """What certifies. A bound that is None is not asked for; at least one bound on the residual is.

    Args:
        eps_m: the residual's quantile must be below this, metres (12).
        eps_share: and below this share of the estimate's diameter.
        quantile: p of (12).
        free_space_share: most of the surface that may stand where the camera saw through.
        mu_min: least mu of the uniqueness check.
        min_points: fewer measured points certify nothing.
        surface: how the predicted surface is sought.
        free_space: when a point of it contradicts the depth map.
        calibration: where the bounds come from.
        calibrated_with: the correction settings that they were measured with; None if they were not measured.
        withheld: why nothing is certified, whatever the bounds say.

    Raises:
        InputError: bounds that cannot be.
    """

    eps_m: float | None = 1e-2
    eps_share: float | None = None
    quantile: float = 0.98
    free_space_share: float | None = None
    mu_min: float | None = None
    min_points: int = 16
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    free_space: FreeSpaceConfig = field(default_factory=FreeSpaceConfig)
    calibration: str = UNCALIBRATED
    calibrated_with: str | None = None
    withheld: str | None = None

    def __post_init__(self) -> None:
        if self.eps_m is None and self.eps_share is None:
            raise InputError("the certificate needs a bound on the residual: eps_m, eps_share or both.")
        for name in ("eps_m", "eps_share"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"the certificate's {name} must be positive, got {value}.")
        if not 0 < self.quantile <= 1:
            raise InputError(f"the certificate's quantile must be in (0, 1], got {self.quantile}.")
        if self.free_space_share is not None and not 0 <= self.free_space_share <= 1:
            raise InputError(f"free_space_share must be in [0, 1], got {self.free_space_share}.")
        if self.mu_min is not None and not self.mu_min >= 0:
            raise InputError(f"mu_min must not be negative, got {self.mu_min}.")
        if self.min_points < 1:
            raise InputError(f"min_points must be at least 1, got {self.min_points}.")


def published(dataset: str) -> CertificateConfig:
    """The thresholds that the paper gives for `ycbv` or `spe3r` (method, section 6).

    Raises:
        InputError: another name.
    """
    presets = {"ycbv": (1e-2, 0.98), "spe3r": (2e-2, 0.97)}
    if dataset not in presets:
        raise InputError(f"there are no published thresholds for '{dataset}', only for {', '.join(presets)}.")
    eps_m, quantile = presets[dataset]
    return CertificateConfig(eps_m=eps_m, quantile=quantile)


@dataclass(frozen=True, eq=False)
class Sight:
    """What was measured of the objects of one frame.

    Args:
        pixels: all measured points of each object's mask (`observe_pixels`).
        depth: the whole frame's.
    """

    pixels: Observation
    depth: DepthMap


@dataclass(frozen=True, eq=False)
class Uniqueness:
    """Figures of the degeneracy check (section 5), one per object: (B,) each, lambda_min per point."""

    lambda_min: Float[Tensor, " b"]
    mu: Float[Tensor, " b"]


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Figures of a batch of objects, before any threshold."""

    residual_m: Float[Tensor, "b n"]
    valid: Bool[Tensor, "b n"]
    surface: SurfacePoints
    free: FreeSpace


@torch.no_grad()
def certify(
    field: SignedDistance,
    estimates: Sequence[Estimate],
    sight: Sight,
    *,
    config: CertificateConfig | None = None,
    uniqueness: Uniqueness | None = None,
) -> list[Certificate]:
    """A verdict on each estimate of a frame, in order.

    Args:
        field: the decoder; outside its cube it continues as in section 6.
        sight: rows in the order of the estimates.
        uniqueness: rows in that order too; None = not judged, which fails where mu_min is given.
    """
    config = config or CertificateConfig()
    if len(sight.pixels.valid) != len(estimates):
        raise ValueError(f"{len(estimates)} estimates but {len(sight.pixels.valid)} rows of points")
    if not estimates:
        return []
    evidence = _evidence(field, estimates, sight, config=config)
    residual = masked_quantile(evidence.residual_m, evidence.valid, config.quantile)
    diameter = evidence.surface.diameter_m()
    return [
        _verdict(_Figures(i, evidence, float(residual[i]), float(diameter[i])), config, uniqueness)
        for i in range(len(estimates))
    ]


def _evidence(
    field: SignedDistance, estimates: Sequence[Estimate], sight: Sight, *, config: CertificateConfig
) -> _Evidence:
    codes = torch.stack([e.shape_code for e in estimates])
    # Poses in double precision until the points are in the object's frame: a camera's metres swallow digits.
    T = torch.stack([e.T_camera_object for e in estimates]).to(codes.device)
    pixels = Observation(sight.pixels.points_camera.to(T), sight.pixels.valid.to(codes.device))
    points = object_points(T, pixels).to(codes)
    residual = valid_distances(field, points, pixels.valid, codes=codes).abs()
    surface = surface_points(field, codes, config.surface)
    free = free_space(surface, T, sight.depth, config=config.free_space)
    return _Evidence(residual, pixels.valid, surface, free)


@dataclass(frozen=True, eq=False)
class _Figures:
    """One object's place in the evidence, its residual's quantile and its estimated diameter, metres."""

    index: int
    evidence: _Evidence
    residual_m: float
    diameter_m: float


def _verdict(figures: _Figures, config: CertificateConfig, uniqueness: Uniqueness | None) -> Certificate:
    i, evidence = figures.index, figures.evidence
    points = int(evidence.valid[i].sum())
    bounds = [config.eps_m, config.eps_share and config.eps_share * figures.diameter_m]
    threshold_m = min(bound for bound in bounds if bound is not None)
    below = int((evidence.valid[i] & (evidence.residual_m[i] < threshold_m)).sum())
    share = float(evidence.free.share[i]) if evidence.free.checked[i] > 0 else None
    mu = None if uniqueness is None else float(uniqueness.mu[i])
    unique = None if mu is None or config.mu_min is None else mu >= config.mu_min
    reasons = [
        *([] if config.withheld is None else [config.withheld]),
        *_no_surface(evidence, i),
        *_too_far(figures, points, below / max(points, 1), threshold_m=threshold_m, config=config),
        *_looked_through(share, int(evidence.free.checked[i]), config),
        *_not_unique(mu, config),
    ]
    return Certificate(
        certified=not reasons,
        residual_quantile_m=figures.residual_m if points else None,
        threshold_m=threshold_m,
        quantile=config.quantile,
        points=points,
        share_below=below / max(points, 1),
        free_space_share=share,
        shape_unique=unique,
        lambda_min=None if uniqueness is None else float(uniqueness.lambda_min[i]),
        mu=mu,
        reasons=tuple(reasons),
    )


def _no_surface(evidence: _Evidence, index: int) -> list[str]:
    if evidence.surface.valid[index].any():
        return []
    return ["the decoded shape has no surface in its cube, so there is nothing that the points could lie on."]


def _too_far(
    figures: _Figures, points: int, share_below: float, *, threshold_m: float, config: CertificateConfig
) -> list[str]:
    if points < config.min_points:
        return [f"only {points} points were measured, at least {config.min_points} are needed."]
    if figures.residual_m < threshold_m:
        return []
    if share_below < config.quantile:
        wanted, found = _apart(config.quantile, share_below, form=".{}%")
        within, but = f"{MM_PER_M * threshold_m:.1f}", f"only {found} do"
    else:  # the quantile lies between two points, one on either side of the threshold
        wanted = f"{config.quantile:.0%}"
        within, reach = _apart(MM_PER_M * threshold_m, MM_PER_M * figures.residual_m, form=".{}f", digits=1)
        but = f"their {wanted} quantile is {reach} mm"
    return [
        f"{wanted} of the {points} measured points must lie within {within} mm of the estimated surface, "
        f"but {but}."
    ]


def _looked_through(share: float | None, checked: int, config: CertificateConfig) -> list[str]:
    if config.free_space_share is None:
        return []
    if share is None:
        return ["no part of the estimated surface could be checked against the depth map."]
    if share <= config.free_space_share:
        return []
    most, found = _apart(config.free_space_share, share, form=".{}%")
    return [
        f"{found} of the {checked} surface points that could be checked stand where the camera saw "
        f"through, at most {most} may."
    ]


def _not_unique(mu: float | None, config: CertificateConfig) -> list[str]:
    if config.mu_min is None:
        return []
    if mu is None or isnan(mu):
        return ["whether other shapes explain the measured points as well was not judged."]
    if mu >= config.mu_min:
        return []
    least, found = _apart(config.mu_min, mu, form=".{}e", digits=1)
    return [f"other shapes explain the measured points as well: mu is {found}, at least {least} is needed."]


def _apart(bound: float, found: float, *, form: str, digits: int = 0) -> tuple[str, str]:
    """Both numbers with as many digits as tell them apart: a bound that is missed must not read as met."""
    for count in range(digits, MOST_DIGITS):
        texts = tuple(format(value, form.format(count)) for value in (bound, found))
        if texts[0] != texts[1]:
            break
    return texts[0], texts[1]


NAME = "calibration.json"
FORMAT_VERSION = 1
DEFAULT = "default"
_ELSEWHERE = {"calibrated_with", "withheld"}  # fields of the certificate that its table does not have


@dataclass(frozen=True)
class StoredCalibration:
    """`calibration.json`.

    Args:
        certificate: the fields of `CertificateConfig` that are bounds and settings, all of them.
        evidence: free JSON values.
        corrector: the settings that the bounds were measured with; None, as in older files, for the model's.
    """

    format_version: int
    model_sha256: str
    certificate: Mapping[str, Any]
    evidence: Mapping[str, Any] = field(default_factory=dict)
    corrector: str | None = None


def write_calibration(
    path: Path, config: CertificateConfig, *, model_sha256: str, evidence: Mapping[str, Any]
) -> None:
    """Write the bounds and the evidence (JSON values) for them, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    bounds = {key: value for key, value in asdict(config).items() if key not in _ELSEWHERE}
    stored = StoredCalibration(FORMAT_VERSION, model_sha256, bounds, evidence, config.calibrated_with)
    write_json(path, stored)


def read_calibration(path: Path, *, model_sha256: str, own: str = DEFAULT) -> CertificateConfig:
    """The bounds for a model; the published ones, which say so, where it was not calibrated.

    Args:
        own: the model's own correction settings.

    Raises:
        InputError: a file of another form.
    """
    if not path.is_file():
        return CertificateConfig()
    stored = read_record(path, StoredCalibration, version=FORMAT_VERSION)
    if stored.model_sha256 != model_sha256:
        return replace(CertificateConfig(), calibration=f"{UNCALIBRATED} ({NAME} is of another model)")
    return _config(stored, path, own)


def _config(stored: StoredCalibration, path: Path, own: str) -> CertificateConfig:
    where = f"{path}: certificate"
    wanted = {item.name for item in fields(CertificateConfig)} - _ELSEWHERE
    if strange := sorted(set(stored.certificate) & _ELSEWHERE):
        raise InputError(f"{where} has an unknown key {strange[0]!r}.")
    if lacking := sorted(wanted - set(stored.certificate)):
        raise InputError(f"{where} is incomplete: it lacks the key {lacking[0]!r}.")
    config = build_record(CertificateConfig, stored.certificate, where=where)
    uncalibrated = config.calibration.startswith(UNCALIBRATED)
    return replace(config, calibrated_with=None if uncalibrated else stored.corrector or own)
