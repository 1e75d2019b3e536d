"""Depth that a data set does not ship: rendered from a model and its pose, and kept on disk.

Reads SPE3R (Park and D'Amico, 2024): one satellite of unit size an image, without depth.

`camera.json`, `splits.csv` (satellite, train or test; no header), and for each satellite
`images/imgNNNNNN.jpg`, `masks/imgNNNNNN.png`, `labels.json` and `models/model_normalized.obj`. The unit is
the model's own, here called a metre; depth is rendered from model and pose, and kept on disk.
"""

from __future__ import annotations

import csv
import hashlib
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from crisp.data.dataset import Dataset, FrameKey, Instance, KnownObject, Listed, files_digest, list_scenes
from crisp.data.mesh_files import read_surface
from crisp.documents import parse_json, read_json
from crisp.errors import InputError, ObjectFailure, naming
from crisp.files import whole_file
from crisp.geometry.camera import Camera
from crisp.geometry.points import diameter
from crisp.shape.raster import Posed, bare, rasterise
from crisp.sources.frames import numbers, read_colour, read_mask
from crisp.types import Detection, Frame, Mesh, Symmetries


@dataclass(frozen=True)
class DepthCache:
    """Rendered depth maps, each under a name that changes with all that it depends on.

    Args:
        folder: made when first needed; where it cannot be written, nothing is kept.
    """

    folder: Path

    def of(
        self, mesh: Mesh, T_camera_object: Float[np.ndarray, "4 4"], camera: Camera, *, name: str
    ) -> Float[np.ndarray, "h w"]:
        """Depth at pixel centres, float32, 0 where the ray meets nothing.

        Args:
            name: of the file, for people; may hold a folder.
        """
        path = self.folder / f"{name}_{_key(mesh, T_camera_object, camera)}.npz"
        kept = _read(path, (camera.height, camera.width))
        if kept is None:
            kept = render_depth(mesh, T_camera_object, camera)
            _write(path, kept)
        return kept


def render_depth(
    mesh: Mesh, T_camera_object: Float[np.ndarray, "4 4"], camera: Camera
) -> Float[np.ndarray, "h w"]:
    """Depth of one mesh at pixel centres, float32, 0 where the ray meets nothing."""
    seen = rasterise([Posed(bare(mesh), T_camera_object)], camera).depth_m
    return np.where(np.isfinite(seen), seen, 0.0).astype(np.float32)


def _key(mesh: Mesh, T: np.ndarray, camera: Camera) -> str:
    digest = hashlib.sha256()
    for array in (mesh.vertices, mesh.faces, T, camera.K, np.array([camera.width, camera.height])):
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()[:16]


