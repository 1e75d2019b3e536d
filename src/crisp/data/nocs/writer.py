"""Writes data sets in NOCS's layout, with its names, units and quirks. Metres come in.

A model keeps its shape, not its frame: its box is centred, its diagonal becomes 1, and y points up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from crisp.data.bop.writer import BopFrame, BopInstance, write_png
from crisp.data.mesh_files import obj_text
from crisp.data.nocs.files import (
    BACKGROUND,
    CATEGORIES,
    SYNSETS,
    Split,
    coordinate_image,
    is_real,
    split_depth_image,
)
from crisp.data.nocs.models import FOLDERS, OPENCV_FROM_NOCS, NocsModels
from crisp.data.nocs.reader import FRAME_FOLDERS, FULL_DEPTH_FOLDERS, TRUTH_FOLDERS
from crisp.data.plain_pickle import write_plain_pickle
from crisp.data.spe3r.reader import render_depth
from crisp.errors import InputError
from crisp.files import part_folder, write_whole
from crisp.sources.frames import MM_PER_M
from crisp.types import Mesh, ObjectModel

NOCS_FROM_OURS = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # z up becomes y up
STRANGE_SYNSET = "00000000"
DETECTION_FOLDERS: dict[Split, tuple[str, str] | None] = {
    "camera_train": None,
    "camera_val": ("CAMERA25", "val"),
    "real_train": None,
    "real_test": ("REAL275", "test"),
}


@dataclass(frozen=True, eq=False)
class _Box:
    """An object in its NOCS frame: the mesh with a diagonal of 1, and the way there."""

    mesh: Mesh
    centre: Float[np.ndarray, " 3"]
    diagonal_m: float

    @classmethod
    def of(cls, model: ObjectModel) -> _Box:
        vertices = np.asarray(model.mesh.vertices, dtype=np.float64)
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        centre, diagonal = (low + high) / 2, float(np.linalg.norm(high - low))
        return cls(
            Mesh((vertices - centre) @ NOCS_FROM_OURS.T / diagonal, model.mesh.faces), centre, diagonal
        )

    def pose(self, T_camera_object: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
        """Takes the box, in metres, to the camera."""
        T = np.eye(4)
        T[:3, :3] = T_camera_object[:3, :3] @ NOCS_FROM_OURS.T
        T[:3, 3] = T_camera_object[:3, :3] @ self.centre + T_camera_object[:3, 3]
        return T


class NocsWriter:
    """Writes one split below a data set's folder.

    Args:
        root: the data set's folder; made where it is missing.
        split: "camera_train", "camera_val", "real_train" or "real_test". The two that are for tests get
            released poses, and detections that have the true masks.
        models: by the object ids that the frames use; what is of none of the six categories becomes a thing
            of class 0.
    """

    def __init__(self, root: Path, split: Split, models: Mapping[int, ObjectModel]) -> None:
        self.root = Path(root)
        self.split = split
        self._models = models

    def write_models(self, models: Sequence[ObjectModel]) -> None:
        """Write `obj_models` of this split: in REAL with their lengths in metres beside them."""
        folder = self.root / "obj_models" / FOLDERS[self.split]
        for model in models:
            box = _Box.of(model)
            content = obj_text(box.mesh, name=model.name)
            if is_real(self.split):
                folder.mkdir(parents=True, exist_ok=True)
                lengths = np.ptp(box.mesh.vertices, axis=0) * box.diagonal_m
                write_whole(folder / f"{_real_name(model)}.obj", content)
                write_whole(
                    folder / f"{_real_name(model)}.txt", "\n".join(map(repr, lengths.tolist())).encode()
                )
            else:
                place = folder / _synset(model) / model.name
                place.mkdir(parents=True, exist_ok=True)
                write_whole(place / "model.obj", content)
                box_text = "\n".join(" ".join(map(repr, row)) for row in _corners(box.mesh))
                write_whole(place / "bbox.txt", box_text.encode())

    def has_models(self) -> bool:
        """Whether any model of this split is there."""
        return bool(NocsModels(self.root, self.split).paths)

    def finish(self, models: Sequence[ObjectModel]) -> None:
        """Nothing is left to write."""

    def has_scene(self, scene_id: int) -> bool:
        """Whether the scene is there, complete."""
        return self._scene_folder(scene_id).is_dir()

    def write_scene(self, scene_id: int, frames: Iterable[BopFrame]) -> None:
        """Write one scene; what lies outside its folder is written before the folder gets its name.

        Raises:
            InputError: the scene is there already.
        """
        target = self._scene_folder(scene_id)
        if target.exists():
            raise InputError(f"{target} is there already: delete it or choose another folder.")
        with part_folder(target) as part:
            for frame in frames:
                self._write_frame(part, target.name, frame)
            part.replace(target)

    def _scene_folder(self, scene_id: int) -> Path:
        name = f"scene_{scene_id + 1}" if is_real(self.split) else f"{scene_id:05d}"
        return self.root / FRAME_FOLDERS[self.split][0] / name

    def _write_frame(self, folder: Path, scene: str, frame: BopFrame) -> None:
        stem = folder / f"{frame.im_id:04d}_"
        ids = np.full(frame.depth_m.shape, BACKGROUND, dtype=np.uint8)
        coordinates = np.full((*ids.shape, 3), 255, dtype=np.uint8)
        for number, instance in enumerate(frame.instances, start=1):
            ids[instance.mask_visible] = number
            if self._class_of(instance):
                self._draw_coordinates(coordinates, frame, instance)
        write_png(Path(f"{stem}color.png"), frame.rgb)
        write_png(Path(f"{stem}mask.png"), ids if is_real(self.split) else _red(ids))
        write_png(Path(f"{stem}coord.png"), coordinates)
        self._write_depth(Path(f"{stem}depth.png"), scene, frame, objects=ids != BACKGROUND)
        lines = [self._meta(number, i) for number, i in enumerate(frame.instances, start=1)]
        write_whole(Path(f"{stem}meta.txt"), ("\n".join(lines) + "\n").encode())
        seen = [i for i in frame.instances if i.mask_visible.any() and self._class_of(i)]
        self._write_truth(scene, frame, seen)
        self._write_detections(scene, frame, seen)

    def _draw_coordinates(
        self, image: UInt8[np.ndarray, "h w 3"], frame: BopFrame, instance: BopInstance
    ) -> None:
        """From the exact surface: the frame's depth may be that of a faulty sensor."""
        box = _Box.of(self._models[instance.object_id])
        T = box.pose(instance.T_camera_object)
        metric = Mesh(box.mesh.vertices * box.diagonal_m, box.mesh.faces)
        depth_m = render_depth(metric, T, frame.camera)
        shown = instance.mask_visible & (depth_m > 0)
        points = frame.camera.rays()[shown] * depth_m[shown][:, None].astype(np.float64)
        image[shown] = coordinate_image((points - T[:3, 3]) @ T[:3, :3] / box.diagonal_m)

    def _write_depth(self, path: Path, scene: str, frame: BopFrame, *, objects: np.ndarray) -> None:
        raw = np.rint(frame.depth_m.astype(np.float64) * MM_PER_M)
        raw = np.where(raw <= 65535, raw, 0).astype(np.uint16)
        folder = FULL_DEPTH_FOLDERS[self.split]
        if folder is None:
            write_png(path, raw)
            return
        split_depth_image(np.where(objects, raw, 0)).save(path, compress_level=1)
        full = self.root / "camera_full_depths" / folder / scene
        full.mkdir(parents=True, exist_ok=True)
        write_png(full / f"{frame.im_id:04d}_composed.png", raw)

    def _meta(self, number: int, instance: BopInstance) -> str:
        model = self._models[instance.object_id]
        named = _real_name(model) if is_real(self.split) else f"{_synset(model)} {model.name}"
        return f"{number} {self._class_of(instance)} {named}"

    def _class_of(self, instance: BopInstance) -> int:
        kind = self._models[instance.object_id].kind
        return CATEGORIES.index(kind) + 1 if kind in CATEGORIES else 0

    def _truth(self, seen: Sequence[BopInstance]) -> dict[str, np.ndarray]:
        boxes = [_Box.of(self._models[i.object_id]) for i in seen]
        scaled = [np.diag([b.diagonal_m] * 3 + [1.0]) for b in boxes]
        poses = [
            OPENCV_FROM_NOCS @ b.pose(i.T_camera_object) @ S
            for b, i, S in zip(boxes, seen, scaled, strict=True)
        ]
        return {
            "gt_class_ids": np.array([self._class_of(i) for i in seen], dtype=np.int32),
            "gt_RTs": np.array(poses, dtype=np.float64).reshape(-1, 4, 4),
            "gt_scales": np.array([np.ptp(b.mesh.vertices, axis=0) for b in boxes]).reshape(-1, 3),
        }

    def _write_truth(self, scene: str, frame: BopFrame, seen: Sequence[BopInstance]) -> None:
        folder = TRUTH_FOLDERS[self.split]
        if folder is None:
            return
        (self.root / "gts" / folder).mkdir(parents=True, exist_ok=True)
        path = self.root / "gts" / folder / f"results_{folder}_{scene}_{frame.im_id:04d}.pkl"
        write_plain_pickle(
            path, self._truth(seen) | {"handle_visibility": np.ones(len(seen), dtype=np.int32)}
        )

    def _write_detections(self, scene: str, frame: BopFrame, seen: Sequence[BopInstance]) -> None:
        """What a detector without fault would say, in the form of the Mask R-CNN results that go about."""
        names = DETECTION_FOLDERS[self.split]
        if names is None:
            return
        masks = np.array([i.mask_visible for i in seen]).reshape(-1, *frame.depth_m.shape)
        found = self._truth(seen) | {
            "pred_class_ids": np.array([self._class_of(i) for i in seen], dtype=np.int32),
            "pred_masks": np.ascontiguousarray(np.moveaxis(masks, 0, 2)),
            "pred_scores": np.ones(len(seen), dtype=np.float32),
        }
        folder = self.root / "segmentation_results" / names[0]
        folder.mkdir(parents=True, exist_ok=True)
        write_plain_pickle(folder / f"results_{names[1]}_{scene}_{frame.im_id:04d}.pkl", found)


def _real_name(model: ObjectModel) -> str:
    """REAL's names begin with the category, and end in _norm."""
    begins = "" if model.name.startswith(model.kind) else f"{model.kind}_"
    return f"{begins}{model.name}_norm"


def _synset(model: ObjectModel) -> str:
    return SYNSETS[CATEGORIES.index(model.kind)] if model.kind in CATEGORIES else STRANGE_SYNSET


def _corners(mesh: Mesh) -> list[list[float]]:
    """The box's upper and lower corner, as `bbox.txt` has them."""
    return [mesh.vertices.max(axis=0).tolist(), mesh.vertices.min(axis=0).tolist()]


def _red(ids: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 4"]:
    """CAMERA's masks are pictures whose red channel counts."""
    return np.stack([ids, np.zeros_like(ids), np.zeros_like(ids), np.full_like(ids, 255)], axis=-1)
