"""The models of a NOCS split: in a box with a diagonal of 1 about the origin, y up; REAL's have a size."""

from __future__ import annotations

import re
import zlib
from functools import cached_property
from pathlib import Path

import numpy as np

from crisp.data.dataset import KnownObject
from crisp.data.model_files import read_surface
from crisp.data.nocs_files import CATEGORIES, SYNSETS, Split, is_real
from crisp.errors import InputError
from crisp.frame_files import numbers
from crisp.geometry.points import diameter
from crisp.objects import Symmetries
from crisp.types import Mesh

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
