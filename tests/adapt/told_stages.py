"""Stages that certify and measure as they are told: what an adapter does is then known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from crisp.crop import CropConfig
from crisp.geometry.camera import Camera
from crisp.model import Model
from crisp.objects import Objects
from crisp.pipeline import Stages
from crisp.stages import cut_all, predict
from crisp.types import Certificate, CorrectionSummary, Estimate, Frame, Mesh

CAMERA = Camera(np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]]), width=64, height=48)
TRIANGLE = Mesh(np.array([[0.0, 0, 0], [0.1, 0, 0], [0, 0.2, 0]]), np.array([[0, 1, 2]]))


def frame(number: int, *, black: bool = False) -> Frame:
    rng = np.random.default_rng(number)
    rgb = rng.integers(1, 255, (48, 64, 3), dtype=np.uint8)
    if black:
        rgb[:] = 0
    depth = (0.5 + 0.05 * rng.random((48, 64))).astype(np.float32)
    return Frame(rgb, depth, CAMERA, f"000001/{number:06d}")


def masks(count: int = 2) -> list[np.ndarray]:
    """Squares beside each other."""
    found = []
    for i in range(count):
        mask = np.zeros((48, 64), dtype=bool)
        mask[10:34, 4 + 28 * i : 28 + 28 * i] = True
        found.append(mask)
    return found


@dataclass
class Told:
    """Stages whose corrector says that every code is `code`, and whose residual is what it is told to be.

    Args:
        code: that every object ends with.
        residual_m: from the mean distance of the predicted code to that one.
        certified: whether a frame's objects are.
    """

    code: torch.Tensor
    residual_m: Callable[[float], float] = lambda distance: 0.01 * distance
    certified: Callable[[Frame], bool] = lambda frame: bool(frame.rgb.any())
    looks: list[str] = field(default_factory=list)

    def stages(self, model: Model) -> Stages:
        config = CropConfig(image_px=model.network.config.image_px, pnc_px=model.network.config.pnc_px)
        return Stages(
            cut=lambda objects: cut_all(objects, config),
            predict=lambda objects: predict(objects, model.network),
            register=self.register,
            correct=self.correct,
            certify=self.certify,
            reconstruct=lambda objects: objects.with_meshes([TRIANGLE] * len(objects.alive)),
        )

    def register(self, objects: Objects) -> Objects:
        pose = torch.eye(4, dtype=torch.float64)
        pose[2, 3] = 0.5
        codes = objects.predicted.shape_code
        return objects.with_estimates([Estimate(pose.clone(), code, 0.9) for code in codes])

    def correct(self, objects: Objects) -> Objects:
        moved = []
        for item in objects.estimates:
            residual = self.residual_m(float((item.shape_code - self.code).abs().mean()))
            pose = item.T_camera_object.numpy()
            summary = CorrectionSummary(
                "converged", "done.", 1, residual, 0.001, pose, item.shape_code.numpy(), 0.1, 1.0
            )
            moved.append(replace(item, shape_code=self.code.clone(), correction=summary))
        return objects.with_estimates(moved)

    def certify(self, objects: Objects) -> Objects:
        self.looks.append(objects.frame.frame_id)
        yes = self.certified(objects.frame)
        reasons = () if yes else ("it is black.",)
        verdict = Certificate(yes, 0.001, 0.01, 0.98, 99, 1.0, reasons=reasons)
        return objects.with_certificates([verdict] * len(objects.alive))
