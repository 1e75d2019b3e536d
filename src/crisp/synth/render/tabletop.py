"""Render tabletop scenes from a seed: colour from Mitsuba, depth and masks from one ray per pixel centre.

Mitsuba has square pixels only; `with_square_pixels` stretches the scene for cameras with fx != fy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from crisp.geometry.camera import Camera
from crisp.shape.raster import shade
from crisp.synth.render.arrangement import Resting, Spacing, Viewpoints, arrange, draw_view
from crisp.synth.render.looks import (
    Look,
    draw_exposure,
    draw_light,
    random_backdrop,
    random_clutter,
    random_table,
    random_walls,
)
from crisp.synth.render.scene import (
    GREY,
    NEAR_M,
    Finish,
    Geometry,
    Light,
    Panel,
    Placed,
    View,
    Window,
    develop,
    light_entries,
    map_entry,
    mitsuba,
    object_shape,
    panel_shape,
    sensor,
    without_speckle,
)
from crisp.synth.render.sensor import smooth_light
from crisp.types import ObjectModel

SHEEN = 0.03  # so that highlights are visible on black objects


class TableScene:
    """Objects and panels, built once and rendered for several cameras and lights.

    Args:
        objects: in the order of the geometry's masks.
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
        """Linear radiance by path tracing, float32; 1 bounce is direct light."""
        scene = self._scene("painted", light_entries(light))
        integrator = {"type": "path", "max_depth": bounces + 1, "rr_depth": 100}
        return _render(scene, view, integrator=integrator, samples=samples, seed=seed)

    def direct(
        self, view: View, light: Light, geometry: Geometry, *, seed: int
    ) -> Float[np.ndarray, "h w 3"]:
        """Linear radiance under direct light, float32: albedo times irradiance, each rendered separately.

        Irradiance on grey surfaces can be smoothed without blurring textures, so a pixel needs few rays. The
        price is that highlights take on some of the surface's colour.
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
        """Depth and masks. Each object is ray traced alone in its image window, panels are intersected in
        closed form. This is exact, includes occluded parts, and takes a tenth of the time of Mitsuba's own
        hit records."""
        height, width = view.camera.height, view.camera.width
        rays = view.camera.rays()
        secant = np.linalg.norm(rays, axis=-1)
        depths = np.full((len(self.objects), height, width), np.inf, dtype=np.float32)
        for depth, placed, alone in zip(depths, self.objects, self._alone, strict=True):
            window = _window(view, placed.vertices_world)
            if window is not None:
                left, top, right, bottom = window
                distance = self._distance(view, alone, window)
                # Mitsuba measures distances along the ray, from the near plane.
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
        # Without jitter, a pixel's single stratified sample is at its centre.
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
    if points[:, 2].min() <= NEAR_M:  # reaches behind the camera, so it may project anywhere
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


def with_square_pixels(scene: TableScene, view: View) -> tuple[TableScene, View]:
    """A scene and a view with fx = fy that give the same image; the arguments themselves where fx = fy.

    v = fy y / z + cy equals fx (y fy / fx) / z + cy, so the scene is stretched along the camera's y axis, by
    0.14 % in NOCS. Depth and silhouettes stay exact; shading is that of the stretched scene.
    """
    K = view.camera.K
    if K[0, 0] == K[1, 1]:
        return scene, view
    stretch = np.diag([1.0, K[1, 1] / K[0, 0], 1.0, 1.0])
    W = view.T_world_camera @ stretch @ np.linalg.inv(view.T_world_camera)
    objects = tuple(replace(item, T_world_object=W @ item.T_world_object) for item in scene.objects)
    panels = tuple(replace(panel, T_world_panel=W @ panel.T_world_panel) for panel in scene.panels)
    K_square = K.copy()
    K_square[1, 1] = K[0, 0]
    camera = Camera(K_square, view.camera.width, view.camera.height)
    return TableScene(objects, panels, scene.backdrop), View(camera, view.T_world_camera)


@dataclass(frozen=True, eq=False)
class SeenObject:
    """An object in an image.

    Args:
        index: of its model in the list of models.
        mask: (H, W), the full silhouette within the image (amodal).
        mask_visible: (H, W), the visible part (modal).
    """

    index: int
    T_camera_object: Float[np.ndarray, "4 4"]
    mask: Bool[np.ndarray, "h w"]
    mask_visible: Bool[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Picture:
    """One rendered view with its ground truth; depth in metres, 0 = no value.

    Args:
        T_world_camera: (4, 4), the camera's pose; world z up, the table at z = 0.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    depth_m: Float[np.ndarray, "h w"]
    camera: Camera
    objects: tuple[SeenObject, ...]
    T_world_camera: Float[np.ndarray, "4 4"]


def pictures(
    models: tuple[ObjectModel, ...],
    *,
    views: int,
    viewpoints: Viewpoints,
    look: Look,
    seed: int,
    spacing: Spacing | None = None,
    resting: Resting | None = None,
) -> Iterator[Picture]:
    """`views` images of one table with all `models` on it, reproducible from `seed`.

    Placement and cameras have their own random stream, so that two looks of one seed show the same objects in
    the same poses.
    """
    layout, surroundings, appearance = (np.random.default_rng((seed, stream)) for stream in range(3))
    wanted = arrange(models, spacing=spacing or Spacing(), rng=layout, resting=resting)
    clutter = random_clutter(int(surroundings.integers(look.clutter[0], look.clutter[1] + 1)), surroundings)
    everything = arrange(clutter, spacing=spacing or Spacing(), rng=surroundings, standing=wanted)
    panels = random_table(surroundings) + random_walls(surroundings)
    scene = TableScene(everything, panels, random_backdrop(surroundings))
    for _ in range(views):
        view = draw_view(viewpoints, wanted, layout)
        drawn, seen_from = with_square_pixels(scene, view)
        geometry = drawn.geometry(seen_from)
        light, exposure = draw_light(look, appearance), draw_exposure(look, appearance)
        render_seed = int(appearance.integers(2**31))
        if look.samples:
            noisy = drawn.traced(
                seen_from, light, samples=look.samples, bounces=look.bounces, seed=render_seed
            )
            radiance = without_speckle(noisy)
        else:
            radiance = drawn.direct(seen_from, light, geometry, seed=render_seed)
        depth_m = geometry.depth_m
        if look.sensor is not None:
            depth_m = look.sensor.measure(depth_m, view.camera, appearance)
        rgb = develop(radiance, exposure, appearance)
        seen = _seen(scene, view, geometry, count=len(models))
        yield Picture(rgb, depth_m, view.camera, seen, view.T_world_camera)


def _seen(scene: TableScene, view: View, geometry: Geometry, *, count: int) -> tuple[SeenObject, ...]:
    """Those of the scene's first `count` objects that are at least partly within the image."""
    T_camera_world = np.linalg.inv(view.T_world_camera)
    return tuple(
        SeenObject(
            index=index,
            T_camera_object=T_camera_world @ scene.objects[index].T_world_object,
            mask=geometry.masks[index],
            mask_visible=geometry.visible[index],
        )
        for index in range(count)
        if geometry.masks[index].any()
    )
