"""Reads NOCS: CAMERA (composed) and REAL275 (photographs) of bottles, bowls, cameras, cans, laptops and mugs.

Poses come from the released `gts` where they are there, else they are fitted to the coordinates and the
depth, as NOCS itself does. Inside, an object's frame is that of its NOCS box: origin at the centre, y up,
metres.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Bool

from crisp.data.dataset import Dataset, FrameKey, Instance, KnownObject, Listed, files_digest
from crisp.data.nocs.files import (
    MetaLine,
    Split,
    camera_of,
    instance_ids,
    is_real,
    read_coordinates,
    read_depth_m,
    read_instance_ids,
    read_meta,
)
from crisp.data.nocs.models import NocsModels, NocsPose, fitted_pose, model_id, released_poses
from crisp.errors import InputError, ObjectFailure, naming
from crisp.sources.frames import read_colour
from crisp.types import Detection, Frame

FRAME_FOLDERS: dict[Split, tuple[str, ...]] = {
    "camera_train": ("camera/train", "CAMERA/train", "camera_train"),
    "camera_val": ("camera/val", "CAMERA/val", "camera_val"),
    "real_train": ("real/train", "Real/train", "real_train"),
    "real_test": ("real/test", "Real/test", "real_test"),
}
TRUTH_FOLDERS: dict[Split, str | None] = {
    "camera_train": None,
    "camera_val": "val",
    "real_train": None,
    "real_test": "real_test",
}
FULL_DEPTH_FOLDERS: dict[Split, str | None] = {
    "camera_train": "train",
    "camera_val": "val",
    "real_train": None,
    "real_test": None,
}


@dataclass(frozen=True)
class _Labels:
    instances: tuple[Instance, ...]
    ids: tuple[int, ...]
    faults: tuple[str, ...]


class NocsDataset(Dataset):
    """One split of NOCS.

    Args:
        root: the folder that holds `real/test`, `camera/train` and the like, and `obj_models`.
        split: "camera_train", "camera_val", "real_train" or "real_test".

    Raises:
        InputError: no such folder or split. All methods raise it, with the file's name, for bad content.
    """

    def __init__(self, root: str | Path, split: str) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise InputError(f"there is no data set folder {self.root}.")
        if split not in get_args(Split):
            raise InputError(f"NOCS has the splits {', '.join(get_args(Split))}, got '{split}'.")
        self.split: Split = split  # type: ignore[assignment]
        folders = [self.root / name for name in FRAME_FOLDERS[self.split]]
        found = next((folder for folder in folders if _scene_folders(folder)), None)
        if found is None:
            raise InputError(
                f"{self.root} has no frames of '{split}': they belong into "
                f"{FRAME_FOLDERS[self.split][0]}/scene_1 and the like."
            )
        self.folder = found
        self._scenes = _scene_folders(found)
        self._labels: dict[FrameKey, _Labels] = {}

    @cached_property
    def keys(self) -> tuple[FrameKey, ...]:
        """All frames that have a colour image and a meta file, sorted by scene and image."""
        return self._listed.keys(
            f"{self.folder} has no frame: each has an NNNN_color.png and an NNNN_meta.txt."
        )

    @cached_property
    def bare_keys(self) -> tuple[FrameKey, ...]:
        """All frames that have a colour image, whether or not a meta file says what is in it."""
        return tuple(sorted(FrameKey(s, i) for s in self._scenes for i in self._numbers(s, "color.png")))

    @property
    def bare_faults(self) -> tuple[str, ...]:
        """None: an image without a meta file is there all the same."""
        return ()

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for each scene with images that lack their meta file."""
        return self._listed.faults

    @cached_property
    def _listed(self) -> Listed:
        frames, halves = {}, []
        for scene_id in sorted(self._scenes):
            colour, meta = (self._numbers(scene_id, ending) for ending in ("color.png", "meta.txt"))
            frames[scene_id] = tuple(colour & meta)
            if lacking := colour - meta:
                halves.append(
                    f"{self._scenes[scene_id]} has {len(lacking)} images without NNNN_meta.txt, which are "
                    "left out."
                )
        return Listed(frames, tuple(halves))

    def _numbers(self, scene_id: int, ending: str) -> set[int]:
        names = (path.name for path in self._scenes[scene_id].glob(f"*_{ending}"))
        return {int(name[:4]) for name in names if re.fullmatch(r"[0-9]{4}_" + re.escape(ending), name)}

    def load_frame(self, key: FrameKey) -> Frame:
        """Colour, depth in metres, and the intrinsics that NOCS is used with."""
        rgb = read_colour(self._path(key, "color.png"))
        path = self._depth_path(key)
        depth_m = read_depth_m(path)
        with naming(str(self._path(key, "color.png"))):
            camera = camera_of(self.split, (rgb.shape[1], rgb.shape[0]))
        if depth_m.shape != rgb.shape[:2]:
            raise InputError(
                f"{path} is {depth_m.shape[1]}x{depth_m.shape[0]} but its colour image is "
                f"{rgb.shape[1]}x{rgb.shape[0]}: both must have one size."
            )
        with naming(str(path)):
            return Frame(rgb, depth_m, camera, key.frame_id)

    def instances(self, key: FrameKey) -> tuple[Instance, ...]:
        """The objects of the six categories that have a pixel and a pose, by rising instance id."""
        return self._read_labels(key).instances

    def label_faults(self, key: FrameKey) -> tuple[str, ...]:
        """A sentence for each object of the meta file without a pixel, or without a pose."""
        return self._read_labels(key).faults

    def mask(self, key: FrameKey, index: int, visible: bool = True) -> Bool[np.ndarray, "h w"]:
        """The visible part of the `index`-th instance; NOCS has no other masks."""
        ids = self._read_labels(key).ids
        if not 0 <= index < len(ids):
            raise InputError(
                f"image {key.frame_id} of {self.folder} has {len(ids)} objects, no number {index}."
            )
        return read_instance_ids(self._path(key, "mask.png")) == ids[index]

    def given_masks(self, key: FrameKey) -> tuple[Detection | ObjectFailure, ...]:
        """One for each id in the mask picture, rising; which are of no category, only the meta file says."""
        ids = read_instance_ids(self._path(key, "mask.png"))
        return tuple(Detection(ids == number) for number in instance_ids(ids))

    def labels_of_given_masks(self, key: FrameKey) -> tuple[int | None, ...]:
        """None for things of no category, and for objects without a pose."""
        place = {number: index for index, number in enumerate(self._read_labels(key).ids)}
        return tuple(
            place.get(number) for number in instance_ids(read_instance_ids(self._path(key, "mask.png")))
        )

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The models whose files are there; an id is its name's checksum."""
        return tuple(sorted(self._models.names))

    def object(self, object_id: int) -> KnownObject:
        """One model, read once: REAL's in metres, CAMERA's with a diagonal of 1 (`Instance.scale`)."""
        return self._models.read(object_id)

    def digest(self, key: FrameKey) -> str:
        """SHA-256 over the frame's files and its released poses."""
        endings = ("color.png", "mask.png", "coord.png", "meta.txt")
        truth = self._truth_path(key)
        return files_digest(
            [*(self._path(key, e) for e in endings), self._depth_path(key), *([truth] if truth else [])]
        )

    @cached_property
    def labels_digest(self) -> str:
        """SHA-256 over the meta files and the released poses; also of a split that has none."""
        keys = [key for key in self.bare_keys if self._path(key, "meta.txt").is_file()]
        truths = [path for key in keys if (path := self._truth_path(key)) is not None]
        return files_digest([*(self._path(key, "meta.txt") for key in keys), *truths])

    @cached_property
    def _models(self) -> NocsModels:
        return NocsModels(self.root, self.split)

    def _path(self, key: FrameKey, ending: str) -> Path:
        if key.scene_id not in self._scenes:
            raise InputError(f"{self.folder} has no scene {key.scene_id}.")
        return self._scenes[key.scene_id] / f"{key.im_id:04d}_{ending}"

    def _depth_path(self, key: FrameKey) -> Path:
        """CAMERA's own depth holds the objects alone; the depth with what is behind them came later."""
        own, folder = self._path(key, "depth.png"), FULL_DEPTH_FOLDERS[self.split]
        if folder is None:
            return own
        full = self.root / "camera_full_depths" / folder / own.parent.name / f"{key.im_id:04d}_composed.png"
        return full if full.is_file() else own

    def _truth_path(self, key: FrameKey) -> Path | None:
        folder = TRUTH_FOLDERS[self.split]
        scene = self._path(key, "").parent.name
        return (
            None
            if folder is None
            else self.root / "gts" / folder / f"results_{folder}_{scene}_{key.im_id:04d}.pkl"
        )

    def _read_labels(self, key: FrameKey) -> _Labels:
        if key not in self._labels:
            if (
                len(self._labels) > 64
            ):  # a fit takes some milliseconds: neighbours in time are asked again, not all
                self._labels.clear()
            self._labels[key] = self._label(key)
        return self._labels[key]

    def _label(self, key: FrameKey) -> _Labels:
        lines = [line for line in read_meta(self._path(key, "meta.txt")) if line.category is not None]
        ids = read_instance_ids(self._path(key, "mask.png"))
        seen = [line for line in lines if (ids == line.instance_id).any()]
        faults = [
            f"image {key.frame_id}: instance {line.instance_id} ({line.model}) has no visible pixel."
            for line in lines
            if line not in seen
        ]
        path = self._truth_path(key)
        if path is not None and path.is_file():
            found: list[NocsPose | None] = list(released_poses(path, seen))
        else:
            found = [self._fitted(key, line, ids == line.instance_id) for line in seen]
        poses = [(line, pose) for line, pose in zip(seen, found, strict=True) if pose is not None]
        faults += [
            f"image {key.frame_id}: instance {line.instance_id} ({line.model}) has no pose: too few of its "
            "coordinates agree with the depth."
            for line, pose in zip(seen, found, strict=True)
            if pose is None
        ]
        instances = tuple(self._instance(i, line, pose) for i, (line, pose) in enumerate(poses))
        return _Labels(instances, tuple(line.instance_id for line, _ in poses), tuple(faults))

    def _instance(self, index: int, line: MetaLine, pose: NocsPose) -> Instance:
        return Instance(
            object_id=model_id(line.model),
            T_camera_object=pose.T_camera_object,
            visib_fract=float("nan"),
            index=index,
            scale=1.0 if is_real(self.split) else pose.scale,
            handle_visible=pose.handle_visible,
        )

    def _fitted(self, key: FrameKey, line: MetaLine, mask: Bool[np.ndarray, "h w"]) -> NocsPose | None:
        frame = self.load_frame(key)
        path = self._path(key, "coord.png")
        return fitted_pose(
            frame, mask, read_coordinates(path), scale=self._known_scale(line.model), path=path
        )

    def _known_scale(self, name: str) -> float | None:
        """A model that is not there has no known size; whoever asks for it is told so."""
        try:
            return self._models.metric_scale(name) if is_real(self.split) else None
        except InputError:
            return None


def _scene_folders(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    named = {
        path: re.fullmatch(r"(?:scene_)?([0-9]+)", path.name) for path in folder.iterdir() if path.is_dir()
    }
    return {int(match[1]): path for path, match in named.items() if match}
