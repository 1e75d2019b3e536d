"""Appearance of a rendered data set: light, exposure and depth sensor per view, and the surroundings.

The surroundings are table, floor, walls, a backdrop and unlabelled clutter, with procedural textures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from scipy.ndimage import zoom

from crisp.synth.config import LookName
from crisp.synth.render.scene import Exposure, Lamp, Light, Panel, linear_from_srgb
from crisp.synth.render.sensor import DepthSensor
from crisp.types import Mesh, ObjectModel, TexturedMesh

SIZE_PX = 512


def random_texture(rng: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
    """A random texture: wood, cloth, speckle, tiles, plain or cloudy, in random colours."""
    makers = (_wood, _cloth, _speckle, _tiles, _plain, _cloudy)
    image = makers[int(rng.integers(len(makers)))](rng)
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def noise(rng: np.random.Generator, *, cells: tuple[int, int], size_px: int = SIZE_PX) -> np.ndarray:
    """Smooth value noise in 0..1, (size_px, size_px), on a lattice of `cells` along rows and columns."""
    coarse = rng.random((cells[0] + 1, cells[1] + 1))
    scale = [size_px / n for n in coarse.shape]
    return zoom(coarse, scale, order=1, mode="nearest", grid_mode=True)[:size_px, :size_px]


def layered_noise(rng: np.random.Generator, *, coarsest: int = 3, layers: int = 5) -> np.ndarray:
    """Fractal noise in 0..1: several octaves, each with half the amplitude of the one before."""
    total = sum(noise(rng, cells=(coarsest * 2**k, coarsest * 2**k)) * 0.5**k for k in range(layers)) / (
        2 - 0.5 ** (layers - 1)
    )
    return np.asarray(total)


def random_colour(rng: np.random.Generator, *, saturation: float = 0.4) -> Float[np.ndarray, " 3"]:
    """sRGB in 0..1: a grey of random brightness, tinted."""
    grey = rng.uniform(0.12, 0.92)
    return np.clip(grey + saturation * rng.uniform(0, 1) * rng.uniform(-0.5, 0.5, 3), 0.02, 0.98)


def _mix(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    return a + (b - a) * share[..., None]


def _wood(rng: np.random.Generator) -> np.ndarray:
    light = np.array([0.78, 0.58, 0.38]) * rng.uniform(0.45, 1.2) + rng.uniform(-0.06, 0.06, 3)
    dark = light * rng.uniform(0.45, 0.8)
    y = np.linspace(0, rng.uniform(5, 16), SIZE_PX)[:, None]
    bend = 2.5 * noise(rng, cells=(4, 2)) + 0.4 * noise(rng, cells=(60, 3))
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (y + bend))
    fibre = noise(rng, cells=(250, 5))
    return _mix(light, dark, np.clip(0.6 * rings**2 + 0.5 * (fibre - 0.4), 0, 1))


def _cloth(rng: np.random.Generator) -> np.ndarray:
    base, stripe = random_colour(rng), random_colour(rng, saturation=0.6)
    pitch = int(rng.integers(24, 100))
    lines = (np.arange(SIZE_PX) % pitch) < pitch * rng.uniform(0.2, 0.6)
    across = lines[:, None] * 0.5 + lines[None, :] * (0.5 if rng.random() < 0.6 else 0.0)
    weave = 0.08 * (rng.random((SIZE_PX, SIZE_PX)) - 0.5)
    return _mix(base, stripe, across) + weave[..., None]


def _speckle(rng: np.random.Generator) -> np.ndarray:
    image = _mix(random_colour(rng), random_colour(rng), 0.3 * layered_noise(rng))
    for _ in range(int(rng.integers(1, 4))):
        spots = noise(rng, cells=(int(rng.integers(60, 250)),) * 2) > rng.uniform(0.75, 0.93)
        image[spots] = random_colour(rng, saturation=0.6)
    return image


def _tiles(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(3, 10))
    tile = SIZE_PX // count + 1
    row, column = np.indices((SIZE_PX, SIZE_PX)) // tile
    own = 0.12 * (rng.random((count + 1, count + 1, 1)) - 0.5)[row, column]
    image = random_colour(rng) + own + 0.1 * (layered_noise(rng)[..., None] - 0.5)
    if rng.random() < 0.4:
        image[(row + column) % 2 == 1] = random_colour(rng)
    joint = (np.indices((SIZE_PX, SIZE_PX)) % tile < max(2, tile // 30)).any(axis=0)
    image[joint] = random_colour(rng, saturation=0.1)
    return image


def _plain(rng: np.random.Generator) -> np.ndarray:
    return random_colour(rng, saturation=0.6) + 0.06 * (layered_noise(rng)[..., None] - 0.5)


def _cloudy(rng: np.random.Generator) -> np.ndarray:
    share = np.clip(1.6 * layered_noise(rng, coarsest=int(rng.integers(2, 9))) - 0.3, 0, 1)
    return _mix(random_colour(rng, saturation=0.6), random_colour(rng, saturation=0.6), share)


Range = tuple[float, float]


@dataclass(frozen=True)
class Look:
    """Ranges from which a view's light and camera are drawn.

    Args:
        samples: rays per pixel for path tracing; 0 renders direct light only, fast and without noise.
        bounces: depth of the traced light paths.
        lamps: fewest and most.
        lamp_radius_m: small lamps cast hard shadows.
        lamp_share: share of the table's irradiance that comes from lamps; the rest comes from all directions.
        tint: how far lamps and surroundings are from white, 0 to 1.
        brightness: target of the exposure (`Exposure.brightness`).
        balance: largest gain error of a channel.
        defocus_px, motion_px, read_noise, shot_noise: as in `Exposure`.
        clutter: fewest and most unlabelled objects.
        sensor: depth camera; None gives exact depth.
    """

    samples: int
    bounces: int
    lamps: tuple[int, int]
    lamp_radius_m: Range
    lamp_share: Range
    tint: float
    brightness: Range
    balance: float
    defocus_px: Range = (0.0, 0.0)
    motion_px: Range = (0.0, 0.0)
    read_noise: Range = (0.0, 0.0)
    shot_noise: Range = (0.0, 0.0)
    clutter: tuple[int, int] = (0, 0)
    sensor: DepthSensor | None = None


def look(name: LookName) -> Look:
    """`clean`: mild direct light and exact depth. `hard`: with the disturbances of real captures. `direct`:
    `hard` without indirect light, which takes more than half of the time."""
    if name == "clean":
        return Look(
            samples=0,
            bounces=1,
            lamps=(1, 2),
            lamp_radius_m=(0.08, 0.3),
            lamp_share=(0.25, 0.65),
            tint=0.12,
            brightness=(0.13, 0.3),
            balance=0.05,
        )
    traced = name == "hard"
    return Look(
        samples=6 if traced else 0,
        bounces=3 if traced else 1,
        lamps=(1, 3),
        lamp_radius_m=(0.01, 0.06),
        lamp_share=(0.6, 0.93),
        tint=0.55,
        brightness=(0.04, 0.55),
        balance=0.2,
        defocus_px=(0.0, 1.3),
        motion_px=(0.0, 5.0),
        read_noise=(0.003, 0.02),
        shot_noise=(0.01, 0.05),
        clutter=(2, 5),
        sensor=DepthSensor(),
    )


def draw_light(look: Look, rng: np.random.Generator) -> Light:
    """Lamps above the table and smooth surroundings, scaled so that the table's irradiance is about 1."""
    share = rng.uniform(*look.lamp_share)
    count = int(rng.integers(look.lamps[0], look.lamps[1] + 1))
    parts = rng.dirichlet(np.full(count, 3.0)) * share
    lamps = tuple(_lamp(look, part, rng) for part in parts)
    return Light(lamps, _surroundings(look.tint, rng) * (1 - share) / np.pi)


