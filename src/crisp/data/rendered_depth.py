"""Depth that a data set does not ship: rendered from a model and its pose, and kept on disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crisp.geometry.camera import Camera
from crisp.render.raster import Posed, bare, rasterise
from crisp.types import Mesh


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
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
    except OSError:
        return  # a data set may lie where it can only be read
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, depth_m=depth_m)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
