"""Two image-space models: an edge-aware denoiser for sparsely sampled light, and a depth camera's errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation, gaussian_filter, map_coordinates, maximum_filter, minimum_filter

from crisp.geometry.camera import Camera

STEPS_PX = (1, 2, 4)
PLANE_M = 0.002
CONTRAST = 1.0
NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))
MARGIN_PX = max(STEPS_PX)


def smooth_light(
    light: Float[np.ndarray, "h w 3"], depth_m: Float[np.ndarray, "h w"], camera: Camera
) -> Float[np.ndarray, "h w 3"]:
    """Edge-avoiding wavelets (Dammertz et al., HPG 2010): binomial 3x3 means at growing steps.

    A neighbour's weight falls with its depth's deviation from the pixel's tangent plane, with the angle
    between their normals, and with their difference in brightness. Surfaces come from exact depth; pixels
    without a surface (depth 0) are not changed.
    """
    depth = np.asarray(depth_m, dtype=np.float32)
    slopes = _slope(depth, axis=0), _slope(depth, axis=1)
    normals = _padded(_normals(depth, slopes, camera))
    depth_around = _padded(depth[None])[0]
    trust = _padded(_trust(depth, slopes)[None])[0]
    channels = np.ascontiguousarray(np.moveaxis(np.asarray(light, dtype=np.float32), 2, 0))
    for step in STEPS_PX:
        around = _padded(channels)
        brightness = around.mean(axis=0)
        local = _box_mean(brightness)
        scale = 1 / (CONTRAST * local + 1e-6)
        own = 4 * np.exp(-np.abs(_centre(brightness) - local) * scale) * _centre(trust)
        total, weights = own * channels, own.copy()
        for dy, dx in NEIGHBOURS:
            there = _window(depth.shape, dy * step, dx * step)
            off = np.abs(depth_around[there] - depth - step * (dy * slopes[0] + dx * slopes[1]))
            off *= -1 / PLANE_M
            off -= np.abs(brightness[there] - local) * scale
            facing = sum(here * other[there] for here, other in zip(_centre(normals), normals, strict=True))
            weight = np.exp(off) * np.maximum(facing, 0) ** 8
            weight *= trust[there] * (4 >> (abs(dy) + abs(dx)))
            for mean, channel in zip(total, around, strict=True):
                mean += weight * channel[there]
            weights += weight
        channels = np.where((depth > 0) & (weights > 1e-9), total / np.maximum(weights, 1e-9), channels)
        trust.fill(1.0)  # edge pixels have now taken their light from inside the surface
    return np.moveaxis(channels, 0, 2)


def _trust(
    depth: Float[np.ndarray, "h w"], slopes: tuple[np.ndarray, np.ndarray]
) -> Float[np.ndarray, "h w"]:
    """A pixel's weight: almost 0 at edges, where its few rays may have hit the other surface."""
    around = _padded(depth[None])[0]
    smooth = np.ones(depth.shape, dtype=bool)
    for dy, dx in NEIGHBOURS:
        there = around[_window(depth.shape, dy, dx)]
        smooth &= np.abs(there - depth - dy * slopes[0] - dx * slopes[1]) < 2 * PLANE_M
    return np.where(smooth, 1.0, 1e-3).astype(np.float32)


def _slope(depth: Float[np.ndarray, "h w"], *, axis: int) -> Float[np.ndarray, "h w"]:
    """Depth gradient per pixel: the smaller of the two one-sided differences, which does not span edges."""
    step = np.diff(depth, axis=axis)
    last, first = step.take([-1], axis=axis), step.take([0], axis=axis)
    forward, backward = np.concatenate([step, last], axis), np.concatenate([first, step], axis)
    return np.where(np.abs(forward) <= np.abs(backward), forward, backward)


def _normals(
    depth: Float[np.ndarray, "h w"], slopes: tuple[np.ndarray, np.ndarray], camera: Camera
) -> Float[np.ndarray, "3 h w"]:
    """Unit normals of a surface z(u, v): (fx z_u, fy z_v, -(z + (u - cx) z_u + (v - cy) z_v)) normalised."""
    K = camera.K.astype(np.float32)
    u = np.arange(camera.width, dtype=np.float32) - K[0, 2]
    v = (np.arange(camera.height, dtype=np.float32) - K[1, 2])[:, None]
    z_v, z_u = slopes
    normals = np.stack([K[0, 0] * z_u, K[1, 1] * z_v, -(depth + u * z_u + v * z_v)])
    return normals / np.maximum(np.sqrt((normals * normals).sum(axis=0)), 1e-12)


