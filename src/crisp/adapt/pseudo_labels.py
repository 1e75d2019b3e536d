"""What a model finds in one frame, and a pseudo-label of each object that is certified."""

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
from crisp.objects import FrameObject, Objects
from crisp.pipeline import Stages, process
from crisp.stages import without_meshes
from crisp.types import Crop, Detection, Frame, Result

Masks = Sequence[Detection | ObjectFailure]
Target = Callable[[FrameObject], Tensor]
"""From a certified object to Z^ (G, G, 3)."""


@dataclass(frozen=True, eq=False)
class LabelledObject:
    """One object of a frame that has been estimated.

    Args:
        found: what the pipeline ended with.
        result: the same for users.
        label: to learn from, where it is certified; else None.
    """

    found: FrameObject
    result: Result
    label: PseudoLabel | None = None

    @property
    def own_residual_m(self) -> float:
        """Root mean square distance to the surface of what heads and registration said, before correction;
        infinite where they came to nothing: a measure of the heads that needs no label."""
        estimate = self.found.estimate
        if estimate is None or estimate.correction is None:
            return float("inf")
        return estimate.correction.rms_start_m


def object_points(found: FrameObject) -> Float[Tensor, "g g 3"]:
    """Z^ = T_object_camera X of the crop's measured points (method, section 7); zeros where none was."""
    assert found.estimate is not None and found.crop is not None
    crop, T = found.crop, pose.inverse(found.estimate.T_camera_object.double().cpu())
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


def look(
    frame: Frame,
    detections: Masks,
    stages: Stages,
    *,
    network: CrispNetwork,
    features: Features16,
    target: Target = object_points,
    meshes: bool = False,
) -> list[LabelledObject]:
    """Estimate a frame's objects and label those that are certified; one answer per mask.

    Args:
        stages: of the pipeline; `predict` is replaced by the network's heads on the kept features.
        target: what coordinates a certified object teaches.
        meshes: make them; without, which saves more time than all else takes, every result has the status
            "no_surface".
    """
    stages = replace(stages, predict=lambda objects: predict_kept(objects, network, features))
    objects = process(frame, detections, stages if meshes else without_meshes(stages))
    labels = [_label(found, target(found)) if found.certified else None for found in objects.all]
    return [LabelledObject(*row) for row in zip(objects.all, objects.results(), labels, strict=True)]


@torch.inference_mode()
def predict_kept(objects: Objects, network: CrispNetwork, features: Features16) -> Objects:
    """The stage `predict`: the network's heads on features that are kept with the objects."""
    kept = features.of(objects.crops)
    device = next(network.shape_head.parameters()).device
    prediction = network.predict_from_features(
        Features(kept.taps.to(device).float(), kept.cls.to(device).float())
    )
    return objects.with_prediction(prediction, kept)


def _label(found: FrameObject, pnc: Float[Tensor, "g g 3"]) -> PseudoLabel:
    assert found.features is not None and found.crop is not None and found.estimate is not None
    # Copies: a view would keep the features of the whole frame in memory for as long as one label waits.
    return PseudoLabel(
        taps=found.features.taps[0].clone(),
        cls=found.features.cls[0].clone(),
        pnc=pnc,
        valid=found.crop.valid,
        shape_code=found.estimate.shape_code.detach().cpu().clone(),
    )
