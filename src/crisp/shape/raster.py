"""A small z-buffer: which surface each pixel shows, how deep it is, and how it is turned.

Written by hand because no library of the core draws meshes without a display in a second: trimesh casts rays
through another package, scikit-image fills polygons one by one in several times as long and without depth,
and Mitsuba, which renders the scenes of `crisp.synth`, is an extra.

Vertex normals, for smooth shading that keeps creases sharp, are made here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from crisp.geometry.camera import Camera
from crisp.types import Mesh, TexturedMesh

CREASE_DEG = 35.0
MERGE_M = 1e-6
NEAR_M = 0.01
NOBODY = -1
PORTION_PX = 4_000_000  # pixels in the boxes of the faces that are drawn at once: bounds memory
EDGE_ON = 1e-9
ON_EDGE_PX = 1e-7
_TOWARDS_LIGHT = np.array([-0.42, -0.62, -0.66])  # from the upper left, behind the camera
_AMBIENT, _DIFFUSE = 0.42, 0.62


@dataclass(frozen=True, eq=False)
class ShadedMesh:
    """A mesh whose vertices are split wherever texture coordinates or normals differ."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "v 2"]
    normals: Float[np.ndarray, "v 3"]


def shade(surface: TexturedMesh, *, crease_deg: float = CREASE_DEG) -> ShadedMesh:
    """Give each face corner the area-weighted mean normal of the faces that meet there within `crease_deg`.

    Vertices that only a texture seam separates count as one.
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


def smooth(mesh: Mesh) -> ShadedMesh:
    """A mesh with normals that are smooth except at creases."""
    uv = np.zeros((len(mesh.vertices), 2))
    return shade(TexturedMesh(mesh.vertices, mesh.faces, uv, np.zeros((1, 1, 3), dtype=np.uint8)))


def bare(mesh: Mesh) -> ShadedMesh:
    """A mesh without normals: for its outline alone, where `smooth` would be most of the work."""
    zeros = np.zeros_like(mesh.vertices, dtype=np.float64)
    return ShadedMesh(mesh.vertices, mesh.faces, zeros[:, :2], zeros)


def _unit(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > 0, vectors / np.maximum(length, 1e-300), [0.0, 0.0, 1.0])


def _merge(vertices: Float[np.ndarray, "v 3"]) -> Int[np.ndarray, " v"]:
    """An index per vertex; vertices at the same position share one."""
    grid = np.round(np.asarray(vertices, dtype=np.float64) / MERGE_M).astype(np.int64)
    return np.unique(grid, axis=0, return_inverse=True)[1].ravel()


def _pairs(place: Int[np.ndarray, " c"]) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """All ordered pairs of corners at the same position, including each with itself."""
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


@dataclass(frozen=True, eq=False)
class Posed:
    """A mesh with normals, and its pose in the camera frame."""

    surface: ShadedMesh
    T_camera_object: Float[np.ndarray, "4 4"]


@dataclass(frozen=True, eq=False)
class Raster:
    """A rendering of posed surfaces, sampled at pixel centres.

    Args:
        owner: (H, W) index of the surface in the list; -1 where there is none.
        depth_m: (H, W) along the optical axis; infinity where there is none.
        normal_camera: (H, W, 3) unit normals, flipped towards the camera; 0 where there is no surface.
    """

    owner: Int[np.ndarray, "h w"]
    depth_m: Float[np.ndarray, "h w"]
    normal_camera: Float[np.ndarray, "h w 3"]

    def shaded(self, colours: Sequence[tuple[int, int, int]]) -> UInt8[np.ndarray, "h w 3"]:
        """Lambertian shading under one light, one colour per surface; black where there is no surface."""
        light = _TOWARDS_LIGHT / np.linalg.norm(_TOWARDS_LIGHT)
        strength = _AMBIENT + _DIFFUSE * np.maximum(self.normal_camera @ light, 0.0)
        palette = np.array([*colours, (0, 0, 0)], dtype=np.float64)  # the last row is for owner -1
        return np.clip(palette[self.owner] * strength[..., None], 0, 255).astype(np.uint8)


def enlarged(camera: Camera, factor: int) -> Camera:
    """The camera of the same view with `factor` times as many pixels along each side."""
    K = camera.K.copy()
    K[:2] *= factor
    K[:2, 2] += (factor - 1) / 2  # pixel centres are integers, so the image's border is at -1/2
    return Camera(K, camera.width * factor, camera.height * factor)


def rasterise(surfaces: Sequence[Posed], camera: Camera) -> Raster:
    """Draw surfaces with occlusion. Faces that come nearer than 1 cm to the camera are left out."""
    pixels = camera.height * camera.width
    depth = np.full(pixels, np.inf)
    owner = np.full(pixels, NOBODY, dtype=np.int64)
    normal = np.zeros((pixels, 3))
    for index, posed in enumerate(surfaces):
        rotation, shift = posed.T_camera_object[:3, :3], posed.T_camera_object[:3, 3]
        vertices = posed.surface.vertices @ rotation.T + shift
        normals = posed.surface.normals @ rotation.T
        faces = posed.surface.faces
        faces = faces[(vertices[:, 2] > NEAR_M)[faces].all(axis=1)]
        for hit in _hits(vertices, faces, camera):
            np.minimum.at(depth, hit.pixel, hit.depth_m)
            seen = hit.depth_m == depth[hit.pixel]
            place, corner = hit.pixel[seen], faces[hit.face[seen]]
            owner[place] = index
            normal[place] = (normals[corner] * hit.weights[seen, :, None]).sum(axis=1)
    return _raster(owner, depth, normal, camera=camera)


def depth_image(
    mesh: Mesh, T_camera_object: Float[np.ndarray, "4 4"], camera: Camera
) -> Float[np.ndarray, "h w"]:
    """Depth of one posed mesh at each pixel centre, metres; 0 outside it. `rasterise` without the shading.

    Faces that come nearer than 1 cm to the camera are left out.
    """
    depth = np.full(camera.height * camera.width, np.inf)
    vertices = mesh.vertices @ T_camera_object[:3, :3].T + T_camera_object[:3, 3]
    faces = mesh.faces[(vertices[:, 2] > NEAR_M)[mesh.faces].all(axis=1)]
    for hit in _hits(vertices, faces, camera):
        np.minimum.at(depth, hit.pixel, hit.depth_m)
    return np.where(np.isfinite(depth), depth, 0.0).reshape(camera.height, camera.width)


def _raster(owner: np.ndarray, depth: np.ndarray, normal: np.ndarray, *, camera: Camera) -> Raster:
    size = (camera.height, camera.width)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = (normal / np.where(length > 0, length, 1.0)).reshape(*size, 3)
    # Flip normals against the pixel's ray, so that they face the camera whatever the face's winding.
    away = (normal * camera.rays()).sum(axis=-1, keepdims=True) > 0
    return Raster(owner.reshape(size), depth.reshape(size), np.where(away, -normal, normal))


@dataclass(frozen=True, eq=False)
class _Hits:
    """Pixels whose centres lie in faces: flat index, face, depth, perspective-correct barycentric weights."""

    pixel: Int[np.ndarray, " n"]
    face: Int[np.ndarray, " n"]
    depth_m: Float[np.ndarray, " n"]
    weights: Float[np.ndarray, "n 3"]


def _hits(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], camera: Camera
) -> Iterator[_Hits]:
    if len(faces) == 0:
        return
    in_front = np.where(vertices[:, 2:] > NEAR_M, vertices, [0.0, 0.0, 1.0])  # the others are in no face
    corners, depth = camera.project(in_front)[faces], vertices[faces, 2]
    planes = _barycentric(corners)
    low = np.maximum(np.ceil(corners[..., 1].min(axis=1)), 0).astype(np.int64)
    high = np.minimum(np.floor(corners[..., 1].max(axis=1)), camera.height - 1).astype(np.int64)
    rows = np.where(planes.any(axis=(1, 2)), np.maximum(high - low + 1, 0), 0)
    width = np.ceil(np.ptp(corners[..., 0], axis=1)).clip(1, camera.width).astype(np.int64)
    for chosen in _portions(rows * width):
        face, place = _repeat(chosen, rows[chosen])
        row = low[face] + place
        left, right = _span(planes[face], row, camera.width)
        at, place = _repeat(np.arange(len(face)), np.maximum(right - left + 1, 0))
        face, row, column = face[at], row[at], left[at] + place
        plane = planes[face]
        flat = plane[..., 0] * column[:, None] + plane[..., 1] * row[:, None] + plane[..., 2]
        inverse = np.maximum(flat, 0.0) / depth[face]  # 1/z is linear in the image
        z = 1 / inverse.sum(axis=1)
        yield _Hits(row * camera.width + column, face, z, inverse * z[:, None])


def _portions(work: Int[np.ndarray, " f"]) -> Iterator[Int[np.ndarray, " k"]]:
    """Indices of faces with work to do, in groups of bounded work (at least one face each)."""
    some = np.flatnonzero(work)
    group = np.cumsum(work[some]) // PORTION_PX
    yield from np.split(some, np.flatnonzero(np.diff(group)) + 1)


def _repeat(
    values: Int[np.ndarray, " n"], counts: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Each value repeated `counts` times, and the number of each repetition from 0."""
    starts = np.cumsum(counts) - counts
    return np.repeat(values, counts), np.arange(int(counts.sum())) - np.repeat(starts, counts)