def _padded(channels: Float[np.ndarray, "c h w"]) -> Float[np.ndarray, "c a b"]:
    return np.pad(channels, ((0, 0), (MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX)), mode="edge")


def _window(shape: tuple[int, ...], dy: int, dx: int) -> tuple[slice, slice]:
    """Slices of a padded image that hold, for each pixel, the pixel at this offset."""
    return (
        slice(MARGIN_PX + dy, MARGIN_PX + dy + shape[0]),
        slice(MARGIN_PX + dx, MARGIN_PX + dx + shape[1]),
    )


def _centre(padded: np.ndarray) -> np.ndarray:
    return padded[..., MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def _box_mean(padded: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "h w"]:
    """5x5 mean, without the margin."""
    height, width = padded.shape[0] - 2 * MARGIN_PX, padded.shape[1] - 2 * MARGIN_PX
    first = MARGIN_PX - 2
    rows = np.sum([padded[first + k : first + k + height] for k in range(5)], axis=0)
    return np.sum([rows[:, first + k : first + k + width] for k in range(5)], axis=0) / 25


@dataclass(frozen=True)
class DepthSensor:
    """A model of structured-light depth cameras like the first Kinect.

    Axial and lateral noise follow Nguyen, Izadi and Lovell, "Modeling Kinect sensor noise for improved 3D
    reconstruction and tracking" (3DIMPVT 2012): sigma_z = 1.2 mm + 1.9 mm (z - 0.4 m)^2 / m^2, and about
    0.8 px sideways.

    Args:
        noise_m, noise_per_m: sigma_z = noise_m + noise_per_m (z - 0.4)^2.
        lateral_px: standard deviation of the lateral noise, which makes edges ragged.
        disparity_step_px: depth is quantised as disparity (1/8 px in the first Kinect).
        baseline_m: between projector and camera.
        grazing_deg: surfaces at a smaller angle to the ray give no value.
        edge_m: depth jumps larger than this are edges.
        edge_hole_share: share of edge pixels without a value.
        edge_mix_share: share of edge pixels whose value lies between the two sides (mixed pixels).
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
        """Simulate the measurement of an exact depth map; float32 metres, 0 = no value, in both."""
        seen = np.asarray(depth_m, dtype=np.float64)
        lost = (seen <= 0) | self._grazing(seen, camera)
        edges = self._edges(seen)
        measured = self._wobble(seen, rng)
        measured = self._bleed(measured, edges, rng)
        sigma = self.noise_m + self.noise_per_m * (measured - 0.4) ** 2
        # Correlation windows of neighbouring pixels overlap, so the noise is not white.
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
        # At an edge the difference spans two surfaces and is the slope of neither.
        smooth = ~binary_dilation(self._edges(depth_m), np.ones((3, 3)))
        return smooth & (sine < np.sin(np.radians(self.grazing_deg)))

    def _edges(self, depth_m: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
        # A steep but smooth surface is not an edge. Planes are linear in inverse depth (second difference 0).
        jump = maximum_filter(depth_m, 3) - minimum_filter(depth_m, 3)
        inverse = np.where(depth_m > 0, 1 / np.maximum(depth_m, 1e-3), 0.0)
        bends = [inverse - 0.5 * (np.roll(inverse, 1, axis) + np.roll(inverse, -1, axis)) for axis in (0, 1)]
        for axis, bend in enumerate(bends):  # nothing is known beyond the image border
            bend[(slice(None),) * axis + ([0, -1],)] = 0
        bent = np.maximum(*map(np.abs, bends)) * depth_m**2
        return (jump > self.edge_m) & (maximum_filter(bent, 3) > 0.25 * self.edge_m)

    def _wobble(self, depth_m: Float[np.ndarray, "h w"], rng: np.random.Generator) -> np.ndarray:
        """Each pixel takes a random neighbour's depth: edges fray, fronto-parallel planes stay flat."""
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
