"""The standard stages of the pipeline: crop, network, registration, corrector, certificate, mesh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from crisp.certify.certificate import CertificateConfig, Sight, Uniqueness, certify, observe_pixels
from crisp.certify.degeneracy import degeneracy
from crisp.crop import CropConfig, crop
from crisp.errors import InputError, ObjectFailure
from crisp.geometry.align import RegistrationConfig, register
from crisp.networks.model import CrispNetwork
from crisp.objects import Objects
from crisp.pipeline import Stages
from crisp.refine.active_shape import ActiveShapes, shape_gram
from crisp.refine.corrector import Correction, Corrector
from crisp.refine.free_space import DepthMap, SceneEvidence
from crisp.refine.problem import Observation, PooledPoints, ShapeBasis, State, fewer_points, with_pool
from crisp.shape.library import ShapeLibrary, name_all
from crisp.shape.mesh import MeshConfig, extract_meshes
from crisp.shape.sdf import SignedDistance
from crisp.types import CorrectionSummary, Crop, Detection, Estimate, Frame

PoolOf = Callable[[Objects, ShapeBasis], PooledPoints | None]
"""What other frames saw of the objects of this one: a row for each one alive, None where there is nothing."""


@dataclass(frozen=True)
class StageSettings:
    """What the standard stages are told.

    Args:
        crop: sizes of the crops.
        registration: of predicted coordinates with measured points.
        corrector: None leaves estimates as the registration found them.
        correction_points: at most this many points per object, evenly spaced over its crop, are corrected on.
        certificate: None gives no verdicts.
        meshing: of the final shape.
    """

    crop: CropConfig = field(default_factory=CropConfig)
    registration: RegistrationConfig = field(default_factory=RegistrationConfig)
    corrector: Corrector | None = None
    correction_points: int = 1000
    certificate: CertificateConfig | None = None
    meshing: MeshConfig = field(default_factory=MeshConfig)


def standard_stages(
    network: CrispNetwork,
    shapes: ActiveShapes | None,
    settings: StageSettings,
    *,
    library: ShapeLibrary | None = None,
) -> Stages:
    """The stages of a network.

    Args:
        shapes: the known shapes, for the corrector; None only where none is asked for.
        library: the known objects' names; without it, objects are not named.
    """
    decoder = network.decoder
    return Stages(
        cut=lambda objects: cut_all(objects, settings.crop),
        predict=lambda objects: predict(objects, network),
        register=lambda objects: register_all(objects, settings.registration),
        correct=lambda objects: correct_all(objects, decoder, shapes=shapes, settings=settings),
        certify=lambda objects: certify_all(objects, decoder, settings.certificate),
        reconstruct=lambda objects: reconstruct(objects, decoder, settings.meshing),
        name=lambda objects: objects.with_names(name_all(objects.estimates, library, objects.certificates)),
    )


def detections_of(
    masks: Sequence[np.ndarray | Detection | ObjectFailure],
) -> list[Detection | ObjectFailure]:
    """Masks as users hand them in: an array of numbers is on where it is above 0.

    Raises:
        InputError: an array that is not (H, W).
    """
    return [Detection(_boolean(mask)) if isinstance(mask, np.ndarray) else mask for mask in masks]


def _boolean(mask: np.ndarray) -> np.ndarray:
    if mask.ndim != 2:
        raise InputError(f"a mask must be an (H, W) array, got shape {mask.shape}.")
    return mask if mask.dtype == np.bool_ else mask > 0


def without_meshes(stages: Stages) -> Stages:
    """The same but for meshes, which cost more than all else: every object ends with "no_surface"."""
    none = ObjectFailure("no_surface", "no mesh was asked for.")
    return replace(stages, reconstruct=lambda objects: objects.with_meshes([none] * len(objects.alive)))


def cut_all(objects: Objects, config: CropConfig) -> Objects:
    """A crop for each object, or why there is none."""
    frame = objects.frame
    crops: list[Crop | ObjectFailure] = []
    for detection in objects.detections:
        try:
            crops.append(crop(frame, detection, config, points_camera=frame.points_camera))
        except ObjectFailure as failure:
            crops.append(failure)
    return objects.with_crops(crops)


@torch.inference_mode()
def predict(objects: Objects, network: CrispNetwork) -> Objects:
    """The network on all crops of a frame in one batch."""
    device = next(network.shape_head.parameters()).device
    return objects.with_prediction(network(torch.stack([crop.image for crop in objects.crops]).to(device)))


def register_all(objects: Objects, config: RegistrationConfig) -> Objects:
    """Poses of all objects in one batch of hypotheses (method, section 3)."""
    prediction = objects.predicted
    points, valid = _measured(objects.crops, prediction.pnc.device)
    found = register(prediction.pnc.flatten(1, 2), points, valid, config=config)
    estimates: list[Estimate | ObjectFailure] = []
    for i in range(len(points)):
        if not found.ok[i]:
            sentence = "no rigid motion takes the predicted coordinates to the measured points."
            estimates.append(ObjectFailure("registration_failed", sentence))
            continue
        T = found.T_camera_object[i].double()
        estimates.append(Estimate(T, prediction.shape_code[i], float(found.inlier_share[i])))
    return objects.with_estimates(estimates)


@dataclass(frozen=True, eq=False)
class Aligned:
    """Predicted coordinates and measured points of the objects alive, row by row.

    Args:
        pnc: (B, N, 3) metres, as the network said.
        observation: the measured points of the same pixels.
        network_code: (B, C) f_e(I).
    """

    pnc: Tensor
    observation: Observation
    network_code: Tensor

    @classmethod
    def of(cls, objects: Objects) -> Aligned:
        prediction = objects.predicted
        # What was predicted in inference mode cannot take part in a gradient; a copy can.
        pnc, code = prediction.pnc.flatten(1, 2).clone(), prediction.shape_code.clone()
        return cls(pnc, Observation(*_measured(objects.crops, pnc.device)), code)

    def thinned(self, count: int) -> Aligned:
        """At most `count` points per object, evenly spaced among the valid ones."""
        few, pnc = fewer_points(self.observation, self.pnc, count)
        return Aligned(pnc, few, self.network_code)


def _measured(crops: Sequence[Crop], device: torch.device) -> tuple[Tensor, Tensor]:
    points = torch.stack([crop.points_camera for crop in crops]).flatten(1, 2).to(device)
    return points, torch.stack([crop.valid for crop in crops]).flatten(1, 2).to(device)


def _depth_of(frame: Frame) -> DepthMap:
    return DepthMap(torch.from_numpy(frame.depth_m), frame.camera)


def _scene(objects: Objects, shapes: ActiveShapes) -> SceneEvidence:
    masks = torch.stack([torch.from_numpy(detection.mask) for detection in objects.detections])
    return SceneEvidence(_depth_of(objects.frame), masks, shapes.surfaces)


def correct_all(
    objects: Objects,
    decoder: SignedDistance,
    *,
    shapes: ActiveShapes | None,
    settings: StageSettings,
    pool_of: PoolOf = lambda objects, basis: None,
) -> Objects:
    """All objects of a frame corrected in one batch (method, section 4); as they are without a corrector.

    Args:
        pool_of: points of the same objects from other frames, asked for once the basis is known (Remark 3).
    """
    if settings.corrector is None or shapes is None or not objects.alive:
        return objects
    aligned = Aligned.of(objects).thinned(settings.correction_points)
    T = torch.stack([item.T_camera_object for item in objects.estimates])
    start = State(aligned.pnc, T, aligned.network_code)
    basis = shapes.basis(decoder, aligned.network_code)
    pool = pool_of(objects, basis)
    found = settings.corrector(
        decoder, aligned.observation, start, basis=basis, pool=pool, scene=_scene(objects, shapes)
    )
    points, valid = with_pool(found.state.pnc, aligned.observation.valid, pool)
    unique = _uniqueness(decoder, found, (points, valid), basis=basis)
    return objects.with_estimates(
        [
            replace(
                item,
                T_camera_object=found.state.T_camera_object[i].double(),
                shape_code=found.state.shape_code[i],
                correction=_summary(found, i, start=item, unique=unique),
            )
            for i, item in enumerate(objects.estimates)
        ]
    )


def _uniqueness(
    decoder: SignedDistance, found: Correction, points: tuple[Tensor, Tensor], *, basis: ShapeBasis
) -> Uniqueness:
    """The degeneracy figures at the points that the corrector ended with, all frames' (section 5)."""
    gram = found.gram
    if gram is None:
        gram = shape_gram(decoder, *points, basis=basis)
    figures = degeneracy(gram)
    return Uniqueness(figures.lambda_min, figures.mu)


