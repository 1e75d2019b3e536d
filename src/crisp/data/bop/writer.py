"""Writes data sets in the BOP format (https://github.com/thodan/bop_toolkit, docs/bop_datasets_format.md).

Metres come in, millimetres go to disk. A scene appears under its name only when it is complete, so a
run that was broken off is continued by writing the scenes for which `has_scene` is false.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy.spatial import KDTree

from crisp.errors import InputError
from crisp.files import part_folder, write_whole
from crisp.geometry.camera import Camera
from crisp.geometry.points import diameter
from crisp.types import ObjectModel, Symmetries, TexturedMesh

MM_PER_M = 1000.0
DEPTH_MAX_RAW = 65535


@dataclass(frozen=True, eq=False)
class BopInstance:
    """One object of a frame.

    Args:
        object_id: from 1; the model's place in `write_models` plus 1.
        T_camera_object: (4, 4) float64, metres.
        mask: (H, W) bool, the whole silhouette, as if nothing stood before it.
        mask_visible: (H, W) bool, the visible part.
    """

    object_id: int
    T_camera_object: Float[np.ndarray, "4 4"]
    mask: Bool[np.ndarray, "h w"]
    mask_visible: Bool[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class BopFrame:
    """One labelled frame, as it goes to disk.

    Args:
        rgb: (H, W, 3) uint8.
        depth_m: (H, W) float32 metres, 0 = no value.
        T_world_camera: (4, 4) metres, where the camera stands in its scene; None where that is not known.

    Raises:
        InputError: an image or mask that is not of the camera's size, or depth that is not finite.
    """

    im_id: int
    rgb: UInt8[np.ndarray, "h w 3"]
    depth_m: Float[np.ndarray, "h w"]
    camera: Camera
    instances: tuple[BopInstance, ...]
    T_world_camera: Float[np.ndarray, "4 4"] | None = None

    def __post_init__(self) -> None:
        size = (self.camera.height, self.camera.width)
        masks = [m for i in self.instances for m in (i.mask, i.mask_visible)]
        if any(image.shape[:2] != size for image in (self.rgb, self.depth_m, *masks)):
            raise InputError(f"frame {self.im_id}: images and masks must all be of the camera's size {size}.")
        if not np.isfinite(self.depth_m).all():
            raise InputError(f"frame {self.im_id}: depth holds NaN or infinity; write 0 for no measurement.")


class BopWriter:
    """Writes models and scenes below one folder.

    Args:
        root: the data set's folder; made where it is missing.
        split: such as "train" or "test".
        depth_scale: raw value x depth_scale = millimetres; 0.1 reaches to 6.5 m.

    Raises:
        InputError: depth_scale is not positive.
    """

    def __init__(self, root: Path, split: str, depth_scale: float = 0.1) -> None:
        if not (np.isfinite(depth_scale) and depth_scale > 0):
            raise InputError(f"depth_scale must be a positive number, got {depth_scale}.")
        self.root = Path(root)
        self.split = split
        self.depth_scale = float(depth_scale)

    def write_models(self, models: Sequence[ObjectModel]) -> None:
        """Write `models/obj_0000XX.ply` (mm, coloured vertices) and `models_info.json`; ids count from 1."""
        folder = self.root / "models"
        folder.mkdir(parents=True, exist_ok=True)
        for object_id, model in enumerate(models, start=1):
            path = folder / f"obj_{object_id:06d}.ply"
            write_whole(path, _model_ply(model))
        infos = {str(object_id): _model_info(model) for object_id, model in enumerate(models, start=1)}
        write_whole(folder / "models_info.json", _json_lines(infos))

    def has_models(self) -> bool:
        """Whether the models are there: `models_info.json` is the last file of them that is written."""
        return (self.root / "models" / "models_info.json").is_file()

    def finish(self, models: Sequence[ObjectModel]) -> None:
        """Nothing is left to write."""

    def has_scene(self, scene_id: int) -> bool:
        """Whether the scene is there, complete."""
        return self._scene_folder(scene_id).is_dir()

    def write_scene(self, scene_id: int, frames: Iterable[BopFrame]) -> None:
        """Write one scene; `frames` may be a generator, so only one frame need be in memory.

        Raises:
            InputError: the scene is there already, or two frames share an id.
        """
        target = self._scene_folder(scene_id)
        if target.exists():
            raise InputError(f"{target} is there already: delete it or choose another folder.")
        with part_folder(target) as part:
            for name in ("rgb", "depth", "mask", "mask_visib"):
                (part / name).mkdir()
            cameras: dict[str, Any] = {}
            labels: dict[str, Any] = {}
            infos: dict[str, Any] = {}
            for frame in frames:
                key = str(frame.im_id)
                if key in cameras:
                    raise InputError(f"scene {scene_id}: two frames have the id {key}; ids must differ.")
                self._write_images(part, frame)
                cameras[key] = self._camera(frame)
                labels[key] = [_label(instance) for instance in frame.instances]
                infos[key] = [_label_info(instance, frame.depth_m > 0) for instance in frame.instances]
            for name, content in (("camera", cameras), ("gt", labels), ("gt_info", infos)):
                (part / f"scene_{name}.json").write_bytes(_json_lines(content))
            part.replace(target)

    def _camera(self, frame: BopFrame) -> dict[str, Any]:
        entry = {"cam_K": frame.camera.K.ravel().tolist(), "depth_scale": self.depth_scale}
        if frame.T_world_camera is None:
            return entry
        T_camera_world = np.linalg.inv(np.asarray(frame.T_world_camera, dtype=np.float64))
        return entry | {
            "cam_R_w2c": T_camera_world[:3, :3].ravel().tolist(),
            "cam_t_w2c": (T_camera_world[:3, 3] * MM_PER_M).tolist(),
        }

    def _scene_folder(self, scene_id: int) -> Path:
        return self.root / self.split / f"{scene_id:06d}"

    def _write_images(self, folder: Path, frame: BopFrame) -> None:
        name = f"{frame.im_id:06d}"
        write_png(folder / "rgb" / f"{name}.png", frame.rgb)
        write_png(folder / "depth" / f"{name}.png", self._raw_depth(frame.depth_m))
        for index, instance in enumerate(frame.instances):
            for kind, mask in (("mask", instance.mask), ("mask_visib", instance.mask_visible)):
                write_png(folder / kind / f"{name}_{index:06d}.png", mask.astype(np.uint8) * 255)

    def _raw_depth(self, depth_m: Float[np.ndarray, "h w"]) -> np.ndarray:
        """16-bit values; what does not fit becomes 0, "no measurement", for wrapping round would be a lie."""
        raw = np.rint(depth_m.astype(np.float64) * (MM_PER_M / self.depth_scale))
        return np.where((raw >= 0) & (raw <= DEPTH_MAX_RAW), raw, 0).astype(np.uint16)


def write_png(path: Path, image: np.ndarray) -> None:
    """An image, quickly."""
    # Level 1 costs a tenth more space than the default level and a fraction of its time.
    Image.fromarray(np.ascontiguousarray(image)).save(path, compress_level=1)


def _json_lines(content: dict[str, Any]) -> bytes:
    """A JSON object with one line for each key, as bop_toolkit writes it: short, and readable with `head`."""
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _label(instance: BopInstance) -> dict[str, Any]:
    T = np.asarray(instance.T_camera_object, dtype=np.float64)
    return {
        "cam_R_m2c": T[:3, :3].ravel().tolist(),
        "cam_t_m2c": (T[:3, 3] * MM_PER_M).tolist(),
        "obj_id": instance.object_id,
    }


def _label_info(instance: BopInstance, measured: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    whole, visible = int(instance.mask.sum()), int(instance.mask_visible.sum())
    return {
        "bbox_obj": _box(instance.mask),
        "bbox_visib": _box(instance.mask_visible),
        "px_count_all": whole,
        "px_count_valid": int((instance.mask & measured).sum()),
        "px_count_visib": visible,
        "visib_fract": visible / whole if whole else 0.0,
    }


def _box(mask: Bool[np.ndarray, "h w"]) -> list[int]:
    """Left, top, width, height in pixels; -1 four times for an empty mask, as in bop_toolkit."""
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return [-1, -1, -1, -1]
    left, top = int(columns.min()), int(rows.min())
    return [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]


def _model_ply(model: ObjectModel) -> bytes:
    mesh = trimesh.Trimesh(
        vertices=np.asarray(model.mesh.vertices, dtype=np.float64) * MM_PER_M,
        faces=model.mesh.faces,
        vertex_colors=_vertex_colours(model.surface, model.mesh.vertices),
        process=False,
    )
    content = mesh.export(file_type="ply")
    assert isinstance(content, bytes)
    return content


def _vertex_colours(surface: TexturedMesh, points: Float[np.ndarray, "v 3"]) -> UInt8[np.ndarray, "v 3"]:
    """The texture's colour at the surface vertex nearest to each point."""
    nearest = KDTree(surface.vertices).query(points)[1]
    u, v = surface.uv[nearest].T
    height, width = surface.texture.shape[:2]
    column = np.clip(np.floor(u * width), 0, width - 1).astype(np.int64)
    row = np.clip(np.floor((1.0 - v) * height), 0, height - 1).astype(np.int64)  # v = 0 is the last row
    return surface.texture[row, column]


