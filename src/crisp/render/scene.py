"""A scene and what a camera sees of it: colour from Mitsuba, depth and masks from one centred ray a pixel.

World frame: z up, metres. Cameras are OpenCV's, pixel centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from crisp.errors import InputError
from crisp.geometry.camera import Camera
from crisp.objects import ObjectModel
from crisp.render.backend import mitsuba
from crisp.render.denoise import smooth_light
from crisp.render.shading import ShadedMesh, shade

Finish = Literal["painted", "grey", "glowing"]
GREY = 0.5
SHEEN = 0.03  # lets highlights show on black things
NEAR_M = 0.01
FAR_M = 100.0
_MITSUBA_FROM_OPENCV = np.diag([-1.0, -1.0, 1.0, 1.0])  # its cameras look along z with x left and y up


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
        scene = self._scene("painted", _light_dicts(light))
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
        scene = self._scene("grey", _light_dicts(light))
        grey = _render(scene, view, integrator=integrator, samples=1, seed=seed + 1)
        smooth = smooth_light(grey, geometry.depth_m, view.camera)
        lit = (colours + SHEEN) * smooth / (GREY + SHEEN)
        return np.where((geometry.depth_m > 0)[..., None], lit, colours)

    def _scene(self, finish: Finish, lights: dict[str, Any]) -> Any:
        return mitsuba().load_dict({"type": "scene", **self._shapes(finish), **lights})

    def _shapes(self, finish: Finish) -> dict[str, Any]:
        if finish not in self._built:
            self._built[finish] = {
                f"object_{index}": _object_shape(placed, shaded, finish)
                for index, (placed, shaded) in enumerate(zip(self.objects, self._shaded, strict=True))
            } | {f"panel_{index}": _panel_shape(panel, finish) for index, panel in enumerate(self.panels)}
        return self._built[finish]

    @cached_property
    def _built(self) -> dict[Finish, dict[str, Any]]:
        return {}

    @cached_property
    def _glowing(self) -> Any:
        return self._scene("glowing", {"backdrop": _map_dict(self.backdrop)})

    @cached_property
    def _alone(self) -> list[Any]:
        """One scene for each object."""
        shapes = (_object_shape(p, s, "grey") for p, s in zip(self.objects, self._shaded, strict=True))
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

    def _distance(
        self, view: View, alone: Any, window: tuple[int, int, int, int]
    ) -> Float[np.ndarray, "h w"]:
        # Without jitter, the one stratified sample of a pixel is its centre.
        sampler = {"type": "stratified", "sample_count": 1, "jitter": False}
        sensor = _sensor(view, sampler=sampler, window=window)
        image = mitsuba().render(alone, sensor=sensor, integrator=self._depth, spp=1)
        return np.array(image)[..., 0]


def _render(
    scene: Any, view: View, *, integrator: dict[str, Any], samples: int, seed: int
) -> Float[np.ndarray, "h w 3"]:
    mi = mitsuba()
    sensor = _sensor(view, sampler={"type": "independent", "sample_count": samples})
    integrator = integrator | {"block_size": 32}
    image = mi.render(scene, sensor=sensor, integrator=mi.load_dict(integrator), spp=samples, seed=seed)
    return np.array(image, dtype=np.float32)


def _object_shape(placed: Placed, shaded: ShadedMesh, finish: Finish) -> Any:
    mi = mitsuba()
    properties = mi.Properties()
    kind, entry = _finished(placed.model.surface.texture, placed.model.roughness, finish)
    properties[kind] = mi.load_dict(entry)
    mesh = mi.Mesh(
        placed.model.name,
        len(shaded.vertices),
        len(shaded.faces),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=properties,
    )
    T = placed.T_world_object
    buffers = mi.traverse(mesh)
    buffers["vertex_positions"] = _flat(shaded.vertices @ T[:3, :3].T + T[:3, 3])
    buffers["vertex_normals"] = _flat(shaded.normals @ T[:3, :3].T)
    buffers["vertex_texcoords"] = _flat(shaded.uv * [1, -1] + [0, 1])  # Mitsuba's v = 0 is the first row
    buffers["faces"] = shaded.faces.astype(np.uint32).ravel()
    buffers.update()
    return mesh


def _flat(values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " m"]:
    return np.ascontiguousarray(values, dtype=np.float32).ravel()


def _finished(
    texture: UInt8[np.ndarray, "h w 3"],
    roughness: float,
    finish: Finish,
    repeats: tuple[float, float] = (1.0, 1.0),
) -> tuple[str, dict[str, Any]]:
    """A material, or for "glowing" a light, that is given to a shape: its key and its description."""
    mi = mitsuba()
    colour: dict[str, Any] = {"type": "rgb", "value": GREY}
    if finish != "grey":
        colour = {
            "type": "bitmap",
            "bitmap": mi.Bitmap(np.ascontiguousarray(texture)),
            "wrap_mode": "mirror" if repeats != (1.0, 1.0) else "clamp",
            "to_uv": mi.ScalarTransform4f(np.diag([*repeats, 1.0, 1.0])),
        }
    if finish == "glowing":
        return "emitter", {"type": "area", "radiance": colour}
    if roughness >= 1.0:
        return "bsdf", {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": colour}}
    shiny = {"type": "principled", "base_color": colour, "roughness": roughness, "specular": 0.4}
    return "bsdf", {"type": "twosided", "bsdf": shiny}


def _panel_shape(panel: Panel, finish: Finish) -> Any:
    mi = mitsuba()
    scale = np.diag([*panel.half_size_m, 1.0, 1.0])
    kind, entry = _finished(panel.texture, panel.roughness, finish, panel.repeats)
    to_world = mi.ScalarTransform4f(panel.T_world_panel @ scale)
    return mi.load_dict({"type": "rectangle", "to_world": to_world, kind: entry})


def _map_dict(radiance: Float[np.ndarray, "h w 3"]) -> dict[str, Any]:
    mi = mitsuba()
    turn = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # its maps have y up
    bitmap = mi.Bitmap(np.ascontiguousarray(radiance, dtype=np.float32))
    return {"type": "envmap", "bitmap": bitmap, "to_world": mi.ScalarTransform4f(turn)}


def _light_dicts(light: Light) -> dict[str, Any]:
    entries: dict[str, Any] = {"surroundings": _map_dict(light.surroundings)}
    for index, lamp in enumerate(light.lamps):
        radiance = {"type": "rgb", "value": [float(value) for value in lamp.radiance]}
        entries[f"lamp_{index}"] = {
            "type": "sphere",
            "center": [float(value) for value in lamp.centre_world],
            "radius": float(lamp.radius_m),
            "emitter": {"type": "area", "radiance": radiance},
        }
    return entries


def _sensor(view: View, *, sampler: dict[str, Any], window: tuple[int, int, int, int] | None = None) -> Any:
    mi = mitsuba()
    camera = view.camera
    K, width, height = camera.K, camera.width, camera.height
    if not np.isclose(K[0, 0], K[1, 1], rtol=1e-6) or K[0, 1] != 0:
        raise InputError("the renderer needs square pixels: K must have fx = fy and no skew.")
    film: dict[str, Any] = {
        "type": "hdrfilm",
        "width": width,
        "height": height,
        "pixel_format": "rgb",
        "component_format": "float32",
        "rfilter": {"type": "box"},  # no sum over neighbouring blocks, so no dependence on their order
    }
    if window is not None:
        left, top, right, bottom = window
        film |= {"crop_offset_x": left, "crop_offset_y": top}
        film |= {"crop_width": right - left, "crop_height": bottom - top}
    return mi.load_dict(
        {
            "type": "perspective",
            "fov_axis": "x",
            "fov": float(np.degrees(2 * np.arctan(width / (2 * K[0, 0])))),
            # The film's edge, not its first pixel centre, is at 0: half a pixel to ours.
            "principal_point_offset_x": float(0.5 - (K[0, 2] + 0.5) / width),
            "principal_point_offset_y": float(0.5 - (K[1, 2] + 0.5) / height),
            "to_world": mi.ScalarTransform4f(view.T_world_camera @ _MITSUBA_FROM_OPENCV),
            "near_clip": NEAR_M,
            "far_clip": FAR_M,
            "film": film,
            "sampler": sampler,
        }
    )


def _window(view: View, vertices_world: Float[np.ndarray, "v 3"]) -> tuple[int, int, int, int] | None:
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
