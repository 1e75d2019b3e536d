"""Reads data sets in the BOP format: YCB-V, LM-O and the like, what BlenderProc writes, and our own.

Format: https://github.com/thodan/bop_toolkit, docs/bop_datasets_format.md. Millimetres become metres here.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from crisp.data.bop.detections import Target, read_targets
from crisp.data.bop.models import MM_PER_M, BopModels, entries_by_id
from crisp.data.dataset import Dataset, FrameKey, Instance, KnownObject, Listed, list_scenes
from crisp.errors import InputError, ObjectFailure
from crisp.sources.frames import CameraEntry, assemble_frame, camera_entry, image_size, numbers, read_mask
from crisp.types import Detection, Frame

COLOUR_FOLDERS = ("rgb", "gray")
COLOUR_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
DEPTH_ENDINGS = (".png", ".tif", ".tiff")
POSE_KEYS = frozenset({"cam_R_w2c", "cam_t_w2c"})
RIGID_TOLERANCE = 0.01  # published poses are not exact: LM-O's stray from orthonormal by up to 0.002


class BopDataset(Dataset):
    """One split of a BOP data set. Files are read when first asked for; labels and models may be missing.

    Args:
        root: the data set's folder.
        split: such as "train", "train_real", "train_pbr" or "test".
        models: folder of the models, within the set or anywhere; `models`, else `models_eval`, unless given.
        targets: such as "test_targets_bop19.json": only the frames that this file of the set names.

    Raises:
        InputError: no such folder, or a split without scenes. All methods raise it, with the file's name, for
            what is missing, damaged or contradictory.
    """

    def __init__(
        self, root: str | Path, split: str, *, models: str | Path | None = None, targets: str | None = None
    ) -> None:
        self.root = Path(root)
        self.split = split
        self._models_folder = None if models is None else self.root / models
        self._targets_path = None if targets is None else self.root / targets
        if not self.root.is_dir():
            raise InputError(f"there is no data set folder {self.root}.")
        folders = _numbered_folders(self.root / split)
        if not folders:
            splits = sorted(path.name for path in self.root.iterdir() if _numbered_folders(path))
            there = f"the splits there are {', '.join(splits)}" if splits else "no folder there holds scenes"
            raise InputError(
                f"{self.root} has no split '{split}' with scene folders such as 000001: {there}."
            )
        self._scenes = {scene_id: _Scene(folder) for scene_id, folder in folders.items()}

    @property
    def scene_ids(self) -> tuple[int, ...]:
        """The scenes' numbers, rising."""
        return tuple(sorted(self._scenes))

    @cached_property
    def keys(self) -> tuple[FrameKey, ...]:
        """All frames, sorted by scene and image."""
        keys = self._listed.keys(
            f"{self.root / self.split} has no frame: scene_camera.json of its scenes must have an entry for "
            "each image."
        )
        if self._targets_path is None:
            return keys
        wanted = {target.key for target in self.targets}
        if missing := sorted(wanted - set(keys)):
            raise InputError(
                f"{self._targets_path} names image {missing[0].frame_id}, which split '{self.split}' has not."
            )
        return tuple(sorted(wanted))

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for each scene whose frames cannot be listed; the others are in `keys`."""
        return self._listed.faults

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """What the targets file asks for; empty without one."""
        return () if self._targets_path is None else read_targets(self._targets_path)

    @cached_property
    def _listed(self) -> Listed:
        return list_scenes(self.scene_ids, lambda scene_id: self._scenes[scene_id].cameras)

    def load_frame(self, key: FrameKey) -> Frame:
        """Read a frame's images and camera."""
        scene = self._scene(key)
        entry = scene.camera(key.im_id)
        return assemble_frame(
            rgb=scene.image_path(COLOUR_FOLDERS, key.im_id, COLOUR_ENDINGS),
            depth=scene.image_path(("depth",), key.im_id, DEPTH_ENDINGS),
            entry=entry,
            source=f"{scene.cameras_path} (image {key.im_id})",
            frame_id=key.frame_id,
        )

    def image_size(self, key: FrameKey) -> tuple[int, int]:
        """(height, width) of a frame, from the head of its colour image."""
        return image_size(self._scene(key).image_path(COLOUR_FOLDERS, key.im_id, COLOUR_ENDINGS))

    def T_world_camera(self, key: FrameKey) -> Float[np.ndarray, "4 4"]:
        """Where the frame's camera stands, (4, 4) float64 metres; needs cam_R_w2c and cam_t_w2c."""
        return self._scene(key).T_world_camera(key.im_id)

    def has_camera_pose(self, key: FrameKey) -> bool:
        """Whether the set says where the frame's camera stands."""
        entry = self._scene(key).cameras.get(key.im_id)
        return isinstance(entry, dict) and entry.keys() >= POSE_KEYS

    def instances(self, key: FrameKey) -> tuple[Instance, ...]:
        """The frame's labelled objects, in the file's order; needs `scene_gt.json`."""
        return self._scene(key).instances(key.im_id)

    def digest(self, key: FrameKey) -> str:
        """SHA-256 over all that is known of a frame: images, masks, camera and labels. For keys of caches."""
        scene = self._scene(key)
        said = [scene.cameras.get(key.im_id), scene.labels.get(key.im_id), scene.infos.get(key.im_id)]
        digest = hashlib.sha256(json.dumps(said).encode())
        images = [
            scene.image_path(COLOUR_FOLDERS, key.im_id, COLOUR_ENDINGS),
            scene.image_path(("depth",), key.im_id, DEPTH_ENDINGS),
        ]
        masks = [scene.mask_path(key.im_id, i.index, visible=True) for i in self.instances(key)]
        for path in images + masks:
            try:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError as error:
                raise InputError(f"cannot read {path}: {error.strerror}.") from error
        return digest.hexdigest()

    @cached_property
    def labels_digest(self) -> str:
        """SHA-256 over the cameras and labels of all scenes, without images: tells sets of one name apart."""
        digest = hashlib.sha256()
        for scene_id in self.scene_ids:
            scene = self._scenes[scene_id]
            for path in (scene.cameras_path, scene.labels_path, scene.infos_path):
                content = path.read_bytes() if path.is_file() else b""
                digest.update(f"{scene_id}/{path.name}".encode() + hashlib.sha256(content).digest())
        return digest.hexdigest()

    def mask(self, key: FrameKey, index: int, visible: bool = True) -> Bool[np.ndarray, "h w"]:
        """The mask of the frame's `index`-th label.

        Args:
            visible: the visible part, or the whole silhouette where the set has no visible masks; False: the
                whole silhouette.
        """
        return read_mask(self._scene(key).mask_path(key.im_id, index, visible=visible))

    def given_masks(self, key: FrameKey) -> tuple[Detection | ObjectFailure, ...]:
        """The masks that lie there for a frame, found by their names."""
        return tuple(self.detection(key, index) for index in self._scene(key).mask_indices(key.im_id))

    def labels_of_given_masks(self, key: FrameKey) -> tuple[int | None, ...]:
        """A mask's name has its label's number."""
        count, indices = len(self.instances(key)), self._scene(key).mask_indices(key.im_id)
        return tuple(index if index < count else None for index in indices)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The models whose PLY files are there."""
        return self._models.object_ids

    @property
    def objects(self) -> dict[int, KnownObject]:
        """All models by id; reads those that have not been read yet."""
        return {object_id: self.object(object_id) for object_id in self.object_ids}

    def object(self, object_id: int) -> KnownObject:
        """One model, read once."""
        return self._models.read(object_id)

    def _scene(self, key: FrameKey) -> _Scene:
        if key.scene_id not in self._scenes:
            raise InputError(f"{self.root / self.split} has no scene {key.scene_id:06d}.")
        return self._scenes[key.scene_id]

    @cached_property
    def _models(self) -> BopModels:
        return BopModels(self.root, self._models_folder)


class _Scene:
    """One scene's folder; each JSON file is parsed when first needed, and kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cameras_path = folder / "scene_camera.json"
        self.labels_path = folder / "scene_gt.json"
        self.infos_path = folder / "scene_gt_info.json"

    @cached_property
    def cameras(self) -> dict[int, Any]:
        return entries_by_id(self.cameras_path)

    @cached_property
    def labels(self) -> dict[int, Any]:
        if not self.labels_path.is_file():
            raise InputError(f"{self.folder} has no labels: scene_gt.json is missing.")
        return entries_by_id(self.labels_path)

    @cached_property
    def infos(self) -> dict[int, Any]:
        return entries_by_id(self.infos_path) if self.infos_path.is_file() else {}

    def camera(self, im_id: int) -> CameraEntry:
        if im_id not in self.cameras:
            raise InputError(f"{self.cameras_path} has no entry for image {im_id}.")
        source = f"{self.cameras_path} (image {im_id})"
        if not isinstance(self.cameras[im_id], dict):
            raise InputError(f"{source} must be an object with cam_K and depth_scale.")
        return camera_entry(self.cameras[im_id], source=source)

    def T_world_camera(self, im_id: int) -> Float[np.ndarray, "4 4"]:
        self.camera(im_id)
        entry, source = self.cameras[im_id], f"{self.cameras_path} (image {im_id})"
        if not entry.keys() >= POSE_KEYS:
            raise InputError(f"{source} has no camera pose: it must have cam_R_w2c and cam_t_w2c.")
        R, t = (entry[name] for name in ("cam_R_w2c", "cam_t_w2c"))
        return np.linalg.inv(_rigid(R, t, names=("cam_R_w2c", "cam_t_w2c"), source=source))

    def image_path(self, folders: tuple[str, ...], im_id: int, endings: tuple[str, ...]) -> Path:
        for folder in folders:
            for ending in endings:
                path = self.folder / folder / f"{im_id:06d}{ending}"
                if path.is_file():
                    return path
        expected = f"{folders[0]}/{im_id:06d}{endings[0]}"
        raise InputError(f"{self.folder} has no {expected}, though {self.cameras_path.name} lists the image.")

    def mask_path(self, im_id: int, index: int, *, visible: bool) -> Path:
        name = f"{im_id:06d}_{index:06d}.png"
        paths = [self.folder / kind / name for kind in (("mask_visib", "mask") if visible else ("mask",))]
        # The last is named even where it is not there: then its name is in the message.
        return next((path for path in paths if path.is_file()), paths[-1])

    def mask_indices(self, im_id: int) -> tuple[int, ...]:
        for kind in ("mask_visib", "mask"):
            if found := sorted((self.folder / kind).glob(f"{im_id:06d}_*.png")):
                return tuple(int(path.stem.split("_")[1]) for path in found)
        return ()

    def instances(self, im_id: int) -> tuple[Instance, ...]:
        labels = self.labels.get(im_id)
        if not isinstance(labels, list):
            raise InputError(f"{self.labels_path} has no list of objects for image {im_id}.")
        infos = self.infos.get(im_id, [{}] * len(labels))
        if not isinstance(infos, list) or len(infos) != len(labels):
            raise InputError(
                f"{self.infos_path} must list {len(labels)} objects for image {im_id}, as scene_gt.json "
                "does: one of the two is stale."
            )
        return tuple(
            self._instance(im_id, index, label, info=infos[index]) for index, label in enumerate(labels)
        )

    def _instance(self, im_id: int, index: int, label: Any, *, info: Any) -> Instance:
        source = f"{self.labels_path} (image {im_id}, object {index})"
        if not isinstance(label, dict) or not {"obj_id", "cam_R_m2c", "cam_t_m2c"} <= label.keys():
            raise InputError(f"{source} must have obj_id, cam_R_m2c and cam_t_m2c.")
        R, t = label["cam_R_m2c"], label["cam_t_m2c"]
        T = _rigid(R, t, names=("cam_R_m2c", "cam_t_m2c"), source=source)
        object_id = int(numbers([label["obj_id"]], count=1, what=f"obj_id in {source}")[0])
        return Instance(object_id, T, self._visib_fract(im_id, index, info), index)

    def _visib_fract(self, im_id: int, index: int, info: Any) -> float:
        source = f"{self.infos_path} (image {im_id}, object {index})"
        if not isinstance(info, dict):
            raise InputError(f"{source} must be an object, such as one with visib_fract.")
        if "visib_fract" not in info:
            return float("nan")
        return float(numbers([info["visib_fract"]], count=1, what=f"visib_fract in {source}")[0])


def _rigid(R: Any, t_mm: Any, *, names: tuple[str, str], source: str) -> Float[np.ndarray, "4 4"]:
    """A motion in metres, from what a file gives as 9 numbers, row by row, and 3 millimetres."""
    T = np.eye(4)
    R = numbers(R, count=9, what=f"{names[0]} in {source}").reshape(3, 3)
    if not np.allclose(R @ R.T, np.eye(3), atol=RIGID_TOLERANCE) or np.linalg.det(R) < 0:
        raise InputError(f"{names[0]} in {source} is not a rotation.")
    left, _, right = np.linalg.svd(R)
    T[:3, :3] = left @ right
    T[:3, 3] = numbers(t_mm, count=3, what=f"{names[1]} in {source}") / MM_PER_M
    return T


def _numbered_folders(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    return {int(p.name): p for p in folder.iterdir() if re.fullmatch(r"[0-9]+", p.name) and p.is_dir()}
