"""Reads the surface of a model in whatever mesh format a data set uses. The file's own unit and frame.

Anyone's meshes (GLB, OBJ, PLY) as object models: checked, metric, coloured by texture or vertices.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8
from PIL import Image

from crisp.data.bop.models import read_symmetries
from crisp.documents import read_json
from crisp.errors import InputError
from crisp.types import Mesh, ObjectModel, Symmetries, TexturedMesh


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


INFO_NAME = "models_info.json"
SUFFIXES = (".glb", ".obj", ".ply")
SIZE_RANGE_M = (0.005, 5.0)
MERGE_DIGITS = 6  # of vertex positions, as a share of the size
LEAST_VOLUME = (
    1e-7  # as a share of the cube of the size: a millimetre's wire of 0.3 m has a hundred times that
)
GREY = 160
MOST_TILES = 64
LEAST_REST_PROBABILITY = 0.01
UPRIGHT_DEG = 5.0


def read_models(folder: Path, *, unit_m: float = 1.0) -> tuple[ObjectModel, ...]:
    """All meshes of a folder, in the order of their names, with the symmetries that are declared beside them.

    `models_info.json` may be there, as BOP has it but with the meshes' names for keys: millimetres, whatever
    the meshes' own unit.

    Raises:
        InputError: no such folder, no mesh in it, two files of one name, a mesh that `read_model` refuses, or
            declarations of a mesh that is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give one that holds GLB, OBJ or PLY meshes.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no mesh: GLB, OBJ and PLY files are read.")
    declared = _declared(folder, [path.stem.lower() for path in paths])
    models = tuple(read_model(path, unit_m=unit_m) for path in paths)
    models = tuple(replace(m, symmetries=declared.get(m.name, m.symmetries)) for m in models)
    for first, second in pairwise(models):
        if first.name == second.name:
            raise InputError(f"{folder} holds two meshes named {first.name}: names must differ.")
    return models


def _declared(folder: Path, names: Sequence[str]) -> dict[str, Symmetries]:
    path = folder / INFO_NAME
    if not path.is_file():
        return {}
    found = {}
    for name, info in read_json(path).items():
        if name.lower() not in names:
            raise InputError(
                f"{path} declares {name}, which is no mesh there: its keys are the names of the mesh files "
                "without their endings."
            )
        if not isinstance(info, dict):
            raise InputError(f"{name} in {path} must be an object with BOP's keys, got {info}.")
        found[name.lower()] = read_symmetries(info, f"{name} in {path}")
    return found


def read_model(path: Path, *, unit_m: float = 1.0) -> ObjectModel:
    """One mesh file. It keeps its own frame; the ways in which it rests on a table are computed.

    Args:
        path: `.glb`, `.obj` or `.ply`; several parts in one file become one object.
        unit_m: what one unit of the file is in metres: 0.001 for millimetres.

    Raises:
        InputError: a file that cannot be read, has no faces, is not watertight after vertices at the same
            place are merged, or whose size cannot be metres.
    """
    path = Path(path)
    parts = [_textured(part) for part in _parts(path)]
    surface = _joined(parts)
    surface = TexturedMesh(surface.vertices * unit_m, surface.faces, surface.uv, surface.texture)
    _check_size(surface.vertices, path)
    solid = _solid(surface, path)
    if solid.volume < 0:
        solid.invert()
        surface = TexturedMesh(surface.vertices, surface.faces[:, ::-1], surface.uv, surface.texture)
    return ObjectModel(
        name=path.stem.lower(),
        kind=path.stem.lower(),
        mesh=Mesh(np.asarray(solid.vertices, dtype=np.float64), np.asarray(solid.faces, dtype=np.int64)),
        surface=surface,
        rest=_rests(solid),
    )


def _parts(path: Path) -> list[trimesh.Trimesh]:
    """The file's meshes, each moved to where the file's scene has it."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file: give a GLB, OBJ or PLY mesh.")
    try:
        scene = trimesh.load_scene(path, process=False)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    except Exception as error:  # each of trimesh's readers fails in its own way
        raise InputError(f"{path} cannot be read as a mesh ({type(error).__name__}: {error}).") from error
    if not parts:
        raise InputError(f"{path} has no faces: a mesh with triangles is needed, not a point cloud.")
    return parts


def _solid(surface: TexturedMesh, path: Path) -> trimesh.Trimesh:
    """The surface with vertices at the same place merged, since seams of colour or normals are no holes."""
    size = float(np.ptp(surface.vertices, axis=0).max())
    grid = np.round(surface.vertices / (size * 10.0**-MERGE_DIGITS)).astype(np.int64)
    _, kept, place = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    faces = place.ravel()[surface.faces]
    distinct = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    solid = trimesh.Trimesh(surface.vertices[kept], faces[distinct], process=False)
    if not (solid.is_watertight and solid.is_winding_consistent):
        raise InputError(
            f"{path} is not watertight: close its holes and turn all its faces outwards, "
            "so that inside and outside are defined."
        )
    volume = np.linalg.det(solid.triangles).sum() / 6  # trimesh's own divides by it on the way
    if not abs(volume) > LEAST_VOLUME * size**3:
        raise InputError(f"{path} encloses no volume: a solid is needed, not a flat sheet.")
    return solid


def _check_size(vertices: Float[np.ndarray, "v 3"], path: Path) -> None:
    size = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    if not np.isfinite(vertices).all():
        raise InputError(f"{path} has vertices that are not finite numbers.")
    if not SIZE_RANGE_M[0] <= size <= SIZE_RANGE_M[1]:
        raise InputError(
            f"{path} is {size:.4g} m across, which is no size for a table: its unit seems not to be "
            "the metre; scale it to metres."
        )


def _rests(solid: trimesh.Trimesh) -> tuple[Float[np.ndarray, "3 3"], ...]:
    """Rotations onto faces of the convex hull on which the solid stays, the likeliest first; before it the
    one that has the mesh's z axis upwards, if there is one: meshes come as they usually stand."""
    transforms, shares = trimesh.poses.compute_stable_poses(solid)
    likely = [
        T[:3, :3] for T, share in zip(transforms, shares, strict=True) if share >= LEAST_REST_PROBABILITY
    ]
    likely = likely or [transforms[0][:3, :3]]
    likely.sort(key=lambda R: R[2, 2] < np.cos(np.radians(UPRIGHT_DEG)))  # sorting keeps the order of equals
    return tuple(np.asarray(R, dtype=np.float64) for R in likely)


