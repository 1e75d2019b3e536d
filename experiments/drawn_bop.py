"""BOP sets drawn with a z-buffer, for what scores poses and shapes and never looks at a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from crisp.data.bop import BopDataset
from crisp.data.bop_writer import BopFrame, BopInstance, BopWriter
from crisp.geometry.camera import Camera
from crisp.objects import ObjectModel
from crisp.render.raster import Posed, bare, rasterise

CAMERA = Camera(np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]]), 640, 480)
PER_FRAME = 7
BACKGROUND_M = 1.2


def draw_bop(root: Path, models: Sequence[ObjectModel], frames: int, *, seed: int = 0) -> BopDataset:
    """One scene of grey pictures: in each, PER_FRAME models side by side in random poses, with depth."""
    rng = np.random.default_rng(seed)
    writer = BopWriter(root, "test")
    writer.write_models(models)
    chosen = [rng.choice(len(models), PER_FRAME, replace=False) for _ in range(frames)]
    poses = [[_pose(rng, place) for place in range(PER_FRAME)] for _ in range(frames)]
    writer.write_scene(1, (_frame(k, models, chosen[k], poses=poses[k]) for k in range(frames)))
    return BopDataset(root, "test")


def _pose(rng: np.random.Generator, place: int) -> np.ndarray:
    """Four above three, far enough apart not to hide each other much."""
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    T[:3, 3] = 0.18 * (place % 4) - 0.27, 0.2 * (place // 4) - 0.1, rng.uniform(0.7, 0.9)
    return T


def _frame(
    im_id: int, models: Sequence[ObjectModel], chosen: np.ndarray, *, poses: Sequence[np.ndarray]
) -> BopFrame:
    posed = [Posed(bare(models[i].mesh), T) for i, T in zip(chosen, poses, strict=True)]
    seen = rasterise(posed, CAMERA)
    depth = np.where(np.isfinite(seen.depth_m), seen.depth_m, BACKGROUND_M).astype(np.float32)
    instances = [
        BopInstance(int(i) + 1, T, rasterise([posed[k]], CAMERA).owner == 0, seen.owner == k)
        for k, (i, T) in enumerate(zip(chosen, poses, strict=True))
    ]
    return BopFrame(im_id, np.full((*depth.shape, 3), 90, dtype=np.uint8), depth, CAMERA, tuple(instances))
