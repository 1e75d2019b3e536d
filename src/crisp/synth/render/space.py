"""Images of one satellite in space: sunlight, earthlight, black sky or the earth in the background."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from crisp.geometry.camera import Camera
from crisp.synth.render.looks import layered_noise
from crisp.synth.render.scene import Exposure, Lamp, Light, Placed, View, develop
from crisp.synth.render.tabletop import Picture, SeenObject, TableScene
from crisp.types import ObjectModel

SUN_DISTANCE_M, SUN_RADIUS_M = 40.0, 0.2  # half of the sun's angular diameter of 0.5 degrees
SUN_FROM_CAMERA_DEG = (10.0, 100.0)
EARTHSHINE = (0.02, 0.12)
EARTH_HALF_DEG = 62.0  # the earth's angular radius from 800 km
SKY_PX = (512, 1024)
FILL = (0.45, 0.9)
OFF_CENTRE = 0.12


def space_pictures(model: ObjectModel, *, views: int, camera: Camera, seed: int) -> Iterator[Picture]:
    """`views` images from all sides, reproducible from `seed`.

    Args:
        camera: square pixels.
    """
    rng = np.random.default_rng((seed, 5))
    earth = _direction(rng)
    centre, reach = _sphere(model)
    scene = TableScene((Placed(model, np.eye(4)),), (), _sky(earth, rng))
    for _ in range(views):
        view = _view(camera, centre, reach, rng=rng)
        geometry = scene.geometry(view)
        light = _light(view, earth, rng)
        radiance = scene.direct(view, light, geometry, seed=int(rng.integers(2**31)))
        rgb = develop(radiance, _exposure(rng), rng, metered=geometry.visible[0])
        T = np.linalg.inv(view.T_world_camera)
        seen = SeenObject(0, T, geometry.masks[0], geometry.visible[0])
        yield Picture(rgb, geometry.depth_m, camera, (seen,), view.T_world_camera)


def _sphere(model: ObjectModel) -> tuple[Float[np.ndarray, " 3"], float]:
    """The bounding box's centre, and the mesh's largest distance from it."""
    vertices = np.asarray(model.mesh.vertices, dtype=np.float64)
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    return centre, float(np.linalg.norm(vertices - centre, axis=1).max())


def _direction(rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
    values = rng.standard_normal(3)
    return values / np.linalg.norm(values)


def _view(camera: Camera, centre: Float[np.ndarray, " 3"], reach: float, *, rng: np.random.Generator) -> View:
    """A random attitude, at a distance where the bounding sphere fills a random share of the image."""
    half_px = min(camera.width, camera.height) / 2
    sine = rng.uniform(*FILL) * half_px / np.hypot(half_px, camera.K[0, 0])
    distance = reach / sine
    off = rng.uniform(-OFF_CENTRE, OFF_CENTRE, 2) * half_px / camera.K[0, 0] * distance
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    T[:3, 3] = centre - T[:3, :3] @ np.array([*off, distance])
    return View(camera, T)


def _light(view: View, earth: Float[np.ndarray, " 3"], rng: np.random.Generator) -> Light:
    """The sun is in any direction except behind the satellite as seen from the camera."""
    backwards = -view.T_world_camera[:3, 2]
    angle = np.radians(rng.uniform(*SUN_FROM_CAMERA_DEG))
    across = np.cross(backwards, _direction(rng))
    across /= np.linalg.norm(across)
    sun = np.cos(angle) * backwards + np.sin(angle) * across
    irradiance = np.pi * (SUN_RADIUS_M / SUN_DISTANCE_M) ** 2  # of a radiance of 1
    lamp = Lamp(SUN_DISTANCE_M * sun, SUN_RADIUS_M, np.array([1.0, 0.98, 0.94]) / irradiance)
    shine = rng.uniform(*EARTHSHINE) * np.array([0.8, 0.95, 1.15])
    sky = np.where(_on_earth(_sky_rays((16, 32)), earth)[..., None], shine, 0.004)
    return Light((lamp,), np.asarray(sky, dtype=np.float32))


def _exposure(rng: np.random.Generator) -> Exposure:
    return Exposure(
        brightness=float(rng.uniform(0.08, 0.25)),
        defocus_px=float(rng.uniform(0.0, 0.6)),
        read_noise=float(rng.uniform(0.002, 0.01)),
        shot_noise=float(rng.uniform(0.0, 0.02)),
    )


def _sky_rays(size: tuple[int, int]) -> Float[np.ndarray, "h w 3"]:
    """Directions of an environment map's pixels: latitude from the top (z up) downwards, and longitude."""
    height, width = size
    polar = (np.arange(height) + 0.5) / height * np.pi
    longitude = (0.5 - (np.arange(width) + 0.5) / width) * 2 * np.pi
    flat = np.sin(polar)[:, None]
    up = np.broadcast_to(np.cos(polar)[:, None], size)
    return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), up], axis=-1)


def _on_earth(rays: Float[np.ndarray, "h w 3"], earth: Float[np.ndarray, " 3"]) -> Bool[np.ndarray, "h w"]:
    return rays @ earth > np.cos(np.radians(EARTH_HALF_DEG))


def _sky(earth: Float[np.ndarray, " 3"], rng: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """Linear radiance behind the satellite: black, and in some directions the earth, sea under clouds."""
    rays = _sky_rays(SKY_PX)
    across = np.cross(earth, _direction(rng))
    across /= np.linalg.norm(across)
    # An orthographic projection: no pole of the map is visible in the clouds.
    place = np.stack([rays @ across, rays @ np.cross(earth, across)])
    row, column = np.clip((place + 1) / 2 * 511, 0, 511).astype(int)
    clouds = np.clip(2.2 * layered_noise(rng, coarsest=9)[row, column] - 0.8, 0, 1)[..., None]
    sea = np.array([0.02, 0.07, 0.16])
    sky = rng.uniform(0.3, 1.0) * (sea + clouds * (0.75 - sea)) / np.pi
    return np.where(_on_earth(rays, earth)[..., None], sky, 0.0).astype(np.float32)