def _barycentric(corners: Float[np.ndarray, "f 3 2"]) -> Float[np.ndarray, "f 3 3"]:
    """(a, b, c) of each corner: its weight at pixel (u, v) is a u + b v + c; 0 for faces seen edge-on."""
    after, before = np.roll(corners, -1, axis=1), np.roll(corners, 1, axis=1)
    a = after[..., 1] - before[..., 1]
    b = before[..., 0] - after[..., 0]
    c = after[..., 0] * before[..., 1] - before[..., 0] * after[..., 1]
    planes = np.stack([a, b, c], axis=-1)
    whole = c.sum(axis=1)[:, None, None]
    return np.where(np.abs(whole) > EDGE_ON, planes / np.where(whole == 0, 1.0, whole), 0.0)


def _span(
    planes: Float[np.ndarray, "n 3 3"], row: Int[np.ndarray, " n"], width: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """First and last pixel of a row whose centre lies in the triangle, where no weight is negative."""
    slope, rest = planes[..., 0], planes[..., 1] * row[:, None] + planes[..., 2]
    crossing = -rest / np.where(slope == 0, 1.0, slope)
    left = np.where(slope > 0, crossing, 0.0).max(axis=1)
    right = np.where(slope < 0, crossing, width - 1.0).min(axis=1)
    right = np.where(((slope == 0) & (rest < 0)).any(axis=1), -1.0, right)
    # The tolerance keeps a pixel centre on the common edge of two faces from being missed by both.
    left = np.ceil(left - ON_EDGE_PX).clip(0, width)
    right = np.floor(right + ON_EDGE_PX).clip(-1, width - 1)
    return left.astype(np.int64), right.astype(np.int64)