def _textured(part: trimesh.Trimesh) -> TexturedMesh:
    vertices = np.asarray(part.vertices, dtype=np.float64)
    faces = np.asarray(part.faces, dtype=np.int64)
    visual = part.visual
    if isinstance(visual, trimesh.visual.TextureVisuals):
        texture = _material_image(visual.material)
        if visual.uv is None:
            return TexturedMesh(vertices, faces, np.full((len(vertices), 2), 0.5), texture[:1, :1])
        return _within_image(vertices, faces, np.asarray(visual.uv, dtype=np.float64), texture=texture)
    if visual is not None and visual.kind == "vertex":
        return _coloured(vertices, faces, np.asarray(visual.vertex_colors)[faces][..., :3])
    if visual is not None and visual.kind == "face":
        colours = np.asarray(visual.face_colors)[:, None, :3]
        return _coloured(vertices, faces, np.repeat(colours, 3, axis=1))
    plain = np.full((1, 1, 3), GREY, dtype=np.uint8)
    return TexturedMesh(vertices, faces, np.full((len(vertices), 2), 0.5), plain)


def _material_image(material: object) -> UInt8[np.ndarray, "h w 3"]:
    """The material's picture, or one pixel of its colour."""
    image = getattr(material, "baseColorTexture", None)
    image = getattr(material, "image", None) if image is None else image
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    colour = getattr(material, "main_color", np.full(4, GREY))
    return np.asarray(colour, dtype=np.uint8)[None, None, :3]


def _within_image(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    uv: Float[np.ndarray, "v 2"],
    *,
    texture: UInt8[np.ndarray, "h w 3"],
) -> TexturedMesh:
    """Coordinates beyond 0..1 repeat the picture; here the picture itself is repeated, up to a limit."""
    low = np.floor(np.minimum(uv.min(axis=0), 0) + 1e-6)
    tiles = np.maximum(np.ceil(np.maximum(uv.max(axis=0), 1) - 1e-6) - low, 1).astype(int)
    if tiles.prod() <= MOST_TILES:
        uv = (uv - low) / tiles
        texture = np.tile(texture, (tiles[1], tiles[0], 1))
    else:
        uv = uv - np.floor(uv)
    return TexturedMesh(vertices, faces, uv, texture)


def _coloured(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], colours: UInt8[np.ndarray, "f 3 3"]
) -> TexturedMesh:
    """Colours at corners as a texture: each face has 3x3 texels of its own, in which they run linearly."""
    columns = int(np.ceil(np.sqrt(len(faces))))
    rows = -(-len(faces) // columns)
    i, j = np.meshgrid(np.arange(3) / 2, np.arange(3) / 2, indexing="ij")
    weights = np.stack([1 - i - j, i, j], axis=-1)
    blocks = np.zeros((rows * columns, 3, 3, 3))
    blocks[: len(faces)] = np.einsum("ijk,fkc->fijc", weights, colours.astype(np.float64))
    image = blocks.reshape(rows, columns, 3, 3, 3).transpose(0, 2, 1, 3, 4).reshape(3 * rows, 3 * columns, 3)
    row, column = np.divmod(np.arange(len(faces)), columns)
    corner = np.array([[0.5, 0.5], [2.5, 0.5], [0.5, 2.5]])  # (row, column) of each corner's texel centre
    y = (3 * row[:, None] + corner[:, 0]) / (3 * rows)
    x = (3 * column[:, None] + corner[:, 1]) / (3 * columns)
    return TexturedMesh(
        vertices=vertices[faces].reshape(-1, 3),
        faces=np.arange(3 * len(faces)).reshape(-1, 3),
        uv=np.stack([x, 1 - y], axis=-1).reshape(-1, 2),
        texture=np.clip(np.rint(image), 0, 255).astype(np.uint8),
    )


def _joined(parts: list[TexturedMesh]) -> TexturedMesh:
    """Several parts as one, their pictures below one another."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.texture.shape[1] for part in parts)
    strips = [_widened(part.texture, width) for part in parts]
    height = sum(len(strip) for strip in strips)
    uvs, below = [], height
    for part, strip in zip(parts, strips, strict=True):
        below -= len(strip)
        uvs.append((part.uv * [1, len(strip)] + [0, below]) / [1, height])
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return TexturedMesh(
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)]),
        uv=np.concatenate(uvs),
        texture=np.concatenate(strips),
    )


def _widened(texture: UInt8[np.ndarray, "h w 3"], width: int) -> UInt8[np.ndarray, "h width 3"]:
    size = (width, max(2, round(texture.shape[0] * width / texture.shape[1])))
    return np.asarray(Image.fromarray(texture).resize(size, Image.Resampling.BILINEAR))
