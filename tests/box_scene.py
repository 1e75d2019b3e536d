"""A box before a wall, seen by a small camera: the depth map is exact, and so is the field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from crisp.certify.certificate import Sight, observe_pixels
from crisp.geometry.camera import Camera
from crisp.refine.free_space import DepthMap
from crisp.shape.raster import Posed, rasterise, smooth
from crisp.types import Estimate, Frame, Mesh

CAMERA = Camera(np.array([[140.0, 0, 63.5], [0, 140.0, 47.5], [0, 0, 1]]), width=128, height=96)
HALF_M = (0.05, 0.04, 0.03)
CODE = torch.tensor(HALF_M)
WALL_M = 0.8


@dataclass(frozen=True, eq=False)
class BoxScene:
    """The frame with the boxes' visible masks and true poses."""

    frame: Frame
    masks: tuple[Bool[np.ndarray, "h w"], ...]
    poses: tuple[Float[np.ndarray, "4 4"], ...]

    @property
    def depth(self) -> DepthMap:
        return DepthMap(torch.from_numpy(self.frame.depth_m), CAMERA)

    def sight(self, *which: int) -> Sight:
        """Of the boxes with these numbers, all unless given."""
        masks = [self.masks[i] for i in which or range(len(self.masks))]
        return Sight(observe_pixels(self.frame, masks), self.depth)

    def estimate(
        self, number: int = 0, *, moved_m: tuple[float, float, float] = (0.0, 0.0, 0.0), code: Tensor = CODE
    ) -> Estimate:
        """The truth, moved in the camera's frame, with another shape."""
        T = torch.from_numpy(self.poses[number].copy())
        T[:3, 3] += torch.tensor(moved_m)
        return Estimate(T, code, 1.0)


def box_scene(*places_m: tuple[float, float, float]) -> BoxScene:
    """Boxes at these places in the camera's frame, each turned so that three sides show."""
    solid = trimesh.creation.box(2 * np.array(HALF_M))
    mesh = smooth(Mesh(np.array(solid.vertices), np.array(solid.faces)))
    poses = []
    for place in places_m:
        T = np.eye(4)
        T[:3, :3] = Rotation.from_euler("xyz", (35.0, 40.0, 0.0), degrees=True).as_matrix()
        T[:3, 3] = place
        poses.append(T)
    seen = rasterise([Posed(mesh, T) for T in poses], CAMERA)
    depth_m = np.where(np.isfinite(seen.depth_m), seen.depth_m, WALL_M).astype(np.float32)
    rgb = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    masks = tuple(seen.owner == i for i in range(len(poses)))
    return BoxScene(Frame(rgb, depth_m, CAMERA), masks, tuple(poses))