def _read(path: Path, shape: tuple[int, int]) -> Float[np.ndarray, "h w"] | None:
    """What is damaged is rendered again: it was ours."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            depth_m = content["depth_m"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return depth_m if depth_m.shape == shape and depth_m.dtype == np.float32 else None


def _write(path: Path, depth_m: Float[np.ndarray, "h w"]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            np.savez_compressed(file, depth_m=depth_m)
    except OSError:
        return  # a data set may lie where it can only be read


SPLITS = ("train", "validation", "test")
DROPPED = frozenset({"aquarius_ud"})  # by the paper's code, too
ENDINGS = (".jpg", ".jpeg", ".png")
UNIT_TOLERANCE = 1e-3  # of a quaternion's length


@dataclass(frozen=True, eq=False)
class _Label:
    stem: str
    T_camera_object: Float[np.ndarray, "4 4"]


def in_split(number: int, split: str) -> bool:
    """Whether image `number` (from 1) of a training satellite belongs to "train" or to "validation"."""
    training = 1 <= number <= 400 or 501 <= number <= 900
    return training == (split == "train")


class Spe3rDataset(Dataset):
    """One split of SPE3R. A satellite's number, as scene and as object, is its row in `splits.csv`, from 1.

    Args:
        root: the folder that holds `camera.json` and `splits.csv`.
        split: "train" or "validation" (images of the training satellites) or "test" (the other satellites).
        depth_cache: folder for the rendered depth; `rendered_depth` in `root` unless given. Where it cannot
            be written, depth is rendered each time.

    Raises:
        InputError: no such folder or split. All methods raise it, with the file's name, for bad content.
    """

    unit = "model unit"
    depth_is_rendered = True

    def __init__(self, root: str | Path, split: str, *, depth_cache: Path | None = None) -> None:
        self.root = Path(root)
        self.split = split
        if not self.root.is_dir():
            raise InputError(f"there is no data set folder {self.root}.")
        if split not in SPLITS:
            raise InputError(f"SPE3R has the splits {', '.join(SPLITS)}, got '{split}'.")
        self._satellites = _satellites(self.root / "splits.csv", "test" if split == "test" else "train")
        self._labels: dict[int, dict[int, _Label]] = {}
        self._objects: dict[int, KnownObject] = {}
        self._depth = DepthCache(depth_cache or self.root / "rendered_depth")

    @cached_property
    def keys(self) -> tuple[FrameKey, ...]:
        """All labelled images of the split, sorted by satellite and image."""
        return self._listed.keys(f"{self.root} has no labelled image in split '{self.split}'.")

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for each satellite whose labels cannot be read; the others are in `keys`."""
        return self._listed.faults

    @cached_property
    def _listed(self) -> Listed:
        return list_scenes(sorted(self._satellites), self._read_labels)

    def load_frame(self, key: FrameKey) -> Frame:
        """Colour from disk, depth rendered from model and pose: 0 off the satellite."""
        path = self._image_path(key)
        rgb = read_colour(path)
        camera = self._camera((rgb.shape[1], rgb.shape[0]))
        mesh, T = self.object(key.scene_id).mesh, self._label(key).T_camera_object
        depth_m = self._depth.of(mesh, T, camera, name=f"{self._satellites[key.scene_id]}/{path.stem}")
        with naming(str(path)):
            return Frame(rgb, depth_m, camera, key.frame_id)

    def instances(self, key: FrameKey) -> tuple[Instance, ...]:
        """The satellite; nothing ever stands before it."""
        return (Instance(key.scene_id, self._label(key).T_camera_object, visib_fract=1.0, index=0),)

    def mask(self, key: FrameKey, index: int, visible: bool = True) -> Bool[np.ndarray, "h w"]:
        """The satellite's pixels."""
        if index != 0:
            raise InputError(f"image {key.frame_id} of {self.root} has one object, no number {index}.")
        return read_mask(self._mask_path(key))

    def given_masks(self, key: FrameKey) -> tuple[Detection | ObjectFailure, ...]:
        """The satellite's. Where depth is rendered, the labels are opened for the depth, by `load_frame`."""
        return (self.detection(key, 0),)

    def labels_of_given_masks(self, key: FrameKey) -> tuple[int | None, ...]:
        """The one label."""
        return (0,)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The satellites whose models are there."""
        return tuple(sorted(i for i in self._satellites if self._model_path(i).is_file()))

    def object(self, object_id: int) -> KnownObject:
        """One satellite, read once, in its own unit."""
        if object_id not in self._satellites:
            raise InputError(
                f"{self.root / 'splits.csv'} has no satellite {object_id} in split '{self.split}'."
            )
        if object_id not in self._objects:
            name, mesh = self._satellites[object_id], read_surface(self._model_path(object_id))
            self._objects[object_id] = KnownObject(
                object_id, name, "satellite", mesh, diameter(mesh.vertices), Symmetries()
            )
        return self._objects[object_id]

    def digest(self, key: FrameKey) -> str:
        """SHA-256 over image, mask, model, camera and label."""
        files = [
            self._image_path(key),
            self._mask_path(key),
            self._model_path(key.scene_id),
            self._camera_path,
        ]
        pose = self._label(key).T_camera_object.tobytes()
        return hashlib.sha256(files_digest(files).encode() + pose).hexdigest()

    @cached_property
    def labels_digest(self) -> str:
        """SHA-256 over `camera.json`, `splits.csv` and the labels of the split's satellites."""
        labels = [self._folder(i) / "labels.json" for i in sorted(self._satellites)]
        said = files_digest([self._camera_path, self.root / "splits.csv", *labels])
        return hashlib.sha256(f"{self.split}/{said}".encode()).hexdigest()

    @property
    def _camera_path(self) -> Path:
        return self.root / "camera.json"

    def _camera(self, size_wh: tuple[int, int]) -> Camera:
        """`cameraMatrix`: `fx` and `ppx` in this file are a focal length and a pixel's size, in metres."""
        content = read_json(self._camera_path)
        if "cameraMatrix" not in content:
            raise InputError(f"{self._camera_path} has no cameraMatrix: it must hold 3x3 numbers in pixels.")
        K = numbers(content["cameraMatrix"], count=9, what=f"cameraMatrix in {self._camera_path}")
        for name, size in zip(("Nu", "Nv"), size_wh, strict=True):
            if name in content and int(numbers([content[name]], count=1, what=name)[0]) != size:
                raise InputError(
                    f"{self._camera_path} is for images of {content.get('Nu')}x{content.get('Nv')} pixels, "
                    f"but they have {size_wh[0]}x{size_wh[1]}."
                )
        with naming(str(self._camera_path)):
            return Camera(K.reshape(3, 3), *size_wh)

    def _folder(self, satellite: int) -> Path:
        return self.root / self._satellites[satellite]

    def _model_path(self, satellite: int) -> Path:
        return self._folder(satellite) / "models" / "model_normalized.obj"

    def _mask_path(self, key: FrameKey) -> Path:
        return self._folder(key.scene_id) / "masks" / f"{self._label(key).stem}.png"

    def _image_path(self, key: FrameKey) -> Path:
        stem = self._folder(key.scene_id) / "images" / self._label(key).stem
        found = next((path for end in ENDINGS if (path := stem.with_name(stem.name + end)).is_file()), None)
        if found is None:
            raise InputError(f"there is no image {stem}.jpg, though labels.json lists it.")
        return found

    def _label(self, key: FrameKey) -> _Label:
        if key.scene_id not in self._satellites:
            raise InputError(f"{self.root} has no satellite {key.scene_id} in split '{self.split}'.")
        labels = self._read_labels(key.scene_id)
        if key.im_id not in labels:
            raise InputError(f"{self._folder(key.scene_id) / 'labels.json'} has no image {key.im_id}.")
        return labels[key.im_id]

    def _read_labels(self, satellite: int) -> dict[int, _Label]:
        if satellite not in self._labels:
            found = read_labels(self._folder(satellite) / "labels.json")
            wanted = {i: x for i, x in found.items() if self.split == "test" or in_split(i, self.split)}
            self._labels[satellite] = wanted
        return self._labels[satellite]


