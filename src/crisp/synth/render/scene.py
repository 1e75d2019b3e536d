"""Scenes for Mitsuba 3: shapes, lights and cameras, conversion to Mitsuba, and exposure to 8-bit images.

World frame: z up, metres; cameras have OpenCV axes. Mitsuba's scalar variant needs neither LLVM nor a GPU.
An image is made from linear radiance by exposure, lens blur, noise and the sRGB curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import convolve, gaussian_filter

from crisp.errors import InputError, needing
from crisp.geometry.camera import Camera
from crisp.shape.raster import ShadedMesh
from crisp.types import ObjectModel

VARIANT = "scalar_rgb"


def mitsuba() -> ModuleType:
    """The `mitsuba` module, ready for use (importing it takes a second, so callers do it late)."""
    with needing("synth"):
        import mitsuba as mi

    if mi.variant() != VARIANT:
        mi.set_variant(VARIANT)
        mi.set_log_level(mi.LogLevel.Error)
    return mi


def limit_threads(count: int) -> None:
    """Set the number of render threads of this process; use 1 with one process per core."""
    import drjit as dr

    mitsuba()
    dr.set_thread_count(count)


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
    """A textured, two-sided rectangle (table, wall).

    Args:
        T_world_panel: the rectangle is |x| <= half_size_m[0], |y| <= half_size_m[1], z = 0 in this frame.
        repeats: number of texture repetitions along x and y.
    """

    T_world_panel: Float[np.ndarray, "4 4"]
    half_size_m: tuple[float, float]
    texture: UInt8[np.ndarray, "h w 3"]
    repeats: tuple[float, float] = (1.0, 1.0)
    roughness: float = 1.0


@dataclass(frozen=True, eq=False)
class Lamp:
    """A spherical light; `radiance` is linear RGB."""

    centre_world: Float[np.ndarray, " 3"]
    radius_m: float
    radiance: Float[np.ndarray, " 3"]


@dataclass(frozen=True, eq=False)
class Light:
    """All lights of a scene: lamps, and an environment map (latitude-longitude, linear radiance)."""

    lamps: tuple[Lamp, ...]
    surroundings: Float[np.ndarray, "h w 3"]


@dataclass(frozen=True, eq=False)
class View:
    """A camera and where it stands."""

    camera: Camera
    T_world_camera: Float[np.ndarray, "4 4"]


@dataclass(frozen=True, eq=False)
class Geometry:
    """Depth and masks of a view, exact at pixel centres.

    Args:
        depth_m: (H, W) float32 along the optical axis; 0 where nothing is hit.
        masks: (N, H, W), each object's full silhouette within the image (amodal).
        visible: (N, H, W), its visible part (modal).
    """

    depth_m: Float[np.ndarray, "h w"]
    masks: Bool[np.ndarray, "n h w"]
    visible: Bool[np.ndarray, "n h w"]


@dataclass(frozen=True, eq=False)
class Exposure:
    """Exposure, blur and noise of a camera.

    Args:
        brightness: linear value to which the metered brightness is exposed (0.2 is well exposed).
        balance: linear gain per channel.
        defocus_px: standard deviation of the defocus blur.
        motion_px: (u, v) shift of the image while the shutter is open.
        read_noise: standard deviation, as a share of white.
        shot_noise: standard deviation at white; it grows with the square root of the light.
    """

    brightness: float = 0.2
    balance: Float[np.ndarray, " 3"] | tuple[float, float, float] = (1.0, 1.0, 1.0)
    defocus_px: float = 0.0
    motion_px: tuple[float, float] = (0.0, 0.0)
    read_noise: float = 0.0
    shot_noise: float = 0.0


def develop(
    radiance: Float[np.ndarray, "h w 3"],
    exposure: Exposure,
    rng: np.random.Generator,
    *,
    metered: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """An sRGB image from linear radiance.

    Args:
        metered: mask of the pixels that the exposure is metered on, at least one; all by default.
    """
    measured = radiance.reshape(-1, 3) if metered is None else radiance[metered]
    image = radiance * (exposure.brightness / _metered(measured))
    image = np.minimum(image * np.asarray(exposure.balance, dtype=np.float32), 4.0)  # sensor saturation
    if exposure.defocus_px > 0:
        image = gaussian_filter(image, (exposure.defocus_px, exposure.defocus_px, 0))
    if max(map(abs, exposure.motion_px)) >= 1:
        image = convolve(image, _streak(exposure.motion_px)[..., None], mode="nearest")
    if exposure.read_noise > 0 or exposure.shot_noise > 0:
        sigma = np.sqrt(exposure.read_noise**2 + exposure.shot_noise**2 * np.clip(image, 0, 1))
        image = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return (srgb_from_linear(np.clip(image, 0, 1)) * 255).round().astype(np.uint8)


def _metered(radiance: Float[np.ndarray, "n 3"]) -> float:
    """The metered brightness: between the median and the value at which the brightest parts become white, so
    that white objects on a dark table are not overexposed."""
    middle, bright = np.quantile(radiance.mean(axis=1), (0.5, 0.96))
    return max(float(np.sqrt(middle * 0.3 * bright)), 1e-6)


def srgb_from_linear(linear: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The curve of IEC 61966-2-1; input and output in 0..1."""
    linear = np.maximum(linear, 1e-9)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def linear_from_srgb(srgb: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The inverse of `srgb_from_linear`."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def without_speckle(image: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    """3x3 median per channel: removes single bright pixels (fireflies) that few samples leave."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = image.shape[:2]
    p = [padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    # The smallest exchange network for the median of nine values (Paeth, Graphics Gems, 1990).
    for a, b in _EXCHANGES:
        p[a], p[b] = np.minimum(p[a], p[b]), np.maximum(p[a], p[b])
    return p[4]


_EXCHANGES = (
    (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
    (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
)  # fmt: skip


def _streak(motion_px: tuple[float, float]) -> Float[np.ndarray, "k k"]:
    half = int(np.ceil(max(map(abs, motion_px)) / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.float32)
    for share in np.linspace(-0.5, 0.5, 4 * half + 1):
        kernel[round(half + share * motion_px[1]), round(half + share * motion_px[0])] += 1
    return kernel / kernel.sum()


Finish = Literal["painted", "grey", "glowing"]
Window = tuple[int, int, int, int]
GREY = 0.5
NEAR_M = 0.01
FAR_M = 100.0
_MITSUBA_FROM_OPENCV = np.diag([-1.0, -1.0, 1.0, 1.0])  # Mitsuba's cameras look along z with x left and y up


def object_shape(placed: Placed, shaded: ShadedMesh, finish: Finish) -> Any:
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
    *,
    repeats: tuple[float, float] = (1.0, 1.0),
) -> tuple[str, dict[str, Any]]:
    """The Mitsuba plugin for a shape's material, or for its light if "glowing": key and dictionary."""
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


def panel_shape(panel: Panel, finish: Finish) -> Any:
    mi = mitsuba()
    scale = np.diag([*panel.half_size_m, 1.0, 1.0])
    kind, entry = _finished(panel.texture, panel.roughness, finish, repeats=panel.repeats)
    to_world = mi.ScalarTransform4f(panel.T_world_panel @ scale)
    return mi.load_dict({"type": "rectangle", "to_world": to_world, kind: entry})


def map_entry(radiance: Float[np.ndarray, "h w 3"]) -> dict[str, Any]:
    mi = mitsuba()
    turn = np.array(
        [[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    )  # Mitsuba's environment maps have y up
    bitmap = mi.Bitmap(np.ascontiguousarray(radiance, dtype=np.float32))
    return {"type": "envmap", "bitmap": bitmap, "to_world": mi.ScalarTransform4f(turn)}


def light_entries(light: Light) -> dict[str, Any]:
    entries: dict[str, Any] = {"surroundings": map_entry(light.surroundings)}
    for index, lamp in enumerate(light.lamps):
        radiance = {"type": "rgb", "value": [float(value) for value in lamp.radiance]}
        entries[f"lamp_{index}"] = {
            "type": "sphere",
            "center": [float(value) for value in lamp.centre_world],
            "radius": float(lamp.radius_m),
            "emitter": {"type": "area", "radiance": radiance},
        }
    return entries


def sensor(view: View, *, sampler: dict[str, Any], window: Window | None = None) -> Any:
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
        "rfilter": {
            "type": "box"
        },  # no sum over neighbouring blocks, so the result does not depend on their order
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
            # Mitsuba puts 0 at the film's border, we at the first pixel centre: half a pixel apart.
            "principal_point_offset_x": float(0.5 - (K[0, 2] + 0.5) / width),
            "principal_point_offset_y": float(0.5 - (K[1, 2] + 0.5) / height),
            "to_world": mi.ScalarTransform4f(view.T_world_camera @ _MITSUBA_FROM_OPENCV),
            "near_clip": NEAR_M,
            "far_clip": FAR_M,
            "film": film,
            "sampler": sampler,
        }
    )
