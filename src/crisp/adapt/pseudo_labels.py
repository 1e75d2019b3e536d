"""What a model said of one frame, with what it takes to learn from it: features, coordinates, verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from crisp.adapt.update import PseudoLabel
from crisp.errors import ObjectFailure
from crisp.geometry import pose
from crisp.networks.backbone import Features
from crisp.networks.model import CrispNetwork
from crisp.pipeline import Stages, estimate
from crisp.stages import without_meshes
from crisp.types import Certificate, Crop, Detection, Estimate, Frame, Prediction, Result

Masks = Sequence[Detection | ObjectFailure]
Target = Callable[[Estimate, Crop], Tensor]
"""From a certified estimate and its crop to Z^ (G, G, 3)."""


@dataclass(frozen=True, eq=False)
class SeenObject:
    """One mask of a frame that has been estimated.

    Args:
        detection: number of the mask.
        result: what `estimate` says of it.
        estimate, certificate: None where it came to none.
        label: the lesson in it where it is certified; else None.
    """

    detection: int
    result: Result
    estimate: Estimate | None = None
    certificate: Certificate | None = None
    label: PseudoLabel | None = None

    @property
    def certified(self) -> bool:
        return self.certificate is not None and self.certificate.certified

    @property
    def own_residual_m(self) -> float:
        """Root mean square distance to the surface of what heads and registration said, before correction;
        infinite where they came to nothing: a measure of the heads that needs no label."""
        if self.estimate is None or self.estimate.correction is None:
            return float("inf")
        return self.estimate.correction.rms_start_m


def object_points(estimate: Estimate, crop: Crop) -> Float[Tensor, "g g 3"]:
    """Z^ = T_object_camera X of the crop's measured points (method, section 7); zeros where none was."""
    T = pose.inverse(estimate.T_camera_object.double().cpu())
    points = pose.apply(T, crop.points_camera.double().flatten(0, 1)).view_as(crop.points_camera)
    return torch.where(crop.valid[..., None], points, 0.0).float()


class Features16:
    """Features of a frame's crops in half precision: computed once, whoever asks again gets the same.

    Args:
        network: whose backbone computes them.
        kept: those of an earlier look at the same frame.
    """

    def __init__(self, network: CrispNetwork, kept: Features | None = None) -> None:
        self._network, self.kept = network, kept

    @torch.inference_mode()
    def of(self, crops: Sequence[Crop]) -> Features:
        """(B, 4, T, D) and (B, 4, D), half precision, on the CPU."""
        if self.kept is None:
            device = next(self._network.shape_head.parameters()).device
            found = self._network.backbone(torch.stack([crop.image for crop in crops]).to(device))
            self.kept = Features(found.taps.half().cpu(), found.cls.half().cpu())
        return self.kept


class Watch:
    """Standard stages that also keep what passes through them.

    Args:
        stages: whose answers are passed on.
        network: whose heads predict, from the features.
        features: of this frame.
    """

    def __init__(self, stages: Stages, network: CrispNetwork, features: Features16) -> None:
        self._stages, self._network, self._features = stages, network, features
        self.crops: list[Crop] = []
        self.alive: list[Crop] = []
        self.estimates: list[Estimate] = []
        self.certificates: list[Certificate | None] = []
        self.detections: list[Detection] = []

    @torch.inference_mode()
    def predict(self, crops: Sequence[Crop]) -> Prediction:
        self.crops = list(crops)
        found = self._features.of(crops)
        device = next(self._network.shape_head.parameters()).device
        return self._network.predict_from_features(
            Features(found.taps.to(device).float(), found.cls.to(device).float())
        )

    def correct(
        self, estimates: Sequence[Estimate], prediction: Prediction, crops: Sequence[Crop]
    ) -> list[Estimate]:
        self.alive = list(crops)
        return self._stages.correct(estimates, prediction, crops)

    def certify(
        self, estimates: Sequence[Estimate], frame: Frame, detections: Sequence[Detection]
    ) -> list[Certificate | None]:
        self.estimates, self.detections = list(estimates), list(detections)
        self.certificates = self._stages.certify(estimates, frame, detections)
        return self.certificates

    def stages(self, *, meshes: bool) -> Stages:
        """The same, watched; without meshes, which cost more than all else, every object ends without one."""
        watched = replace(self._stages, predict=self.predict, correct=self.correct, certify=self.certify)
        return watched if meshes else without_meshes(watched)


def look(
    frame: Frame,
    detections: Masks,
    stages: Stages,
    *,
    network: CrispNetwork,
    features: Features16,
    target: Target = object_points,
    meshes: bool = False,
) -> list[SeenObject]:
    """Estimate a frame's objects and keep the lessons of those that are certified; one answer per mask.

    Args:
        stages: of the pipeline; `predict` is replaced by the network's heads on the kept features.
        target: what coordinates a certified estimate teaches.
        meshes: make them; without, results have the status "no_surface".
    """
    watch = Watch(stages, network, features)
    results = estimate(frame, detections, watch.stages(meshes=meshes))
    # Records pass through the stages untouched, so that identity tells which is which.
    numbers = {id(item): number for number, item in enumerate(detections)}
    rows = {id(crop): row for row, crop in enumerate(watch.crops)}
    seen = [SeenObject(number, result) for number, result in enumerate(results)]
    ends = zip(watch.detections, watch.alive, watch.estimates, watch.certificates, strict=True)
    for detection, crop, found, certificate in ends:
        label = None
        if certificate is not None and certificate.certified:
            label = _label(features, rows[id(crop)], crop, found, target(found, crop))
        number = numbers[id(detection)]
        seen[number] = SeenObject(number, results[number], found, certificate, label)
    return seen


def _label(features: Features16, row: int, crop: Crop, found: Estimate, pnc: Tensor) -> PseudoLabel:
    assert features.kept is not None
    # Copies: a view would keep the features of the whole frame in memory for as long as one label waits.
    return PseudoLabel(
        taps=features.kept.taps[row].clone(),
        cls=features.kept.cls[row].clone(),
        pnc=pnc,
        valid=crop.valid,
        shape_code=found.shape_code.detach().cpu().clone(),
    )
