"""Writes data sets in SPE3R's layout: satellites of unit size, 256x256 pictures, no depth."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy.spatial.transform import Rotation

from crisp.data.bop.writer import BopFrame, write_png
from crisp.data.mesh_files import obj_text
from crisp.errors import InputError
from crisp.files import part_folder, write_whole
from crisp.geometry.camera import Camera
from crisp.types import Mesh, ObjectModel

Role = Literal["train", "test"]
JPEG_QUALITY = 95
TEST_SHARE = 7 / 64  # of the satellites
SIZE_PX = 256
FOCAL_PX = 398.5
FOCAL_M, PIXEL_M = 0.017513, 5.86e-6  # of the pictured lens: what `fx` and `ppx` in the real file are


class Spe3rWriter:
    """Writes satellites below one folder.

    Args:
        root: the data set's folder; made where it is missing.
        satellites: name and role of each, in the order of `splits.csv`.
    """

    def __init__(self, root: Path, satellites: Mapping[str, Role]) -> None:
        self.root = Path(root)
        self.satellites = dict(satellites)

    def write_set(self, camera: Camera) -> None:
        """Write `camera.json` and `splits.csv`."""
        self.root.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(self.satellites.items())
        write_whole(self.root / "splits.csv", text.getvalue().encode())
        content = {
            "Nu": camera.width,
            "Nv": camera.height,
            "ppx": PIXEL_M,
            "ppy": PIXEL_M,
            "fx": FOCAL_M,
            "fy": FOCAL_M,
            "ccx": camera.K[0, 2],
            "ccy": camera.K[1, 2],
            "cameraMatrix": camera.K.tolist(),
            "distCoeffs": [0.0] * 5,
        }
        write_whole(self.root / "camera.json", (json.dumps(content, indent=1) + "\n").encode())

    def write_satellite(self, model: ObjectModel, frames: Iterable[BopFrame]) -> None:
        """Write one satellite, whose largest side becomes 1; the frames' numbers are the images'.

        Raises:
            InputError: it is there already, is not in `splits.csv`, or a frame does not show it alone.
        """
        target = self.root / model.name
        if model.name not in self.satellites:
            raise InputError(f"the satellite {model.name} is not among those of {self.root / 'splits.csv'}.")
        if target.exists():
            raise InputError(f"{target} is there already: delete it or choose another folder.")
        mesh, centre, size_m = unit_model(model.mesh)
        with part_folder(target) as part:
            for name in ("images", "masks", "models"):
                (part / name).mkdir()
            write_whole(part / "models" / "model_normalized.obj", obj_text(mesh, name=model.name))
            labels = [_write_frame(part, frame, centre=centre, size_m=size_m) for frame in frames]
            write_whole(part / "labels.json", json.dumps(labels, indent=1) + "\n")
            part.replace(target)


def unit_model(mesh: Mesh) -> tuple[Mesh, np.ndarray, float]:
    """The mesh with its box centred and its largest side 1; the centre and the side that it had."""
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    centre, size = (low + high) / 2, float((high - low).max())
    return Mesh((vertices - centre) / size, mesh.faces), centre, size


def image_numbers(count: int, role: Role) -> list[int]:
    """Numbers for `count` images, so that of a training satellite's a fifth are for validation.

    1-400 and 501-900 train, 401-500 and 901-1000 validate; of 1000 images these are all.
    """
    if role == "test":
        return list(range(1, count + 1))
    train = [*range(1, 401), *range(501, 901)]
    validation = [*range(401, 501), *range(901, 1001)]
    held = count // 5
    return sorted(train[: count - held] + validation[:held])


def role_of(number: int, count: int) -> Role:
    """Of `count` satellites the last 7 in 64 are for the test, at least one where there are two or more."""
    held = max(1, round(count * TEST_SHARE)) if count > 1 else 0
    return "test" if number > count - held else "train"


def spe3r_camera() -> Camera:
    """Square pixels, 36 degrees across 256 of them."""
    middle = SIZE_PX / 2
    K = np.array([[FOCAL_PX, 0.0, middle], [0.0, FOCAL_PX, middle], [0.0, 0.0, 1.0]])
    return Camera(K, SIZE_PX, SIZE_PX)


def _write_frame(folder: Path, frame: BopFrame, *, centre: np.ndarray, size_m: float) -> dict[str, object]:
    if len(frame.instances) != 1:
        raise InputError(f"frame {frame.im_id} shows {len(frame.instances)} objects: SPE3R has one an image.")
    instance, stem = frame.instances[0], f"img{frame.im_id:06d}"
    Image.fromarray(frame.rgb).save(folder / "images" / f"{stem}.jpg", quality=JPEG_QUALITY, subsampling=0)
    write_png(folder / "masks" / f"{stem}.png", _opaque(instance.mask_visible))
    T = np.asarray(instance.T_camera_object, dtype=np.float64)
    position = (T[:3, :3] @ centre + T[:3, 3]) / size_m
    return {
        "filename": stem,
        "q_vbs2tango_true": Rotation.from_matrix(T[:3, :3]).as_quat(scalar_first=True).tolist(),
        "r_Vo2To_vbs_true": position.tolist(),
    }


def _opaque(mask: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 4"]:
    """SPE3R's masks have the same picture in three channels, and a fourth that is opaque everywhere."""
    grey = mask.astype(np.uint8) * 255
    return np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)


class SatelliteScenes:
    """SPE3R's writer by numbers: a scene is a satellite, and so is a model."""

    def __init__(self, root: Path, role: Role, models: Mapping[int, ObjectModel]) -> None:
        self.root = Path(root)
        self._models = models
        self._role = role

    def write_models(self, models: Sequence[ObjectModel]) -> None:
        self.finish(models)

    def has_models(self) -> bool:
        return (self.root / "splits.csv").is_file()

    def finish(self, models: Sequence[ObjectModel]) -> None:
        """List the satellites that are there, in the order of the models."""
        roles = {model.name: role_of(number, len(models)) for number, model in enumerate(models, start=1)}
        there = {name: role for name, role in roles.items() if (self.root / name).is_dir()}
        Spe3rWriter(self.root, there).write_set(spe3r_camera())

    def has_scene(self, scene_id: int) -> bool:
        return (self.root / self._models[scene_id + 1].name).is_dir()

    def write_scene(self, scene_id: int, frames: Iterable[BopFrame]) -> None:
        model = self._models[scene_id + 1]
        Spe3rWriter(self.root, {model.name: self._role}).write_satellite(model, frames)
