"""Reads the surface of a model in whatever mesh format a data set uses. The file's own unit and frame."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import trimesh

from crisp.errors import InputError
from crisp.types import Mesh


def read_surface(path: Path) -> Mesh:
    """Vertices and faces of an OBJ, PLY or GLB file, its parts joined; materials are not opened.

    Raises:
        InputError: the file is missing, cannot be read, or has no faces.
    """
    if not path.is_file():
        raise InputError(f"there is no model {path}.")
    logging.getLogger("trimesh").setLevel(logging.ERROR)  # it warns of materials that nobody asked for
    try:
        solid = trimesh.load_mesh(path, process=False, skip_materials=True)
    except Exception as error:  # trimesh raises whatever its parsers stumble over
        raise InputError(f"{path} is no mesh that can be read ({error}).") from error
    if not isinstance(solid, trimesh.Trimesh) or len(solid.faces) == 0:
        raise InputError(f"{path} has no faces: a model must be a triangle mesh.")
    return Mesh(np.asarray(solid.vertices, dtype=np.float64), np.asarray(solid.faces, dtype=np.int64))


def obj_text(mesh: Mesh, *, name: str) -> bytes:
    """A mesh as Wavefront OBJ: vertices to nine digits, one group, no material."""
    lines = [f"o {name}"]
    lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in np.asarray(mesh.vertices, dtype=np.float64)]
    lines += [f"f {a} {b} {c}" for a, b, c in np.asarray(mesh.faces) + 1]
    return ("\n".join(lines) + "\n").encode()
