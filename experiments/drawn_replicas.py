"""NOCS and SPE3R replicas drawn with a z-buffer, as `drawn_bop` draws BOP's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from crisp.data.layouts import open_dataset
from crisp.data.nocs.files import SIZE_WH, Split, camera_of
from crisp.data.nocs.reader import NocsDataset
from crisp.data.nocs.writer import NocsWriter
from crisp.data.spe3r.reader import Spe3rDataset
from crisp.data.spe3r.writer import Spe3rWriter, image_numbers
from crisp.geometry.camera import Camera
from crisp.synth.procedural import object_model
from crisp.synth.procedural.satellites import fleet
from experiments.drawn_bop import BACKGROUND_M, View, drawn_frame, grid_pose

# Of bottles, bowls and cans round ones: NOCS declares all of them round, and of others VSD would not agree.
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
