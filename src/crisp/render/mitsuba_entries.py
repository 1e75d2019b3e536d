"""Our records in Mitsuba's words: shapes, lights, sensors."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from crisp.errors import InputError
from crisp.render.backend import mitsuba
from crisp.render.scene import Light, Panel, Placed, View
from crisp.render.shading import ShadedMesh

Finish = Literal["painted", "grey", "glowing"]
Window = tuple[int, int, int, int]
GREY = 0.5
NEAR_M = 0.01
FAR_M = 100.0
_MITSUBA_FROM_OPENCV = np.diag([-1.0, -1.0, 1.0, 1.0])  # its cameras look along z with x left and y up


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


def panel_shape(panel: Panel, finish: Finish) -> Any:
    mi = mitsuba()
    scale = np.diag([*panel.half_size_m, 1.0, 1.0])
    kind, entry = _finished(panel.texture, panel.roughness, finish, panel.repeats)
    to_world = mi.ScalarTransform4f(panel.T_world_panel @ scale)
    return mi.load_dict({"type": "rectangle", "to_world": to_world, kind: entry})


def map_entry(radiance: Float[np.ndarray, "h w 3"]) -> dict[str, Any]:
    mi = mitsuba()
    turn = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # its maps have y up
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
