"""Poses of NOCS objects: those that were released, and those that coordinates and depth give.

The models of a NOCS split: in a box with a diagonal of 1 about the origin, y up; REAL's have a size.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from crisp.data.dataset import KnownObject
from crisp.data.mesh_files import read_surface
from crisp.data.nocs.files import CATEGORIES, SYNSETS, MetaLine, Split, is_real
from crisp.data.plain_pickle import read_plain_pickle
from crisp.errors import InputError
from crisp.geometry.align import fit_similarity
from crisp.geometry.points import diameter
from crisp.sources.frames import numbers
from crisp.types import Frame, Mesh, Symmetries

# NOCS's own poses are those of a camera with x to the left and y up.
OPENCV_FROM_NOCS = np.diag([-1.0, -1.0, 1.0, 1.0])
FIT_INLIER_M = 0.01


@dataclass(frozen=True, eq=False)
class NocsPose:
    """An object's pose, and the diagonal of its NOCS box in metres."""

    T_camera_object: Float[np.ndarray, "4 4"]
    scale: float
    handle_visible: bool


def fitted_pose(
    frame: Frame,
    mask: Bool[np.ndarray, "h w"],
    coordinates: Float[np.ndarray, "h w 3"],
    *,
    scale: float | None,
    path: Path,
) -> NocsPose | None:
    """The motion that takes coordinates to measured points; None where too few agree.

    Args:
        scale: the diagonal in metres, where it is known.
        path: of the coordinates, for messages.

    Raises:
        InputError: mask, coordinates and depth are not of one size.
    """
    if not mask.shape == coordinates.shape[:2] == frame.depth_m.shape:
        raise InputError(f"{path}, the mask beside it and the depth must be of one size.")
    used = mask & (frame.depth_m > 0)
    points = frame.points_camera[used].astype(np.float64)
    fit = fit_similarity(coordinates[used], points, inlier_m=FIT_INLIER_M, scale=scale)
    return None if fit is None else NocsPose(fit.T, fit.scale, True)


def released_poses(path: Path, lines: list[MetaLine]) -> Iterator[NocsPose]:
    """The poses of a `gts` file, which lists the visible objects by rising instance id.

    Raises:
        InputError: the file is no plain pickle, or holds other objects or what is no scaled rotation.
    """
    content = read_plain_pickle(path)
    poses, classes = _array(content, ("gt_RTs",), path), _array(content, ("gt_class_ids",), path)
    if poses.shape != (len(lines), 4, 4) or classes.shape != (len(lines),) or not np.isfinite(poses).all():
        raise InputError(
            f"{path} must hold {len(lines)} poses and classes, as many as the image has visible objects; "
            f"it holds {len(poses)} and {len(classes)}."
        )
    wanted = [CATEGORIES.index(line.category) + 1 for line in lines if line.category is not None]
    if classes.tolist() != wanted:
        raise InputError(
            f"{path} holds the classes {classes.tolist()}, but the image's objects are of {wanted}."
        )
    names = ("gt_handle_visibility", "handle_visibility")
    handles = _array(content, names, path) if set(names) & set(content) else np.ones(len(lines))
    for line, sRT, handle in zip(lines, poses.astype(np.float64), handles.reshape(len(lines)), strict=True):
        scale = float(np.cbrt(np.linalg.det(sRT[:3, :3])))
        R = sRT[:3, :3] / scale if scale > 0 else np.zeros((3, 3))
        if not np.allclose(R @ R.T, np.eye(3), atol=0.01):
            raise InputError(f"the pose of instance {line.instance_id} in {path} is no scaled rotation.")
        left, _, right = np.linalg.svd(R)
        sRT[:3, :3] = left @ right
        yield NocsPose(OPENCV_FROM_NOCS @ sRT, scale, bool(handle))


def _array(content: Any, names: tuple[str, ...], path: Path) -> np.ndarray:
    found = (
        next((content[name] for name in names if name in content), None)
        if isinstance(content, dict)
        else None
    )
    if found is None:
        raise InputError(f"{path} has no {names[0]}: it is no file of NOCS's ground truth.")
    return np.asarray(found)


ROUND = ("bottle", "bowl", "can")  # NOCS takes all of these for the same from all sides
FOLDERS: dict[Split, str] = {
    "camera_train": "train",
    "camera_val": "val",
    "real_train": "real_train",
    "real_test": "real_test",
}


def model_id(name: str) -> int:
    """A number for a model's name that depends on nothing else (its CRC-32)."""
    return zlib.crc32(name.encode())


class NocsModels:
    """REAL: `obj_models/real_*/NAME.obj`, and its lengths in metres in NAME.txt. CAMERA:
    `obj_models/{train,val}/SYNSET/NAME/model.obj`.

    REAL's models are read in metres; CAMERA's, which have another size in each image, with a diagonal of 1.

    Args:
        root: the data set's folder.
    """

    def __init__(self, root: Path, split: Split) -> None:
        self.folder = root / "obj_models" / FOLDERS[split]
        self._real = is_real(split)
        self._read: dict[int, KnownObject] = {}

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The models whose files are there, by name."""
        if self._real:
            return {path.stem: path for path in sorted(self.folder.glob("*.obj"))}
        return {path.parent.name: path for path in sorted(self.folder.glob("*/*/model.obj"))}

    @cached_property
    def names(self) -> dict[int, str]:
        """The same by id.

        Raises:
            InputError: there is no model at all, or two have one id.
        """
        named = {model_id(name): name for name in self.paths}
        if not named:
            raise InputError(f"{self.folder} holds no model: put NOCS's obj_models there.")
        if len(named) != len(self.paths):
            raise InputError(
                f"{self.folder} holds two models whose names have one checksum: rename one of them."
            )
        return named

    def metric_scale(self, name: str) -> float:
        """The diagonal of a REAL model's box in metres; 1 in CAMERA.

        Raises:
            InputError: the file with the box is missing or holds no three lengths.
        """
        if not self._real:
            return 1.0
        path = self.folder / f"{name}.txt"
        try:
            words = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path} cannot be read: it must hold the model's three lengths in metres."
            ) from error
        lengths = numbers([_number(word) for word in words], count=3, what=f"the lengths in {path}")
        if not 0.005 < np.linalg.norm(lengths) < 5:
            raise InputError(f"{path} holds lengths {lengths.tolist()}, which cannot be metres.")
        return float(np.linalg.norm(lengths))

    def read(self, object_id: int) -> KnownObject:
        """One model.

        Raises:
            InputError: it is not there, or damaged.
        """
        if object_id not in self._read:
            if object_id not in self.names:
                raise InputError(f"{self.folder} has no model with the id {object_id}.")
            self._read[object_id] = self._load(self.names[object_id])
        return self._read[object_id]

    def _load(self, name: str) -> KnownObject:
        path, scale = self.paths[name], self.metric_scale(name)
        mesh = read_surface(path)
        vertices = mesh.vertices * scale
        kind = self._category(path)
        about_y = ((np.array([0.0, 1.0, 0.0]), np.zeros(3)),) if kind in ROUND else ()
        return KnownObject(
            object_id=model_id(name),
            name=name,
            kind=kind,
            mesh=Mesh(vertices, mesh.faces),
            diameter_m=diameter(vertices),
            symmetries=Symmetries(continuous=about_y),
        )

    def _category(self, path: Path) -> str:
        if self._real:
            begins = re.match(r"[a-z]+", path.stem.lower())
            return begins.group() if begins and begins.group() in CATEGORIES else path.stem
        synset = path.parent.parent.name
        return CATEGORIES[SYNSETS.index(synset)] if synset in SYNSETS else synset


def _number(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word
