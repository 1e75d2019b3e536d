"""Pipeline stages for table 11: the same for PNC and for unit boxes, but for the scale of (24).

Both arms descend on Z by Adam, take the single best shape (one-hot) and certify by (12) alone, as published.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crisp.errors import ObjectFailure
from crisp.geometry.align import fit_similarity
from crisp.model import Model
from crisp.objects import FrameObject, Objects
from crisp.pipeline import Stages
from crisp.refine.problem import Observation, masked_quantile, object_points
from crisp.stages import Aligned, register_all, standard_stages
from crisp.types import Certificate, CorrectionSummary, Estimate, Frame
from experiments.paper.unit_box import Answer, SizedShapes, choose_shape, descend

ITERATIONS, ROUNDS, RATE = 25, 2, 1e-3
POINTS = 150
EPS_M, QUANTILE = 1e-2, 0.98  # of (12), as published for YCBV


@dataclass(frozen=True)
class Sized:
    """What an estimate does not hold: its scale s, units per metre, and its code with r behind it.

    `start_s` is the scale of what the network had said.
    """

    s: float
    code: Tensor
    start_s: float


class SizedStages:
    """Stages that keep the scale of every object of the frame under way, by its slot.

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

    def start_scale(self, slot: int) -> float:
        """s of what the network said of an object of the last frame; a mean over objects tells of the size of
        its coordinates."""
        return self._sized[slot].start_s

    def target(self, found: FrameObject) -> Tensor:
        """Z^ of the crop's points in the arm's own coordinates."""
        assert found.estimate is not None and found.crop is not None
        T, crop = found.estimate.T_camera_object.double(), found.crop
        points = crop.points_camera.double().flatten(0, 1)
        z = self._sized[found.slot].s * object_points(T[None], _row(points))[0]
        return torch.where(crop.valid[..., None], z.view_as(crop.points_camera), 0.0).float()

    def register(self, objects: Objects) -> Objects:
        if not self._shapes.scaled:
            found = register_all(objects, self._model.registration)
            scales = dict.fromkeys(found.slots, 1.0)
        else:
            found, scales = self.with_scale(objects)
        codes, _ = self._shapes.own(found.predicted.shape_code.clone())
        self._sized = {
            slot: Sized(scales[slot], code, scales[slot])
            for slot, code in zip(found.slots, codes, strict=True)
        }
        return found

    def with_scale(self, objects: Objects) -> tuple[Objects, dict[int, float]]:
        """(24), robustly: poses, and s in units per metre of each object by its slot; none where it fails."""
        prediction, scales = objects.predicted, {}
        found: list[Estimate | ObjectFailure] = []
        rows = zip(objects.slots, prediction.pnc, prediction.shape_code, objects.crops, strict=True)
        for slot, pnc, code, crop in rows:
            pairs = (pnc[crop.valid].numpy(), crop.points_camera[crop.valid].numpy())
            fit = fit_similarity(*(p.astype(np.float64) for p in pairs), inlier_m=self._inlier_m)
            if fit is None or not fit.scale > 0:
                found.append(ObjectFailure("registration_failed", "no similarity takes one to the other."))
                continue
            found.append(Estimate(torch.from_numpy(fit.T).double(), code, fit.inlier_share))
            scales[slot] = 1 / fit.scale
        return objects.with_estimates(found), scales

    @property
    def _inlier_m(self) -> float:
        return self._model.registration.inlier_m

    def correct(self, objects: Objects) -> Objects:
        if not objects.alive:
            return objects
        aligned = Aligned.of(objects).thinned(POINTS)
        valid = aligned.observation.valid
        observation = Observation(
            torch.where(valid[..., None], aligned.observation.points_camera, 0.0), valid
        )
        z = torch.where(valid[..., None], aligned.pnc, 0.0)
        own = self._shapes.own(aligned.network_code)
        code = own[0]
        best: Answer | None = None
        for _ in range(ROUNDS):
            z, posed = descend(self._shapes, observation, z, code, iterations=ITERATIONS, rate=RATE)
            shaped = choose_shape(self._shapes, observation, posed, own)
            code = shaped.code
            best = shaped if best is None else shaped.where(shaped.objective < best.objective, best)
        assert best is not None
        for i, slot in enumerate(objects.slots):
            self._sized[slot] = replace(self._sized[slot], s=float(best.s[i]), code=best.code[i])
        return objects.with_estimates([_ended(item, best, i) for i, item in enumerate(objects.estimates)])

    @torch.no_grad()
    def certify(self, objects: Objects) -> Objects:
        return objects.with_certificates([self._verdict(item, objects.frame) for item in objects.alive])

    def _verdict(self, found: FrameObject, frame: Frame) -> Certificate:
        """(12) in the arm's units, over every measured pixel of the mask."""
        assert found.estimate is not None and found.detection is not None
        sized, mask = self._sized[found.slot], found.detection.mask
        points = torch.from_numpy(frame.points_camera[mask & (frame.depth_m > 0)]).double()
        z = (sized.s * object_points(found.estimate.T_camera_object[None], _row(points))).float()
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


def _ended(start: Estimate, best: Answer, i: int) -> Estimate:
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
    return replace(start, T_camera_object=best.T[i], shape_code=best.code[i, :-1].clone(), correction=summary)


def _row(points: Tensor) -> Observation:
    return Observation(points[None], torch.ones(1, len(points), dtype=torch.bool))
