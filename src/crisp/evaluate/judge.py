"""Estimates of a labelled split with their certificates, held against the truth: who was right to be sure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from crisp.data.dataset import Dataset, FrameKey, Instance
from crisp.evaluate.true_model import TrueModel, TrueModels
from crisp.model import Model
from crisp.progress import track
from crisp.shape.mesh import MeshConfig
from crisp.types import Certificate, Mesh, Result

ADD_S_SHARE = 0.1
CHAMFER_SHARE = 0.05
MESHING = MeshConfig(resolution=80)  # enough to tell whether a shape is within 5 % of its diameter


@dataclass(frozen=True)
class Judged:
    """One labelled object: what the certificate said, and what was true.

    Args:
        certificate: None where there is no estimate.
        diameter_m: of the true model.
        add_s_m, chamfer_m: errors of pose and of shape (object frame); infinite where there is no estimate.
        camera_chamfer_m: two-sided chamfer of the posed shapes, for objects without a common frame.
    """

    frame_id: str
    name: str
    kind: str
    visib_fract: float
    certificate: Certificate | None
    diameter_m: float
    add_s_m: float
    chamfer_m: float
    camera_chamfer_m: float

    @property
    def right(self) -> bool:
        """ADD-S below 10 % and chamfer below 5 % of the diameter."""
        return within_claim(self.add_s_m, self.chamfer_m, diameter_m=self.diameter_m)

    @property
    def right_in_camera(self) -> bool:
        """Camera-frame chamfer below 5 % of the diameter: for objects that the model has never seen."""
        return self.camera_chamfer_m < CHAMFER_SHARE * self.diameter_m


def within_claim(add_s_m: float, chamfer_m: float, *, diameter_m: float) -> bool:
    """What 'certified' promises: pose and shape within shares of the object's diameter."""
    return add_s_m < ADD_S_SHARE * diameter_m and chamfer_m < CHAMFER_SHARE * diameter_m


def judge(
    model: Model,
    dataset: Dataset,
    *,
    min_visib_fract: float = 0.1,
    progress: bool = False,
) -> list[Judged]:
    """Estimate every labelled object of a split from its visible mask, and compare with its label.

    Args:
        min_visib_fract: leave out objects of which less can be seen.
        progress: show a bar.
    """
    truths = TrueModels(dataset)
    model = replace(model, meshing=MESHING)
    keys = dataset.keys
    shown = track(keys, "judging", total=len(keys)) if progress else keys
    return [row for key in shown for row in _frame(model, dataset, key, min_visib_fract, truths=truths)]


def _frame(
    model: Model,
    dataset: Dataset,
    key: FrameKey,
    min_visib_fract: float,
    *,
    truths: TrueModels,
) -> Iterator[Judged]:
    frame = dataset.load_frame(key)
    instances = [i for i in dataset.instances(key) if not i.visib_fract < min_visib_fract]
    results = model.estimate(frame, [dataset.mask(key, instance.index) for instance in instances])
    for instance, result in zip(instances, results, strict=True):
        yield _judged(key.frame_id, instance, truths.of(instance), result=result)


def _judged(frame_id: str, instance: Instance, truth: TrueModel, *, result: Result) -> Judged:
    T = result.T_camera_object if result.status == "ok" else None
    mesh = result.mesh if result.status == "ok" else None
    return Judged(
        frame_id=frame_id,
        name=truth.model.name,
        kind=truth.model.kind,
        visib_fract=instance.visib_fract,
        certificate=result.certificate if result.status == "ok" else None,
        diameter_m=truth.model.diameter_m,
        add_s_m=truth.pose_error(T, instance.T_camera_object).add_s_m,
        chamfer_m=truth.shape_error(mesh).chamfer_m,
        camera_chamfer_m=truth.shape_error(_in_true_frame(mesh, T, instance)).chamfer_m,
    )


def _in_true_frame(mesh: Mesh | None, T: np.ndarray | None, instance: Instance) -> Mesh | None:
    """The posed estimate in the frame of the truth: distances are those in the camera's frame."""
    if mesh is None or T is None:
        return None
    motion = np.linalg.inv(instance.T_camera_object) @ T
    return Mesh(mesh.vertices @ motion[:3, :3].T + motion[:3, 3], mesh.faces)
