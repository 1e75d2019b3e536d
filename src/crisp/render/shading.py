"""Vertex normals for smooth shading that keeps creases sharp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from crisp.objects import TexturedMesh

CREASE_DEG = 35.0
MERGE_M = 1e-6


@dataclass(frozen=True, eq=False)
class ShadedMesh:
    """Vertices split wherever position, texture coordinate or normal differ."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "v 2"]
    normals: Float[np.ndarray, "v 3"]


def shade(surface: TexturedMesh, *, crease_deg: float = CREASE_DEG) -> ShadedMesh:
    """Give each corner the mean normal of the faces that meet there at less than `crease_deg`.

    Faces count by area; vertices that only a texture seam separates are treated as one.
    """
    faces = np.asarray(surface.faces, dtype=np.int64)
    corners = np.asarray(surface.vertices, dtype=np.float64)[faces]
    weighted = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    unit = _unit(weighted)
    place = _merge(surface.vertices)[faces.ravel()]
    first, second = _pairs(place)
    near = (unit[first // 3] * unit[second // 3]).sum(1) >= np.cos(np.radians(crease_deg))
    near |= first == second
    normals = np.stack(
        [
            np.bincount(first[near], weights=weighted[second[near] // 3, axis], minlength=faces.size)
            for axis in range(3)
        ],
        axis=1,
    )
    return _split(surface, faces, _unit(normals))


def _unit(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > 0, vectors / np.maximum(length, 1e-300), [0.0, 0.0, 1.0])


def _merge(vertices: Float[np.ndarray, "v 3"]) -> Int[np.ndarray, " v"]:
    """One number for each place, the same for vertices that share it."""
    grid = np.round(np.asarray(vertices, dtype=np.float64) / MERGE_M).astype(np.int64)
    return np.unique(grid, axis=0, return_inverse=True)[1].ravel()


def _pairs(place: Int[np.ndarray, " c"]) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """All ordered pairs of corners at the same place, each with itself too."""
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place)
    starts = np.cumsum(counts) - counts
    size = counts[place[order]]
    first = np.repeat(order, size)
    offset = np.arange(first.size) - np.repeat(np.cumsum(size) - size, size)
    second = order[np.repeat(starts[place[order]], size) + offset]
    return first, second


def _split(
    surface: TexturedMesh, faces: Int[np.ndarray, "f 3"], normals: Float[np.ndarray, "c 3"]
) -> ShadedMesh:
    key = np.column_stack([faces.ravel(), np.round(normals * 1e4).astype(np.int64)])
    _, kept, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    source = faces.ravel()[kept]
    return ShadedMesh(
        vertices=np.asarray(surface.vertices, dtype=np.float64)[source],
        faces=inverse.reshape(faces.shape),
        uv=np.asarray(surface.uv, dtype=np.float64)[source],
        normals=normals[kept],
    )