def draw_exposure(look: Look, rng: np.random.Generator) -> Exposure:
    """A random exposure: log-uniform brightness, the other values uniform."""
    low, high = np.log(look.brightness)
    angle, length = rng.uniform(0, np.pi), rng.uniform(*look.motion_px)
    return Exposure(
        brightness=float(np.exp(rng.uniform(low, high))),
        balance=rng.uniform(1 - look.balance, 1 + look.balance, 3),
        defocus_px=rng.uniform(*look.defocus_px),
        motion_px=(float(length * np.cos(angle)), float(length * np.sin(angle))),
        read_noise=rng.uniform(*look.read_noise),
        shot_noise=rng.uniform(*look.shot_noise),
    )


def _tint(strength: float, rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
    colour = 1 + strength * rng.uniform(-1, 1, 3)
    return colour / colour.mean()


def _lamp(look: Look, irradiance: float, rng: np.random.Generator) -> Lamp:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(35, 80))
    distance = min(rng.uniform(1.2, 2.2), 1.3 / np.cos(elevation))  # within the walls
    direction = [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    radius = rng.uniform(*look.lamp_radius_m)
    # A sphere of radiance L and radius r at distance d gives a surface that faces it pi L (r / d)^2.
    radiance = irradiance / (np.pi * (radius / distance) ** 2 * np.sin(elevation))
    return Lamp(distance * np.array(direction), radius, radiance * _tint(look.tint, rng))


def _surroundings(tint: float, rng: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """A smooth map of mean radiance about 1, brighter above than below, (16, 32, 3)."""
    lumps = rng.uniform(0.4, 1.6, (4, 6, 1)) * (1 + tint * rng.uniform(-1, 1, (4, 6, 3)))
    lumps = np.concatenate([lumps, lumps[:, :1]], axis=1)  # the left and right ends of the map must match
    smooth = np.asarray(zoom(lumps, (4, 32 / 7, 1), order=1, mode="nearest"))
    height = np.linspace(1.3, 0.7, smooth.shape[0])[:, None, None]
    return np.maximum(smooth * height, 0.0).astype(np.float32)


WALL_HALF_M = 2.5


def random_table(rng: np.random.Generator) -> tuple[Panel, ...]:
    """A table top at z = 0 and a floor below it."""
    half = (rng.uniform(0.7, 1.6), rng.uniform(0.7, 1.6))
    T_world_table = np.eye(4)
    T_world_table[:3, :3] = _turn_z(rng.uniform(0, 2 * np.pi))
    repeat = rng.uniform(0.8, 2.2)  # repeats per metre: grain and stripes of plausible size
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
    """One or two walls beside the table; more would block the surroundings' light."""
    start = rng.uniform(0, 2 * np.pi)
    count = int(rng.integers(1, 3))
    return tuple(_wall(start + k * np.pi / 2 + rng.uniform(-0.2, 0.2), rng) for k in range(count))


def random_backdrop(rng: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """The background beyond the walls: a texture with the table's illumination (irradiance 1)."""
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
    """Box projection: each face takes its texture from the side that its normal is closest to."""
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
