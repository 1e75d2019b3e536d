"""Stages that certify and measure as they are told: what an adapter does is then known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from crisp.crop import CropConfig
from crisp.errors import ObjectFailure
from crisp.geometry.camera import Camera
from crisp.model import Model
from crisp.pipeline import Stages
from crisp.stages import cut_all
from crisp.types import Certificate, CorrectionSummary, Crop, Detection, Estimate, Frame, Mesh, Prediction

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
            cut=lambda frame, detections: cut_all(frame, detections, config),
            predict=lambda crops: model.network(torch.stack([crop.image for crop in crops])),
            register=self.register,
            correct=self.correct,
            certify=self.certify,
            reconstruct=lambda estimates: [TRIANGLE] * len(estimates),
        )

    def register(self, prediction: Prediction, crops: Sequence[Crop]) -> list[Estimate | ObjectFailure]:
        pose = torch.eye(4, dtype=torch.float64)
        pose[2, 3] = 0.5
        return [Estimate(pose.clone(), code, 0.9) for code in prediction.shape_code]

    def correct(
        self, estimates: Sequence[Estimate], prediction: Prediction, crops: Sequence[Crop]
    ) -> list[Estimate]:
        moved = []
        for item in estimates:
            residual = self.residual_m(float((item.shape_code - self.code).abs().mean()))
            pose = item.T_camera_object.numpy()
            said = CorrectionSummary(
                "converged", "done.", 1, residual, 0.001, pose, item.shape_code.numpy(), 0.1, 1.0
            )
            moved.append(replace(item, shape_code=self.code.clone(), correction=said))
        return moved

    def certify(
        self, estimates: Sequence[Estimate], frame: Frame, detections: Sequence[Detection]
    ) -> list[Certificate | None]:
        self.looks.append(frame.frame_id)
        yes = self.certified(frame)
        reasons = () if yes else ("it is black.",)
        return [Certificate(yes, 0.001, 0.01, 0.98, 99, 1.0, reasons=reasons) for _ in estimates]
