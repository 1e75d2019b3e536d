"""Stages of the pipeline that pass an object's number on, and fail where they are told to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from crisp.errors import ObjectFailure, Status
from crisp.geometry.camera import Camera
from crisp.objects import Objects
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
    """Stages that pass an object's number on, and fail where they are told to. `met` has the slots that each
    stage was given."""

    def __init__(self, **failing: set[int]) -> None:
        self.failing = failing
        self.met: dict[str, list[int]] = {}

    def _meets(self, stage: str, objects: Objects, status: Status, outputs: list[Any]) -> list[Any]:
        self.met[stage] = objects.slots
        failing = self.failing.get(stage, set())
        return [
            ObjectFailure(status, f"{stage} failed for {n}.") if n in failing else output
            for n, output in zip(objects.slots, outputs, strict=True)
        ]

    def cut(self, objects: Objects) -> Objects:
        numbers = [int(np.flatnonzero(d.mask[0])[0]) for d in objects.detections]
        grid = torch.ones(G, G, dtype=torch.bool)
        crops = [
            Crop(torch.zeros(3, 14, 14), torch.full((G, G, 3), float(n)), grid, (n, 0, n + 1, 1))
            for n in numbers
        ]
        return objects.with_crops(self._meets("cut", objects, "mask_empty", crops))

    def predict(self, objects: Objects) -> Objects:
        self.met["predict"] = objects.slots
        pnc = torch.stack([crop.points_camera for crop in objects.crops])
        return objects.with_prediction(Prediction(pnc, pnc[:, 0, 0, :1]))

    def register(self, objects: Objects) -> Objects:
        estimates = []
        for code in objects.predicted.shape_code:
            T = torch.eye(4, dtype=torch.float64)
            T[2, 3] = float(code)
            estimates.append(Estimate(T, code, 0.5))
        return objects.with_estimates(self._meets("register", objects, "registration_failed", estimates))

    def correct(self, objects: Objects) -> Objects:
        """Moves every object by its number along x; all that the batch holds must be of the same objects."""
        numbers = [int(e.shape_code[0]) for e in objects.estimates]
        assert numbers == [int(p[0, 0, 0]) for p in objects.predicted.pnc]
        assert numbers == [int(crop.points_camera[0, 0, 0]) for crop in objects.crops]
        self.met["correct"] = objects.slots
        moved = []
        for item, n in zip(objects.estimates, numbers, strict=True):
            T = item.T_camera_object.clone()
            T[0, 3] = n
            summary = CorrectionSummary(
                "converged", "done.", 1, 0.02, 0.001, T.numpy(), item.shape_code.numpy(), 0.1, float("inf")
            )
            moved.append(replace(item, T_camera_object=T, correction=summary))
        return objects.with_estimates(moved)

    def certify(self, objects: Objects) -> Objects:
        """Trusts objects with even numbers."""
        numbers = [int(np.flatnonzero(d.mask[0])[0]) for d in objects.detections]
        assert numbers == [int(e.T_camera_object[0, 3]) for e in objects.estimates]
        return objects.with_certificates(
            [
                Certificate(
                    n % 2 == 0, 0.001, 0.01, 0.98, 10, 1.0, reasons=() if n % 2 == 0 else ("it is odd.",)
                )
                for n in numbers
            ]
        )

    def reconstruct(self, objects: Objects) -> Objects:
        meshes = self._meets("reconstruct", objects, "no_surface", [TRIANGLE] * len(objects.alive))
        return objects.with_meshes(meshes)

    def name(self, objects: Objects) -> Objects:
        return objects.with_names([f"object {int(e.shape_code[0])}" for e in objects.estimates])

    @property
    def stages(self) -> Stages:
        return Stages(
            self.cut,
            self.predict,
            self.register,
            self.correct,
            self.certify,
            self.reconstruct,
            self.name,
        )
