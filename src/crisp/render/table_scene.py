"""What a camera sees of a scene: colour from Mitsuba, depth and masks from one centred ray a pixel."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from crisp.render.backend import mitsuba
from crisp.render.denoise import smooth_light
from crisp.render.mitsuba_entries import (
    GREY,
    NEAR_M,
    Finish,
    Window,
    light_entries,
    map_entry,
    object_shape,
    panel_shape,
    sensor,
)
from crisp.render.scene import Geometry, Light, Panel, Placed, View
from crisp.render.shading import shade

SHEEN = 0.03  # lets highlights show on black things


class TableScene:
    """Objects and panels, built once and seen by many views under many lights.

    Args:
        objects: the geometry's masks follow their order.
        panels: table, walls.
        backdrop: linear radiance behind all panels, latitude and longitude, for `direct`; black where None.
    """

    def __init__(
        self,
        objects: tuple[Placed, ...],
        panels: tuple[Panel, ...],
        backdrop: Float[np.ndarray, "h w 3"] | None = None,
    ) -> None:
        self.objects = objects
        self.panels = panels
        self.backdrop = np.zeros((2, 4, 3)) if backdrop is None else backdrop
        self._shaded = [shade(placed.model.surface) for placed in objects]
        self._depth = mitsuba().load_dict({"type": "depth", "block_size": 32})

    def traced(
        self, view: View, light: Light, *, samples: int, bounces: int, seed: int
    ) -> Float[np.ndarray, "h w 3"]:
        """Linear radiance by path tracing, float32; 1 bounce is light that comes straight from a lamp."""
        scene = self._scene("painted", light_entries(light))
        integrator = {"type": "path", "max_depth": bounces + 1, "rr_depth": 100}
        return _render(scene, view, integrator=integrator, samples=samples, seed=seed)

    def direct(
        self, view: View, light: Light, geometry: Geometry, *, seed: int
    ) -> Float[np.ndarray, "h w 3"]:
        """Linear radiance under direct light, float32: colours times light, each rendered for itself.

        Light alone, on grey surfaces, can be smoothed without blurring what is printed on them, so one
        pixel needs few rays. Highlights take some of the surface's colour: the price of it.
        """
        colours = _render(
            self._glowing, view, integrator={"type": "path", "max_depth": 1}, samples=3, seed=seed
        )
        integrator = {"type": "direct", "emitter_samples": 2, "bsdf_samples": 2}
        scene = self._scene("grey", light_entries(light))
        grey = _render(scene, view, integrator=integrator, samples=1, seed=seed + 1)
        smooth = smooth_light(grey, geometry.depth_m, view.camera)
        lit = (colours + SHEEN) * smooth / (GREY + SHEEN)
        return np.where((geometry.depth_m > 0)[..., None], lit, colours)

    def _scene(self, finish: Finish, lights: dict[str, Any]) -> Any:
        return mitsuba().load_dict({"type": "scene", **self._shapes(finish), **lights})

    def _shapes(self, finish: Finish) -> dict[str, Any]:
        if finish not in self._built:
            self._built[finish] = {
                f"object_{index}": object_shape(placed, shaded, finish)
                for index, (placed, shaded) in enumerate(zip(self.objects, self._shaded, strict=True))
            } | {f"panel_{index}": panel_shape(panel, finish) for index, panel in enumerate(self.panels)}
        return self._built[finish]

    @cached_property
    def _built(self) -> dict[Finish, dict[str, Any]]:
        return {}

    @cached_property
    def _glowing(self) -> Any:
        return self._scene("glowing", {"backdrop": map_entry(self.backdrop)})

    @cached_property
    def _alone(self) -> list[Any]:
        """One scene for each object."""
        shapes = (object_shape(p, s, "grey") for p, s in zip(self.objects, self._shaded, strict=True))
        return [mitsuba().load_dict({"type": "scene", "shape": shape}) for shape in shapes]

    def geometry(self, view: View) -> Geometry:
        """Depth and masks. Each object is traced alone in its own window, panels are solved on paper:
        this is exact, gives hidden parts as well, and costs a tenth of Mitsuba's own record of hits."""
        height, width = view.camera.height, view.camera.width
        rays = view.camera.rays()
        secant = np.linalg.norm(rays, axis=-1)
        depths = np.full((len(self.objects), height, width), np.inf, dtype=np.float32)
        for depth, placed, alone in zip(depths, self.objects, self._alone, strict=True):
            window = _window(view, placed.vertices_world)
            if window is not None:
                left, top, right, bottom = window
                distance = self._distance(view, alone, window)
                # Distances run along the ray from the near plane on.
                here = distance / secant[top:bottom, left:right] + NEAR_M
                depth[top:bottom, left:right] = np.where(distance > 0, here, np.inf)
        background = np.full((height, width), np.inf)
        for panel in self.panels:
            background = np.minimum(background, _panel_depth(rays, view.T_world_camera, panel))
        nearest = np.minimum(depths.min(axis=0, initial=np.inf), background)
        masks = np.isfinite(depths)
        return Geometry(
            depth_m=np.where(np.isfinite(nearest), nearest, 0.0).astype(np.float32),
            masks=masks,
            visible=masks & (depths <= nearest),
        )

    def _distance(self, view: View, alone: Any, window: Window) -> Float[np.ndarray, "h w"]:
        # Without jitter, the one stratified sample of a pixel is its centre.
        sampler = {"type": "stratified", "sample_count": 1, "jitter": False}
        window_sensor = sensor(view, sampler=sampler, window=window)
        image = mitsuba().render(alone, sensor=window_sensor, integrator=self._depth, spp=1)
        return np.array(image)[..., 0]


def _render(
    scene: Any, view: View, *, integrator: dict[str, Any], samples: int, seed: int
) -> Float[np.ndarray, "h w 3"]:
    mi = mitsuba()
    view_sensor = sensor(view, sampler={"type": "independent", "sample_count": samples})
    integrator = integrator | {"block_size": 32}
    image = mi.render(scene, sensor=view_sensor, integrator=mi.load_dict(integrator), spp=samples, seed=seed)
    return np.array(image, dtype=np.float32)


def _window(view: View, vertices_world: Float[np.ndarray, "v 3"]) -> Window | None:
    """Left, top, right, bottom (exclusive) around the vertices' projections; None off the image."""
    camera = view.camera
    T_camera_world = np.linalg.inv(view.T_world_camera)
    points = vertices_world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    if points[:, 2].max() <= NEAR_M:
        return None
    if points[:, 2].min() <= NEAR_M:  # reaches behind the camera: it may be anywhere
        return 0, 0, camera.width, camera.height
    pixels = camera.project(points)
    left, top = np.maximum(np.floor(pixels.min(axis=0)).astype(int), 0)
    right, bottom = np.ceil(pixels.max(axis=0)).astype(int) + 1
    right, bottom = min(int(right), camera.width), min(int(bottom), camera.height)
    return None if left >= right or top >= bottom else (int(left), int(top), right, bottom)


def _panel_depth(
    rays: Float[np.ndarray, "h w 3"], T_world_camera: Float[np.ndarray, "4 4"], panel: Panel
) -> Float[np.ndarray, "h w"]:
    T_panel_camera = np.linalg.inv(panel.T_world_panel) @ T_world_camera
    origin = T_panel_camera[:3, 3]
    directions = rays @ T_panel_camera[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = -origin[2] / directions[..., 2]
        hit = origin + depth[..., None] * directions
        inside = (np.abs(hit[..., :2]) <= panel.half_size_m).all(axis=-1)
    return np.where(inside & (depth > NEAR_M), depth, np.inf)
