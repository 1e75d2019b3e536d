"""Random object placements on a table (z = 0), close together without contact, and random cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from crisp.geometry.camera import Camera
from crisp.synth.render.scene import Placed, View
from crisp.types import ObjectModel

TRIES_PER_RING = 25
RING_STEP_M = 0.02


@dataclass(frozen=True)
class Spacing:
    """Range of the gap between neighbours' footprints, drawn for each object."""

    least_m: float = 0.008
    most_m: float = 0.05


@dataclass(frozen=True)
class Resting:
    """Distribution of the objects' orientations.

    Args:
        any_share: share of objects in an arbitrary orientation, as in a heap; the lowest point touches the
            table.
        usual_share: share of the others in their first rest pose; the rest take another of their rest poses.
    """

    usual_share: float = 0.85
    any_share: float = 0.0


def arrange(
    models: tuple[ObjectModel, ...],
    *,
    spacing: Spacing,
    rng: np.random.Generator,
    standing: tuple[Placed, ...] = (),
    resting: Resting | None = None,
) -> tuple[Placed, ...]:
    """The objects already `standing`, followed by each model, placed near the origin in a random pose.

    Each model is tried at random positions within a slowly growing disc, so the group stays compact.
    Footprints are convex hulls seen from above: disjoint footprints guarantee disjoint objects.
    """
    placed = list(standing)
    footprints = [_hull(item.vertices_world[:, :2]) for item in standing]
    for model in models:
        rotation = _orientation(model, resting or Resting(), rng)
        vertices = np.asarray(model.mesh.vertices, dtype=np.float64) @ rotation.T
        hull = _hull(vertices[:, :2])
        middle = hull.mean(axis=0)
        gap_m = rng.uniform(spacing.least_m, spacing.most_m)
        shift = _free_place(hull - middle, footprints, gap_m=gap_m, rng=rng) - middle
        footprints.append(hull + shift)
        T = np.eye(4)
        T[:3, :3] = rotation
        T[:3, 3] = [*shift, -vertices[:, 2].min()]
        placed.append(Placed(model, T))
    return tuple(placed)


def _hull(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "h 2"]:
    return points[ConvexHull(points).vertices]


def _orientation(model: ObjectModel, resting: Resting, rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    if resting.any_share > 0 and rng.random() < resting.any_share:
        return Rotation.random(random_state=rng).as_matrix()
    usual = len(model.rest) == 1 or rng.random() < resting.usual_share
    rest = model.rest[0] if usual else model.rest[int(rng.integers(1, len(model.rest)))]
    yaw = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ rest


def _free_place(
    hull: Float[np.ndarray, "h 2"], taken: list[np.ndarray], *, gap_m: float, rng: np.random.Generator
) -> Float[np.ndarray, " 2"]:
    radius = 0.0
    while True:
        angles = rng.uniform(0, 2 * np.pi, TRIES_PER_RING)
        reach = radius * np.sqrt(rng.random(TRIES_PER_RING))
        places = np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1)
        free = np.ones(len(places), dtype=bool)
        for other in taken:
            free[free] = separation(hull, other, shifts=places[free]) >= gap_m
        if free.any():
            return places[int(free.argmax())]
        radius += RING_STEP_M


def separation(
    first: Float[np.ndarray, "a 2"], second: Float[np.ndarray, "b 2"], *, shifts: Float[np.ndarray, "s 2"]
) -> Float[np.ndarray, " s"]:
    """For each shift of the first convex polygon, its largest gap to the second along any edge normal.

    By the separating axis theorem the polygons are disjoint exactly when the gap is positive. It never
    exceeds the true distance.
    """
    edges = np.concatenate([np.roll(polygon, -1, axis=0) - polygon for polygon in (first, second)])
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    one, two = first @ normals.T, second @ normals.T
    moved = shifts @ normals.T
    gaps = np.maximum(one.min(0) - two.max(0) + moved, two.min(0) - one.max(0) - moved)
    return gaps.max(axis=1)


Range = tuple[float, float]
CANDIDATES = 10
CLEARANCE_M = 0.2  # nearer than this, one object would fill the image
JITTER_M = 0.04


@dataclass(frozen=True)
class Viewpoints:
    """Distribution of the cameras' poses and intrinsics; each value is uniform in its range.

    Args:
        camera: fixed intrinsics for all views; the focal length is not drawn then.
    """

    width: int
    height: int
    elevation_deg: Range
    distance_m: Range
    focal_px: Range
    roll_deg: Range
    camera: Camera | None = None


def draw_view(viewpoints: Viewpoints, placed: tuple[Placed, ...], rng: np.random.Generator) -> View:
    """A random camera that looks at the group. Of ten, the first in which the image border cuts at most one
    object, or else the one in which it cuts fewest."""
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
    """`T_world_camera` of an OpenCV camera at `eye` that looks at `target`, with world z upwards."""
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
    # Real principal points lie some pixels off the image centre.
    cx = (width - 1) / 2 + rng.uniform(-0.02, 0.02) * width
    cy = (height - 1) / 2 + rng.uniform(-0.02, 0.02) * height
    K = np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1]])
    return View(
        viewpoints.camera or Camera(K, width, height),
        look_at(eye, target, roll_deg=rng.uniform(*viewpoints.roll_deg)),
    )


def _is_cut(view: View, item: Placed) -> bool:
    """Whether the image border cuts the object, or the object is too near to the camera."""
    T_camera_world = np.linalg.inv(view.T_world_camera)
    points = item.vertices_world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    if points[:, 2].min() < CLEARANCE_M:
        return True
    u, v = view.camera.project(points).T
    inside = (u >= 0) & (v >= 0) & (u <= view.camera.width - 1) & (v <= view.camera.height - 1)
    return bool(inside.any() and not inside.all())
