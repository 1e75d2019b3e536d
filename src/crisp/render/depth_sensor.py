"""What a structured-light depth camera makes of exact depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation, gaussian_filter, map_coordinates, maximum_filter, minimum_filter

from crisp.geometry.camera import Camera


@dataclass(frozen=True)
class DepthSensor:
    """A model of Kinect-like cameras.

    Axial and lateral noise follow Nguyen, Izadi and Lovell, "Modeling Kinect sensor noise for improved 3D
    reconstruction and tracking" (3DIMPVT 2012): sigma_z = 1.2 mm + 1.9 mm (z - 0.4 m)^2 / m^2, and about
    0.8 px sideways.

    Args:
        noise_m, noise_per_m: sigma_z = noise_m + noise_per_m (z - 0.4)^2.
        lateral_px: standard deviation of the sideways wobble, which frays edges.
        disparity_step_px: depth is quantised as disparity (1/8 px in the first Kinect).
        baseline_m: between projector and camera.
        grazing_deg: surfaces seen at less than this angle give no value.
        edge_m: depth jumps larger than this are edges.
        edge_hole_share: share of edge pixels without value; others there may mix both sides.
        edge_mix_share: share of edge pixels whose value lies between the two sides.
        blob_share: share of the image lost in random blobs.
    """

    noise_m: float = 0.0012
    noise_per_m: float = 0.0019
    lateral_px: float = 0.8
    disparity_step_px: float = 0.125
    baseline_m: float = 0.075
    grazing_deg: float = 12.0
    edge_m: float = 0.015
    edge_hole_share: float = 0.4
    edge_mix_share: float = 0.25
    blob_share: float = 0.01

    def measure(
        self, depth_m: Float[np.ndarray, "h w"], camera: Camera, rng: np.random.Generator
    ) -> Float[np.ndarray, "h w"]:
        """A measured depth map of an exact one, float32 metres; 0 = no value, in both."""
        seen = np.asarray(depth_m, dtype=np.float64)
        lost = (seen <= 0) | self._grazing(seen, camera)
        edges = self._edges(seen)
        measured = self._wobble(seen, rng)
        measured = self._bleed(measured, edges, rng)
        sigma = self.noise_m + self.noise_per_m * (measured - 0.4) ** 2
        # Neighbours share their correlation window, so the noise is not white.
        grain = gaussian_filter(rng.standard_normal(seen.shape), 0.7)
        measured = measured + sigma * grain / grain.std()
        measured = self._quantise(measured, focal_px=float(camera.K[0, 0]))
        lost |= edges & (rng.random(seen.shape) < self.edge_hole_share)
        lost |= self._blobs(seen.shape, rng) | (measured <= 0)
        return np.where(lost, 0.0, measured).astype(np.float32)

    def _grazing(self, depth_m: Float[np.ndarray, "h w"], camera: Camera) -> Bool[np.ndarray, "h w"]:
        rays = camera.rays()
        points = depth_m[..., None] * rays
        along_v, along_u = np.gradient(points, axis=(0, 1))
        normals = np.cross(along_u, along_v)
        length = np.linalg.norm(normals, axis=-1) * np.linalg.norm(rays, axis=-1)
        sine = np.abs((normals * rays).sum(-1)) / np.maximum(length, 1e-30)
        # At an edge the difference spans two surfaces and says nothing of either's slope.
        smooth = ~binary_dilation(self._edges(depth_m), np.ones((3, 3)))
        return smooth & (sine < np.sin(np.radians(self.grazing_deg)))

    def _edges(self, depth_m: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
        # A steep but smooth surface is no edge. Planes are linear in inverse depth: their bend is 0.
        jump = maximum_filter(depth_m, 3) - minimum_filter(depth_m, 3)
        inverse = np.where(depth_m > 0, 1 / np.maximum(depth_m, 1e-3), 0.0)
        bends = [inverse - 0.5 * (np.roll(inverse, 1, axis) + np.roll(inverse, -1, axis)) for axis in (0, 1)]
        for axis, bend in enumerate(bends):  # beyond the image's border nothing is known
            bend[(slice(None),) * axis + ([0, -1],)] = 0
        bent = np.maximum(*map(np.abs, bends)) * depth_m**2
        return (jump > self.edge_m) & (maximum_filter(bent, 3) > 0.25 * self.edge_m)

    def _wobble(self, depth_m: Float[np.ndarray, "h w"], rng: np.random.Generator) -> np.ndarray:
        """Each pixel takes a neighbour's depth: this frays edges, and leaves planes facing the camera."""
        grid = np.indices(depth_m.shape).astype(np.float64)
        shift = gaussian_filter(rng.standard_normal(grid.shape), (0, 1.0, 1.0))
        grid += self.lateral_px * shift / shift.std()
        return map_coordinates(depth_m, grid, order=0, mode="nearest")

    def _bleed(
        self, depth_m: Float[np.ndarray, "h w"], edges: Bool[np.ndarray, "h w"], rng: np.random.Generator
    ) -> np.ndarray:
        near, far = minimum_filter(depth_m, 3), maximum_filter(depth_m, 3)
        chosen = edges & (near > 0) & (rng.random(depth_m.shape) < self.edge_mix_share)
        return np.where(chosen, near + rng.random(depth_m.shape) * (far - near), depth_m)

    def _quantise(self, depth_m: Float[np.ndarray, "h w"], *, focal_px: float) -> np.ndarray:
        scale = focal_px * self.baseline_m
        disparity = scale / np.maximum(depth_m, 1e-3)
        steps = np.maximum(np.round(disparity / self.disparity_step_px), 1)
        return scale / (steps * self.disparity_step_px)

    def _blobs(self, shape: tuple[int, ...], rng: np.random.Generator) -> Bool[np.ndarray, "h w"]:
        if self.blob_share <= 0:
            return np.zeros(shape, dtype=bool)
        cloud = gaussian_filter(rng.standard_normal(shape), max(shape) / 100)
        return cloud > np.quantile(cloud, 1 - self.blob_share)
