"""Reads the models of a BOP data set: meshes, diameters, symmetries. Millimetres become metres here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from crisp.data.dataset import KnownObject
from crisp.documents import read_json
from crisp.errors import InputError
from crisp.sources.frames import numbers
from crisp.types import Mesh, Symmetries

MM_PER_M = 1000.0
MODEL_FOLDERS = ("models", "models_eval")


class BopModels:
    """The models of one data set, each read once, when first asked for.

    Args:
        root: the data set's folder, with a folder `models` or `models_eval`.
        folder: the models' folder, if it is to be another.

    Raises:
        InputError: no such folder. All methods raise it, with the file's name, for bad content.
    """

    def __init__(self, root: Path, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise InputError(f"there is no folder of models {folder}.")
        folders = [path for path in (folder, *(root / n for n in MODEL_FOLDERS)) if path and path.is_dir()]
        if not folders:
            raise InputError(
                f"{root} has no folder 'models': put the set's models there (obj_000001.ply, mm)."
            )
        self.folder = folders[0]
        self._read: dict[int, KnownObject] = {}

    @cached_property
    def object_ids(self) -> tuple[int, ...]:
        """The models whose PLY files are there, rising."""
        stems = (path.stem for path in self.folder.glob("obj_*.ply"))
        return tuple(sorted(int(stem[4:]) for stem in stems if stem[4:].isdigit()))

    def read(self, object_id: int) -> KnownObject:
        """One model."""
        if object_id not in self._read:
            self._read[object_id] = self._load(object_id)
        return self._read[object_id]

    @cached_property
    def _infos(self) -> dict[int, Any]:
        return entries_by_id(self.folder / "models_info.json")

    def _load(self, object_id: int) -> KnownObject:
        path = self.folder / f"obj_{object_id:06d}.ply"
        if object_id not in self.object_ids:
            ids = ", ".join(map(str, self.object_ids)) or "none"
            raise InputError(f"there is no model {path}: the ids there are {ids}.")
        info = self._infos.get(object_id)
        source = f"model {object_id} in {self.folder / 'models_info.json'}"
        if not isinstance(info, dict) or "diameter" not in info:
            raise InputError(f"{source} has no diameter: compute it with bop_toolkit's calc_model_info.py.")
        diameter_mm = numbers([info["diameter"]], count=1, what=f"diameter of {source}")[0]
        name = str(info.get("name", path.stem))
        return KnownObject(
            object_id=object_id,
            name=name,
            kind=str(info.get("kind", name)),
            mesh=_read_mesh(path),
            diameter_m=float(diameter_mm) / MM_PER_M,
            symmetries=read_symmetries(info, source),
        )


def entries_by_id(path: Path) -> dict[int, Any]:
    """A JSON object whose keys are whole numbers, as all of BOP's files have them.

    Raises:
        InputError: the file is missing or not such an object.
    """
    try:
        return {int(key): value for key, value in read_json(path).items()}
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path} must have whole numbers as keys ({error}).") from error


def _read_mesh(path: Path) -> Mesh:
    try:
        mesh = trimesh.load_mesh(path, process=False)
    except Exception as error:  # trimesh raises whatever its parsers stumble over
        raise InputError(f"{path} is no PLY file that can be read ({error}).") from error
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
        raise InputError(f"{path} has no faces: a model must be a triangle mesh.")
    return Mesh(
        np.asarray(mesh.vertices, dtype=np.float64) / MM_PER_M, np.asarray(mesh.faces, dtype=np.int64)
    )


def read_symmetries(info: Mapping[str, Any], source: str) -> Symmetries:
    """Those of an entry of a `models_info.json`, millimetres there.

    Args:
        source: what the entry is of, for complaints.

    Raises:
        InputError: they are not as BOP has them.
    """
    what = f"symmetries_discrete of {source}"
    discrete = [numbers(T, count=16, what=what).reshape(4, 4) for T in info.get("symmetries_discrete", ())]
    for T in discrete:
        T[:3, 3] /= MM_PER_M
    return Symmetries(tuple(discrete), tuple(_axes(info.get("symmetries_continuous", ()), source)))


def _axes(entries: Any, source: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for entry in entries:
        if not isinstance(entry, dict):
            raise InputError(f"a symmetry of {source} must have an axis and an offset, got {entry}.")
        axis = numbers(entry.get("axis"), count=3, what=f"a symmetry's axis of {source}")
        if np.linalg.norm(axis) == 0:
            raise InputError(f"a symmetry's axis of {source} is zero: it must be a direction.")
        offset = numbers(entry.get("offset", (0, 0, 0)), count=3, what=f"a symmetry's offset of {source}")
        yield axis / np.linalg.norm(axis), offset / MM_PER_M
