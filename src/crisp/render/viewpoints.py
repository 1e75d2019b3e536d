"""Cameras that look down at a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crisp.geometry.camera import Camera
from crisp.render.scene import Placed, View

Range = tuple[float, float]
CANDIDATES = 10
CLEARANCE_M = 0.2  # nearer than this, one object would fill the picture
JITTER_M = 0.04


@dataclass(frozen=True)
class Viewpoints:
    """Where cameras stand and how they look; each number is drawn evenly from its range.

    Args:
        camera: the same for all views, where the focal length is not drawn.
    """

    width: int
    height: int
    elevation_deg: Range
    distance_m: Range
    focal_px: Range
    roll_deg: Range
    camera: Camera | None = None


def draw_view(viewpoints: Viewpoints, placed: tuple[Placed, ...], rng: np.random.Generator) -> View:
    """A camera at a random place that looks at the group; of ten, the first that cuts at most one object
    at the image's border, or else the one that cuts fewest."""
    best: tuple[int, View] | None = None
    for _ in range(CANDIDATES):
        view = _random_view(viewpoints, placed, rng)
        cut = sum(_is_cut(view, item) for item in placed)
        if cut <= 1:
            return view
        if best is None or cut < best[0]:
            best = cut, view
    assert best is not None
    return best[1]


def look_at(
    eye: Float[np.ndarray, " 3"], target: Float[np.ndarray, " 3"], *, roll_deg: float = 0.0
) -> Float[np.ndarray, "4 4"]:
    """`T_world_camera` of an OpenCV camera at `eye` that has `target` in its middle and z up above it."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cos, sin = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    T = np.eye(4)
    T[:3, 0] = cos * right + sin * down
    T[:3, 1] = -sin * right + cos * down
    T[:3, 2] = forward
    T[:3, 3] = eye
    return T


def _random_view(viewpoints: Viewpoints, placed: tuple[Placed, ...], rng: np.random.Generator) -> View:
    vertices = np.concatenate([item.vertices_world for item in placed])
    middle = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    item = placed[int(rng.integers(len(placed)))].vertices_world
    own = 0.5 * (item.min(axis=0) + item.max(axis=0))
    target = middle + rng.uniform(0.0, 0.6) * (own - middle) + rng.uniform(-JITTER_M, JITTER_M, 3)
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = np.radians(rng.uniform(*viewpoints.elevation_deg))
    direction = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    eye = target + rng.uniform(*viewpoints.distance_m) * direction
    focal = rng.uniform(*viewpoints.focal_px)
    width, height = viewpoints.width, viewpoints.height
    # Real principal points lie some pixels off the middle.
    cx = (width - 1) / 2 + rng.uniform(-0.02, 0.02) * width
    cy = (height - 1) / 2 + rng.uniform(-0.02, 0.02) * height
    K = np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1]])
    return View(
        viewpoints.camera or Camera(K, width, height),
        look_at(eye, target, roll_deg=rng.uniform(*viewpoints.roll_deg)),
    )


def _is_cut(view: View, item: Placed) -> bool:
    """Whether the border goes through the object, or it stands right before the camera."""
    T_camera_world = np.linalg.inv(view.T_world_camera)
    points = item.vertices_world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    if points[:, 2].min() < CLEARANCE_M:
        return True
    u, v = view.camera.project(points).T
    inside = (u >= 0) & (v >= 0) & (u <= view.camera.width - 1) & (v <= view.camera.height - 1)
    return bool(inside.any() and not inside.all())
