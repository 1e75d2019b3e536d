"""Stages of the pipeline that pass an object's number on, and fail where they are told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from crisp.errors import ObjectFailure, Status
from crisp.geometry.camera import Camera
from crisp.pipeline import Stages
from crisp.types import Certificate, CorrectionSummary, Crop, Detection, Estimate, Frame, Mesh, Prediction

CAMERA = Camera(np.array([[120.0, 0, 48], [0, 120.0, 36], [0, 0, 1]]), 96, 72)
FRAME = Frame(np.zeros((72, 96, 3), np.uint8), np.full((72, 96), 0.6, np.float32), CAMERA, "000001/000003")
TRIANGLE = Mesh(np.array([[0.0, 0, 0], [0.1, 0, 0], [0, 0.2, 0]]), np.array([[0, 1, 2]]))
G = 4


def detections(count: int) -> list[Detection]:
    """Object i has its mark at column i, so that stages can tell them apart."""
    masks = np.zeros((count, 72, 96), bool)
    for i in range(count):
        masks[i, 0, i] = True
    return [Detection(mask) for mask in masks]


class FakeStages:
    """Stages that pass an object's number on, and fail where they are told to."""

    def __init__(self, **failing: set[int]) -> None:
        self.failing = failing
        self.met: dict[str, list[int]] = {}

    def _meets(self, stage: str, numbers: list[int], status: Status, outputs: list[Any]) -> list[Any]:
        self.met[stage] = numbers
        failing = self.failing.get(stage, set())
        return [
            ObjectFailure(status, f"{stage} failed for {n}.") if n in failing else output
            for n, output in zip(numbers, outputs, strict=True)
        ]

    def cut(self, frame: Frame, found: Sequence[Detection | ObjectFailure]) -> list[Crop | ObjectFailure]:
        numbers = [int(np.flatnonzero(d.mask[0])[0]) for d in found if isinstance(d, Detection)]
        grid = torch.ones(G, G, dtype=torch.bool)
        crops = [
            Crop(torch.zeros(3, 14, 14), torch.full((G, G, 3), float(n)), grid, (n, 0, n + 1, 1))
            for n in numbers
        ]
        return self._meets("cut", numbers, "mask_empty", crops)

    def predict(self, crops: Sequence[Crop]) -> Prediction:
        pnc = torch.stack([crop.points_camera for crop in crops])
        self.met["predict"] = [int(p[0, 0, 0]) for p in pnc]
        return Prediction(pnc, pnc[:, 0, 0, :1])

    def register(self, prediction: Prediction, crops: Sequence[Crop]) -> list[Estimate | ObjectFailure]:
        numbers = [int(code) for code in prediction.shape_code[:, 0]]
        poses = [torch.eye(4, dtype=torch.float64) for _ in numbers]
        for pose, n in zip(poses, numbers, strict=True):
            pose[2, 3] = n
        estimates = [Estimate(T, prediction.shape_code[i], 0.5) for i, T in enumerate(poses)]
        return self._meets("register", numbers, "registration_failed", estimates)

    def correct(
        self, estimates: Sequence[Estimate], prediction: Prediction, crops: Sequence[Crop]
    ) -> list[Estimate]:
        """Moves every object by its number along x; all three lists must speak of the same objects."""
        numbers = [int(e.shape_code[0]) for e in estimates]
        assert numbers == [int(p[0, 0, 0]) for p in prediction.pnc]
        assert numbers == [int(crop.points_camera[0, 0, 0]) for crop in crops]
        self.met["correct"] = numbers
        moved = []
        for item, n in zip(estimates, numbers, strict=True):
            T = item.T_camera_object.clone()
            T[0, 3] = n
            said = CorrectionSummary(
                "converged", "done.", 1, 0.02, 0.001, T.numpy(), item.shape_code.numpy(), 0.1, float("inf")
            )
            moved.append(replace(item, T_camera_object=T, correction=said))
        return moved

    def certify(
        self, estimates: Sequence[Estimate], frame: Frame, found: Sequence[Detection]
    ) -> list[Certificate | None]:
        """Trusts objects with even numbers."""
        numbers = [int(np.flatnonzero(d.mask[0])[0]) for d in found]
        assert numbers == [int(e.T_camera_object[0, 3]) for e in estimates]
        return [
            Certificate(n % 2 == 0, 0.001, 0.01, 0.98, 10, 1.0, reasons=() if n % 2 == 0 else ("it is odd.",))
            for n in numbers
        ]

    def reconstruct(self, estimates: Sequence[Estimate]) -> list[Mesh | ObjectFailure]:
        numbers = [int(e.shape_code[0]) for e in estimates]
        return self._meets("reconstruct", numbers, "no_surface", [TRIANGLE] * len(numbers))

    @property
    def stages(self) -> Stages:
        return Stages(
            self.cut,
            self.predict,
            self.register,
            self.correct,
            self.certify,
            self.reconstruct,
            name=lambda estimates, certificates: [f"object {int(e.shape_code[0])}" for e in estimates],
        )