def read_labels(path: Path) -> dict[int, _Label]:
    """The labels of one satellite by image number.

    Raises:
        InputError: the file is missing, or an entry has no name, no unit quaternion or no position.
    """
    content = parse_json(path)
    if not isinstance(content, list):
        raise InputError(f"{path} must hold a JSON list, one entry for each image.")
    return dict(_parsed(entry, f"label {i} in {path}") for i, entry in enumerate(content))


def _parsed(entry: Any, source: str) -> tuple[int, _Label]:
    names = ("filename", "q_vbs2tango_true", "r_Vo2To_vbs_true")
    if not isinstance(entry, dict) or not set(names) <= entry.keys():
        raise InputError(f"{source} must have {', '.join(names)}.")
    stem = Path(str(entry["filename"])).stem
    digits = stem.removeprefix("img")
    if not digits.isdigit():
        raise InputError(f"{source} names the file '{entry['filename']}': it must be img and a number.")
    q = numbers(entry["q_vbs2tango_true"], count=4, what=f"q_vbs2tango_true of {source}")
    if abs(np.linalg.norm(q) - 1) > UNIT_TOLERANCE:
        raise InputError(f"q_vbs2tango_true of {source} is no unit quaternion (scalar first).")
    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat(q, scalar_first=True).as_matrix()
    T[:3, 3] = numbers(entry["r_Vo2To_vbs_true"], count=3, what=f"r_Vo2To_vbs_true of {source}")
    return int(digits), _Label(stem, T)


def _satellites(path: Path, role: str) -> dict[int, str]:
    """Names by row, from 1, of the satellites that are for training or for the test."""
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: it must name each satellite and train or test.") from error
    if wrong := [row for row in rows if len(row) < 2 and row]:
        raise InputError(
            f"{path} has the line '{','.join(wrong[0])}': it must name a satellite and train or test."
        )
    found = {
        number: row[0].strip()
        for number, row in enumerate(rows, start=1)
        if row and row[1].strip() == role and row[0].strip() not in DROPPED
    }
    if not found:
        raise InputError(f"{path} names no satellite for '{role}'.")
    return found
