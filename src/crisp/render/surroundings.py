"""What stands around the objects: table, floor, wall, and clutter that is in no list of objects."""

from __future__ import annotations

import numpy as np
import trimesh
from jaxtyping import Float

from crisp.objects import ObjectModel, TexturedMesh
from crisp.render.film import linear_from_srgb
from crisp.render.scene import Panel
from crisp.render.textures import random_texture
from crisp.types import Mesh

WALL_HALF_M = 2.5


def random_table(rng: np.random.Generator) -> tuple[Panel, ...]:
    """A table top at z = 0 and a floor below it."""
    half = (rng.uniform(0.7, 1.6), rng.uniform(0.7, 1.6))
    T_world_table = np.eye(4)
    T_world_table[:3, :3] = _turn_z(rng.uniform(0, 2 * np.pi))
    repeat = rng.uniform(0.8, 2.2)  # repeats a metre: grain and stripes of a plausible size
    T_world_floor = np.eye(4)
    T_world_floor[2, 3] = -rng.uniform(0.6, 0.9)
    roughness = 1.0 if rng.random() < 0.6 else rng.uniform(0.35, 0.8)
    top = Panel(
        T_world_table,
        half,
        random_texture(rng),
        repeats=(2 * half[0] * repeat, 2 * half[1] * repeat),
        roughness=roughness,
    )
    return top, Panel(T_world_floor, (6.0, 6.0), random_texture(rng), repeats=(8.0, 8.0))


def random_walls(rng: np.random.Generator) -> tuple[Panel, ...]:
    """One or two walls beside the table: more would keep the light of the surroundings out."""
    start = rng.uniform(0, 2 * np.pi)
    count = int(rng.integers(1, 3))
    return tuple(_wall(start + k * np.pi / 2 + rng.uniform(-0.2, 0.2), rng) for k in range(count))


def random_backdrop(rng: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """What is seen beyond the walls: a texture, as if lit like the table (an irradiance of 1)."""
    return linear_from_srgb(random_texture(rng)[::4, ::4] / 255.0) / np.pi


def _wall(angle: float, rng: np.random.Generator) -> Panel:
    T = np.eye(4)
    inward = -np.array([np.cos(angle), np.sin(angle), 0.0])
    T[:3, 0] = np.cross([0.0, 0.0, 1.0], inward)
    T[:3, 1] = [0.0, 0.0, 1.0]
    T[:3, 2] = inward
    T[:3, 3] = -rng.uniform(1.7, 3.0) * inward
    repeats = rng.uniform(1, 4)
    return Panel(T, (WALL_HALF_M, 2.0), random_texture(rng), repeats=(repeats, 0.8 * repeats))


def _turn_z(angle: float) -> Float[np.ndarray, "3 3"]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def random_clutter(count: int, rng: np.random.Generator) -> tuple[ObjectModel, ...]:
    """Boxes, cylinders, cones and balls of 4 to 15 cm with random textures."""
    return tuple(_primitive(index, rng) for index in range(count))


def _primitive(index: int, rng: np.random.Generator) -> ObjectModel:
    size = rng.uniform(0.04, 0.15, 3)
    solids = (
        lambda: trimesh.creation.box(size),
        lambda: trimesh.creation.cylinder(size[0] / 2, size[1], sections=48),
        lambda: trimesh.creation.cone(size[0] / 2, size[1], sections=48),
        lambda: trimesh.creation.icosphere(4, size[0] / 2),
    )
    solid = solids[int(rng.integers(len(solids)))]()
    return ObjectModel(
        name=f"clutter_{index}",
        kind="clutter",
        mesh=Mesh(np.asarray(solid.vertices), np.asarray(solid.faces)),
        surface=_draped(solid, rng),
        roughness=rng.uniform(0.15, 0.9),
    )


def _draped(solid: trimesh.Trimesh, rng: np.random.Generator) -> TexturedMesh:
    """Each face takes its texture from the side that it faces most."""
    corners = np.asarray(solid.triangles)
    side = np.abs(np.asarray(solid.face_normals)).argmax(axis=1)
    others = np.array([[1, 2], [0, 2], [0, 1]])[side]
    flat = np.take_along_axis(corners, np.broadcast_to(others[:, None], (*corners.shape[:2], 2)), axis=2)
    extent = np.ptp(corners.reshape(-1, 3), axis=0).max()
    return TexturedMesh(
        vertices=corners.reshape(-1, 3),
        faces=np.arange(3 * len(corners)).reshape(-1, 3),
        uv=(flat / extent + 0.5).reshape(-1, 2),
        texture=random_texture(rng),
    )