def _model_info(model: ObjectModel) -> dict[str, Any]:
    vertices_mm = np.asarray(model.mesh.vertices, dtype=np.float64) * MM_PER_M
    lowest, extent = vertices_mm.min(axis=0), np.ptp(vertices_mm, axis=0)
    info: dict[str, Any] = {"diameter": diameter(vertices_mm)}
    info |= {f"min_{axis}": float(value) for axis, value in zip("xyz", lowest, strict=True)}
    info |= {f"size_{axis}": float(value) for axis, value in zip("xyz", extent, strict=True)}
    return info | _symmetries_mm(model.symmetries) | {"name": model.name, "kind": model.kind}


def _symmetries_mm(symmetries: Symmetries) -> dict[str, Any]:
    """BOP leaves out the keys of what an object does not have."""
    entries: dict[str, Any] = {}
    if symmetries.discrete:
        to_mm = np.ones((4, 4))
        to_mm[:3, 3] = MM_PER_M
        entries["symmetries_discrete"] = [(T * to_mm).ravel().tolist() for T in symmetries.discrete]
    if symmetries.continuous:
        entries["symmetries_continuous"] = [
            {"axis": np.asarray(axis).tolist(), "offset": (np.asarray(offset) * MM_PER_M).tolist()}
            for axis, offset in symmetries.continuous
        ]
    return entries
