"""Meshes as PLY files: binary, metres, object frame."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import trimesh

from crisp.errors import InputError
from crisp.types import Mesh


def write_ply(mesh: Mesh, path: Path) -> None:
    """Write a mesh as binary PLY (vertices float32, metres); the file appears whole or not at all.

    Raises:
        InputError: its folder cannot be made or written.
    """
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    content = trimesh.exchange.ply.export_ply(solid, encoding="binary", vertex_normal=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    except OSError as error:
        raise InputError(f"cannot write to the folder {path.parent} ({error.strerror}).") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_ply(path: Path) -> Mesh:
    """Read a PLY file as it is: no unit is changed, no vertex merged.

    Raises:
        InputError: the file is missing, is not a PLY mesh, or has no faces.
    """
    if not path.is_file():
        raise InputError(f"there is no mesh file {path}.")
    try:
        solid = trimesh.load_mesh(path, file_type="ply", process=False)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a PLY mesh that can be read ({error}).") from error
    if not isinstance(solid, trimesh.Trimesh) or len(solid.faces) == 0:
        raise InputError(f"{path} has no faces: a mesh is needed, not a point cloud.")
    return Mesh(np.array(solid.vertices, dtype=np.float64), np.array(solid.faces, dtype=np.int64))
