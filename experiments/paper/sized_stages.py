"""Pipeline stages for table 11: the same for PNC and for unit boxes, but for the scale of (24).

Both arms descend on Z by Adam, take the single best shape (one-hot) and certify by (12) alone, as published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crisp.errors import ObjectFailure
from crisp.geometry.align import fit_similarity
from crisp.model import Model
from crisp.pipeline import Stages
from crisp.refine.problem import Observation, masked_quantile, object_points
from crisp.stages import Aligned, register_all, standard_stages
from crisp.types import Certificate, CorrectionSummary, Crop, Detection, Estimate, Frame, Prediction
from experiments.paper.unit_box import Answer, SizedShapes, choose_shape, descend

ITERATIONS, ROUNDS, RATE = 25, 2, 1e-3
POINTS = 150
EPS_M, QUANTILE = 1e-2, 0.98  # of (12), as published for YCBV


@dataclass(frozen=True)
class Sized:
    """What an estimate does not hold: its scale s, units per metre, and its code with r behind it.

    `start_s` is the scale of what the network had said.
    """

    estimate: Estimate
    s: float
    code: Tensor
    start_s: float


class SizedStages:
    """Stages that keep the scale of every estimate of the frame under way.

    Args:
        model: whose crops and registration they use.
        shapes: the known shapes of the arm.
    """

    def __init__(self, model: Model, shapes: SizedShapes) -> None:
        self._model, self._shapes = model, shapes
        self._sized: dict[int, Sized] = {}

    def stages(self) -> Stages:
        standard = standard_stages(self._model.network, None, replace(self._model.settings, corrector=None))
        return replace(standard, register=self.register, correct=self.correct, certify=self.certify)

    def scale(self, estimate: Estimate) -> float:
        """s of an estimate of the last frame."""
        return self._sized[id(estimate)].s

    def start_scale(self, estimate: Estimate) -> float:
        """s of what the network had said of it; a mean over objects tells of the size of its coordinates."""
        return self._sized[id(estimate)].start_s

    def target(self, estimate: Estimate, crop: Crop) -> Tensor:
        """Z^ of the crop's points in the arm's own coordinates."""
        T, points = estimate.T_camera_object.double(), crop.points_camera.double().flatten(0, 1)
        z = self.scale(estimate) * object_points(T[None], _row(points))[0]
        return torch.where(crop.valid[..., None], z.view_as(crop.points_camera), 0.0).float()

    def register(self, prediction: Prediction, crops: Sequence[Crop]) -> list[Estimate | ObjectFailure]:
        self._sized.clear()
        if not self._shapes.scaled:
            found = register_all(prediction, crops, self._model.registration)
            scales: list[float] = [1.0] * len(found)
        else:
            found, scales = self.with_scale(prediction, crops)
        codes, _ = self._shapes.own(prediction.shape_code.clone())
        for item, s, code in zip(found, scales, codes, strict=True):
            if isinstance(item, Estimate):
                self._sized[id(item)] = Sized(item, s, code, s)
        return found

    def with_scale(
        self, prediction: Prediction, crops: Sequence[Crop]
    ) -> tuple[list[Estimate | ObjectFailure], list[float]]:
        """(24), robustly: poses, and s in units per metre; NaN where there is none."""
        found: list[Estimate | ObjectFailure] = []
        scales = []
        for pnc, code, crop in zip(prediction.pnc, prediction.shape_code, crops, strict=True):
            pairs = (pnc[crop.valid].numpy(), crop.points_camera[crop.valid].numpy())
            fit = fit_similarity(*(p.astype(np.float64) for p in pairs), inlier_m=self._inlier_m)
            if fit is None or not fit.scale > 0:
                found.append(ObjectFailure("registration_failed", "no similarity takes one to the other."))
                scales.append(float("nan"))
                continue
            found.append(Estimate(torch.from_numpy(fit.T).double(), code, fit.inlier_share))
            scales.append(1 / fit.scale)
        return found, scales

    @property
    def _inlier_m(self) -> float:
        return self._model.registration.inlier_m

    def correct(
        self, estimates: Sequence[Estimate], prediction: Prediction, crops: Sequence[Crop]
    ) -> list[Estimate]:
        if not estimates:
            return []
        seen = Aligned.of(prediction, crops).thinned(POINTS)
        points = torch.where(seen.observation.valid[..., None], seen.observation.points_camera, 0.0)
        observation = Observation(points, seen.observation.valid)
        z = torch.where(observation.valid[..., None], seen.pnc, 0.0)
        own = self._shapes.own(seen.network_code)
        code = own[0]
        best: Answer | None = None
        for _ in range(ROUNDS):
            z, posed = descend(self._shapes, observation, z, code, iterations=ITERATIONS, rate=RATE)
            shaped = choose_shape(self._shapes, observation, posed, own)
            code = shaped.code
            best = shaped if best is None else shaped.where(shaped.objective < best.objective, best)
        assert best is not None
        return [self._ended(item, best, i) for i, item in enumerate(estimates)]

    def _ended(self, start: Estimate, best: Answer, i: int) -> Estimate:
        summary = CorrectionSummary(
            status="budget",
            reason="the rounds ended.",
            rounds=ROUNDS,
            rms_start_m=float("nan"),
            rms_m=float(best.objective[i].sqrt()),
            T_camera_object_start=start.T_camera_object.numpy(),
            shape_code_start=start.shape_code.numpy(),
            lambda_min=float("nan"),
            mu=float("nan"),
        )
        found = replace(
            start,
            T_camera_object=best.T[i],
            shape_code=best.code[i, :-1].clone(),
            correction=summary,
        )
        start_s = self._sized[id(start)].s
        self._sized[id(found)] = Sized(found, float(best.s[i]), best.code[i], start_s)
        return found

    @torch.no_grad()
    def certify(
        self, estimates: Sequence[Estimate], frame: Frame, detections: Sequence[Detection]
    ) -> list[Certificate | None]:
        return [self._verdict(item, frame, seen) for item, seen in zip(estimates, detections, strict=True)]

    def _verdict(self, estimate: Estimate, frame: Frame, detection: Detection) -> Certificate:
        """(12) in the arm's units, over every measured pixel of the mask."""
        sized = self._sized[id(estimate)]
        points = torch.from_numpy(frame.points_camera[detection.mask & (frame.depth_m > 0)]).double()
        z = (sized.s * object_points(estimate.T_camera_object[None], _row(points))).float()
        residual = self._shapes.field(z, sized.code[None]).abs()
        reach = float(masked_quantile(residual, torch.ones_like(residual, dtype=torch.bool), QUANTILE))
        below = float((residual < EPS_M).float().mean())
        return Certificate(
            certified=reach < EPS_M,
            residual_quantile_m=reach,
            threshold_m=EPS_M,
            quantile=QUANTILE,
            points=len(points),
            share_below=below,
            reasons=() if reach < EPS_M else ("too far from the estimated surface.",),
        )


def _row(points: Tensor) -> Observation:
    return Observation(points[None], torch.ones(1, len(points), dtype=torch.bool))
