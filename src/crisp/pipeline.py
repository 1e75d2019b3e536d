"""The method's figure: from one frame and its detections to a result for each of them, in order.

A variation (another registration, a corrector, a certificate) is another stage handed in, never a mode.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from crisp.crop import CropConfig, crop
from crisp.errors import ObjectFailure
from crisp.geometry.align import RegistrationConfig, register
from crisp.geometry.points import diameter
from crisp.networks.model import CrispNetwork
from crisp.shape.field import SignedDistance
from crisp.shape.mesh import MeshConfig, extract_meshes
from crisp.types import Crop, Detection, Estimate, Frame, Mesh, Prediction, Result


@dataclass(frozen=True)
class Stages:
    """The parts that `estimate` is made of; each takes all objects of a frame at once."""

    cut: Callable[[Frame, Sequence[Detection | ObjectFailure]], list[Crop | ObjectFailure]]
    predict: Callable[[Sequence[Crop]], Prediction]
    register: Callable[[Prediction, Sequence[Crop]], list[Estimate | ObjectFailure]]
    reconstruct: Callable[[Sequence[Estimate]], list[Mesh | ObjectFailure]]


def estimate(frame: Frame, detections: Sequence[Detection | ObjectFailure], stages: Stages) -> list[Result]:
    """One result per detection, in order, never fewer; a failed object does not touch its siblings.

    A detection may have failed before it came here, because its mask could not be read.
    """
    clock = Clock()
    board = _Board(len(detections))
    with clock.time("crop"):
        crops = board.keep(stages.cut(frame, detections))
    if crops:
        with clock.time("network"):
            prediction = stages.predict(crops)
        board.seen(crops, prediction)
        with clock.time("register"):
            estimates = board.keep(stages.register(prediction, crops))
        board.posed(estimates)
        with clock.time("mesh"):
            meshes = board.keep(stages.reconstruct(estimates))
        board.shaped(meshes)
    return board.results(clock.ms_per_object(len(crops)))


class _Board:
    """Results under way. `keep` takes a stage's outputs for the objects still alive and drops the failed."""

    def __init__(self, objects: int) -> None:
        self._alive = list(range(objects))
        self._results = [Result(status="ok") for _ in range(objects)]

    def keep(self, outputs: Sequence[object]) -> list:
        kept = []
        alive = []
        for slot, output in zip(self._alive, outputs, strict=True):
            if isinstance(output, ObjectFailure):
                self._set(slot, status=output.status, message=output.message)
            else:
                kept.append(output)
                alive.append(slot)
        self._alive = alive
        return kept

    def seen(self, crops: Sequence[Crop], prediction: Prediction) -> None:
        for slot, seen, pnc in zip(self._alive, crops, prediction.pnc, strict=True):
            self._set(slot, box_px=seen.box_px, pnc=pnc.cpu().numpy(), valid=seen.valid.numpy())

    def posed(self, estimates: Sequence[Estimate]) -> None:
        for slot, found in zip(self._alive, estimates, strict=True):
            self._set(
                slot,
                T_camera_object=found.T_camera_object.cpu().numpy(),
                shape_code=found.shape_code.cpu().numpy(),
                inlier_share=found.inlier_share,
            )

    def shaped(self, meshes: Sequence[Mesh]) -> None:
        for slot, mesh in zip(self._alive, meshes, strict=True):
            self._set(slot, mesh=mesh, diameter_m=diameter(mesh.vertices))

    def results(self, timing_ms: dict[str, float]) -> list[Result]:
        return [replace(result, timing_ms=timing_ms) for result in self._results]

    def _set(self, slot: int, **values: object) -> None:
        self._results[slot] = replace(self._results[slot], **values)  # type: ignore[arg-type]


@dataclass
class Clock:
    """Wall time by stage. A GPU's queue is emptied before each reading."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        start = self._now()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self._now() - start

    def ms_per_object(self, objects: int) -> dict[str, float]:
        return {stage: round(1000 * s / max(objects, 1), 3) for stage, s in self.seconds.items()}

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


def standard_stages(
    network: CrispNetwork, *, crop_config: CropConfig, registration: RegistrationConfig, meshing: MeshConfig
) -> Stages:
    """Crop, network, robust registration, coarse-to-fine meshing."""
    return Stages(
        cut=lambda frame, detections: cut_all(frame, detections, crop_config),
        predict=lambda crops: predict(network, crops),
        register=lambda prediction, crops: register_all(prediction, crops, registration),
        reconstruct=lambda estimates: reconstruct(network.decoder, estimates, meshing),
    )


def cut_all(
    frame: Frame, detections: Sequence[Detection | ObjectFailure], config: CropConfig
) -> list[Crop | ObjectFailure]:
    """A crop for each detection, or why there is none."""
    points_camera = frame.camera.backproject(frame.depth_m)
    crops: list[Crop | ObjectFailure] = []
    for detection in detections:
        if isinstance(detection, ObjectFailure):
            crops.append(detection)
            continue
        try:
            crops.append(crop(frame, detection, config, points_camera=points_camera))
        except ObjectFailure as failure:
            crops.append(failure)
    return crops


@torch.inference_mode()
def predict(network: CrispNetwork, crops: Sequence[Crop]) -> Prediction:
    """The network on all crops of a frame in one batch."""
    device = next(network.shape_head.parameters()).device
    return network(torch.stack([crop.image for crop in crops]).to(device))


def register_all(
    prediction: Prediction, crops: Sequence[Crop], config: RegistrationConfig
) -> list[Estimate | ObjectFailure]:
    """Poses of all objects in one batch of hypotheses (method, section 3)."""
    device = prediction.pnc.device
    points = torch.stack([crop.points_camera for crop in crops]).flatten(1, 2).to(device)
    valid = torch.stack([crop.valid for crop in crops]).flatten(1, 2).to(device)
    found = register(prediction.pnc.flatten(1, 2), points, valid, config)
    estimates: list[Estimate | ObjectFailure] = []
    for i in range(len(crops)):
        if not found.ok[i]:
            sentence = "no rigid motion takes the predicted coordinates to the measured points."
            estimates.append(ObjectFailure("registration_failed", sentence))
            continue
        T = found.T_camera_object[i].double()
        estimates.append(Estimate(T, prediction.shape_code[i], float(found.inlier_share[i])))
    return estimates


@torch.inference_mode()
def reconstruct(
    decoder: SignedDistance, estimates: Sequence[Estimate], config: MeshConfig
) -> list[Mesh | ObjectFailure]:
    """Meshes of all objects; no zero crossing is a failure, never a made-up surface."""
    if not estimates:
        return []
    return extract_meshes(decoder, torch.stack([e.shape_code for e in estimates]), config)
