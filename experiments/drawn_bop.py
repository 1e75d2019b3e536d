"""BOP sets drawn with a z-buffer, for what scores poses and shapes and never looks at a photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from crisp.data.bop.reader import BopDataset
from crisp.data.bop.writer import BopFrame, BopInstance, BopWriter
from crisp.geometry.camera import Camera
from crisp.shape.raster import Posed, bare, rasterise
from crisp.types import ObjectModel

CAMERA = Camera(np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]]), 640, 480)
PER_FRAME = 7
BACKGROUND_M = 1.2


@dataclass(frozen=True, eq=False)
class View:
    """A camera, and how far away what is behind the objects is: 0 where there is nothing."""

    camera: Camera
    background_m: float


def draw_bop(root: Path, models: Sequence[ObjectModel], frames: int, *, seed: int = 0) -> BopDataset:
    """One scene of grey pictures: in each, PER_FRAME models side by side in random poses, with depth."""
    rng = np.random.default_rng(seed)
    writer = BopWriter(root, "test")
    writer.write_models(models)
    chosen = [rng.choice(len(models), PER_FRAME, replace=False) for _ in range(frames)]
    poses = [[grid_pose(rng, place) for place in range(PER_FRAME)] for _ in range(frames)]
    view = View(CAMERA, BACKGROUND_M)
    shown = [{int(i) + 1: models[i] for i in chosen[k]} for k in range(frames)]
    writer.write_scene(1, (drawn_frame(k, shown[k], poses[k], view=view) for k in range(frames)))
    return BopDataset(root, "test")


def grid_pose(rng: np.random.Generator, place: int) -> np.ndarray:
    """Four above three, far enough apart not to hide each other much."""
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    T[:3, 3] = 0.18 * (place % 4) - 0.27, 0.2 * (place // 4) - 0.1, rng.uniform(0.7, 0.9)
    return T


def drawn_frame(
    im_id: int, models: Mapping[int, ObjectModel], poses: Sequence[np.ndarray], *, view: View
) -> BopFrame:
    """A grey picture of numbered models in their poses, one each, with masks and depth."""
    posed = [Posed(bare(model.mesh), T) for model, T in zip(models.values(), poses, strict=True)]
    seen = rasterise(posed, view.camera)
    depth = np.where(np.isfinite(seen.depth_m), seen.depth_m, view.background_m).astype(np.float32)
    instances = [
        BopInstance(number, T, rasterise([posed[k]], view.camera).owner == 0, seen.owner == k)
        for k, (number, T) in enumerate(zip(models, poses, strict=True))
    ]
    rgb = np.full((*depth.shape, 3), 90, dtype=np.uint8)
    return BopFrame(im_id, rgb, depth, view.camera, tuple(instances))
