"""BOP sets drawn with a z-buffer, for what scores poses and shapes and never looks at a photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from crisp.data.bop.reader import BopDataset
from crisp.data.bop.writer import BopFrame, BopInstance, BopWriter
from crisp.data.layouts import open_dataset
from crisp.data.nocs.files import SIZE_WH, Split, camera_of
from crisp.data.nocs.reader import NocsDataset
from crisp.data.nocs.writer import NocsWriter
from crisp.data.spe3r.reader import Spe3rDataset
from crisp.data.spe3r.writer import Spe3rWriter, image_numbers
from crisp.geometry.camera import Camera
from crisp.shape.raster import Posed, bare, rasterise
from crisp.synth.procedural import object_model
from crisp.synth.procedural.satellites import fleet
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


NOCS_MODELS = ("bottle_plain", "bowl_plain", "camera_slr", "can_striped", "laptop_black", "mug_blue")
SPE3R_CAMERA = Camera(np.array([[400.0, 0, 127.5], [0, 400.0, 127.5], [0, 0, 1]]), 256, 256)
SATELLITES = 2


def draw_nocs(root: Path, split: Split, frames: int, *, seed: int = 0) -> NocsDataset:
    """One scene: in each frame the six categories side by side in random poses."""
    rng = np.random.default_rng(seed)
    models = {number: object_model(name) for number, name in enumerate(NOCS_MODELS, start=1)}
    view = View(camera_of(split, SIZE_WH), BACKGROUND_M)
    poses = [[grid_pose(rng, place) for place in range(len(models))] for _ in range(frames)]
    writer = NocsWriter(root, split, models)
    writer.write_models(list(models.values()))
    writer.write_scene(0, [drawn_frame(k, models, poses[k], view=view) for k in range(frames)])
    dataset = open_dataset(root, split)
    assert isinstance(dataset, NocsDataset)
    return dataset


def draw_spe3r(root: Path, frames: int, *, seed: int = 0) -> Spe3rDataset:
    """Two satellites for the test, so many pictures of each, alone before nothing."""
    rng = np.random.default_rng(seed)
    models = fleet(SATELLITES)
    writer = Spe3rWriter(root, {model.name: "test" for model in models})
    writer.write_set(SPE3R_CAMERA)
    view = View(SPE3R_CAMERA, 0.0)
    for model in models:
        size_m = float(np.ptp(model.mesh.vertices, axis=0).max())
        poses = [_before_the_camera(rng, size_m) for _ in range(frames)]
        numbers = image_numbers(frames, "test")
        writer.write_satellite(
            model, [drawn_frame(n, {1: model}, [T], view=view) for n, T in zip(numbers, poses, strict=True)]
        )
    dataset = open_dataset(root, "test")
    assert isinstance(dataset, Spe3rDataset)
    return dataset


def _before_the_camera(rng: np.random.Generator, size_m: float) -> np.ndarray:
    """Two to three sizes away."""
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    T[:3, 3] = size_m * np.array([*rng.uniform(-0.1, 0.1, 2), rng.uniform(2.0, 3.0)])
    return T
