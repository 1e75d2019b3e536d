"""What a scene is made of, and what a view of it holds. World frame: z up, metres; cameras are OpenCV's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, UInt8

from crisp.geometry.camera import Camera
from crisp.objects import ObjectModel


@dataclass(frozen=True, eq=False)
class Placed:
    """An object where it stands."""

    model: ObjectModel
    T_world_object: Float[np.ndarray, "4 4"]

    @cached_property
    def vertices_world(self) -> Float[np.ndarray, "v 3"]:
        T = self.T_world_object
        return np.asarray(self.model.mesh.vertices, dtype=np.float64) @ T[:3, :3].T + T[:3, 3]


@dataclass(frozen=True, eq=False)
class Panel:
    """A textured rectangle (table, wall), seen from both sides.

    Args:
        T_world_panel: the rectangle is |x| <= half_size_m[0], |y| <= half_size_m[1], z = 0 in this frame.
        repeats: how often the texture is repeated along x and y.
    """

    T_world_panel: Float[np.ndarray, "4 4"]
    half_size_m: tuple[float, float]
    texture: UInt8[np.ndarray, "h w 3"]
    repeats: tuple[float, float] = (1.0, 1.0)
    roughness: float = 1.0


@dataclass(frozen=True, eq=False)
class Lamp:
    """A glowing ball; `radiance` is linear RGB."""

    centre_world: Float[np.ndarray, " 3"]
    radius_m: float
    radiance: Float[np.ndarray, " 3"]


@dataclass(frozen=True, eq=False)
class Light:
    """All light of a picture: lamps, and surroundings as a latitude-longitude map of linear radiance."""

    lamps: tuple[Lamp, ...]
    surroundings: Float[np.ndarray, "h w 3"]


@dataclass(frozen=True, eq=False)
class View:
    """A camera and where it stands."""

    camera: Camera
    T_world_camera: Float[np.ndarray, "4 4"]


@dataclass(frozen=True, eq=False)
class Geometry:
    """What a view shows, exact at pixel centres.

    Args:
        depth_m: (H, W) float32 along the optical axis; 0 where nothing is hit.
        masks: (N, H, W), each object's whole silhouette within the image.
        visible: (N, H, W), its visible part.
    """

    depth_m: Float[np.ndarray, "h w"]
    masks: Bool[np.ndarray, "n h w"]
    visible: Bool[np.ndarray, "n h w"]
