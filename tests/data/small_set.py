"""A small BOP set of random pictures, and ways to spoil it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from crisp.data.bop.reader import FrameKey
from crisp.data.bop.writer import BopFrame, BopInstance
from crisp.geometry.camera import Camera
from crisp.types import Mesh, ObjectModel, Symmetries, TexturedMesh

W, H = 24, 16
CAMERA = Camera(np.array([[30.0, 0.0, 12.3], [0.0, 31.0, 7.9], [0.0, 0.0, 1.0]]), W, H)
HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
KEY = FrameKey(2, 11)
AXIS = (np.array([0.0, 0.0, 1.0]), np.array([0.01, 0.02, 0.0]))


def pose(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    T[:3, 3] = rng.uniform((-0.1, -0.1, 0.5), (0.1, 0.1, 0.9))
    return T


def box_mask(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[top:bottom, left:right] = True
    return mask


def bop_frame(im_id: int) -> BopFrame:
    rng = np.random.default_rng(im_id)
    depth_m = rng.uniform(0.4, 1.2, (H, W)).astype(np.float32)
    depth_m[:, :4] = 0.0
    first = BopInstance(1, pose(im_id), box_mask(2, 3, 8, 7), box_mask(2, 3, 8, 5))
    second = BopInstance(2, pose(im_id + 50), box_mask(10, 1, 12, 4), box_mask(0, 0, 0, 0))
    rgb = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
    return BopFrame(im_id, rgb, depth_m, CAMERA, (first, second))


def box_model(name: str, symmetries: Symmetries) -> ObjectModel:
    """60 x 80 x 100 mm, so the diameter is 100 sqrt(2) mm; red where x < 0, blue where x > 0."""
    box = trimesh.creation.box((0.06, 0.08, 0.1))
    vertices, faces = np.array(box.vertices), np.array(box.faces)
    uv = np.stack(
        [np.where(vertices[:, 0] < 0, 0.25, 0.75), np.where(vertices[:, 2] < 0, 0.25, 0.75)], axis=1
    )
    # First row on top: v = 0.75 is row 0. Columns: u = 0.25 is column 0.
    texture = np.array([[[255, 0, 0], [0, 0, 255]], [[200, 0, 0], [0, 0, 200]]], np.uint8)
    return ObjectModel(
        name, "box", Mesh(vertices, faces), TexturedMesh(vertices, faces, uv, texture), symmetries
    )


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