def _summary(found: Correction, i: int, *, start: Estimate, unique: Uniqueness) -> CorrectionSummary:
    return CorrectionSummary(
        status=found.status[i],
        reason=found.reasons[i],
        rounds=int(found.rounds[i]),
        rms_start_m=float(found.objective_start[i].sqrt()),
        rms_m=float(found.objective[i].sqrt()),
        T_camera_object_start=start.T_camera_object.cpu().numpy(),
        shape_code_start=start.shape_code.cpu().numpy(),
        lambda_min=float(unique.lambda_min[i]),
        mu=float(unique.mu[i]),
    )


def certify_all(objects: Objects, decoder: SignedDistance, config: CertificateConfig | None) -> Objects:
    """A verdict on each estimate, from all measured pixels of its mask (method, section 6)."""
    if config is None or not objects.alive:
        return objects
    estimates = objects.estimates
    device = estimates[0].shape_code.device
    pixels = observe_pixels(objects.frame, [detection.mask for detection in objects.detections])
    pixels = Observation(pixels.points_camera.to(device), pixels.valid.to(device))
    sight = Sight(pixels, _depth_of(objects.frame))
    known = [item.correction for item in estimates if item.correction is not None]
    unique = None
    if len(known) == len(estimates):
        lambda_min, mu = (torch.tensor([getattr(c, name) for c in known]) for name in ("lambda_min", "mu"))
        unique = Uniqueness(lambda_min, mu)
    return objects.with_certificates(certify(decoder, estimates, sight, config=config, uniqueness=unique))


@torch.inference_mode()
def reconstruct(objects: Objects, decoder: SignedDistance, config: MeshConfig) -> Objects:
    """Meshes of all objects; no zero crossing is a failure, never a made-up surface."""
    if not objects.alive:
        return objects
    codes = torch.stack([item.shape_code for item in objects.estimates])
    return objects.with_meshes(extract_meshes(decoder, codes, config))
