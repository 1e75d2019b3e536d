"""From parts to an object: one watertight solid, one texture atlas, the origin at the box's centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from manifold3d import Manifold
from PIL import Image

from crisp.data.procedural.looks import Looks
from crisp.data.procedural.solids import Number, Point3
from crisp.objects import ObjectModel, Symmetries, TexturedMesh
from crisp.types import Mesh

METRES = 1e-3
ATLAS_SIZE = (1536, 1024)
MARGIN = 3
LONGEST_EDGE_MM = 16.0


def placed(at: Point3 = (0.0, 0.0, 0.0), *, turn: Point3 = (0.0, 0.0, 0.0)) -> Float[np.ndarray, "3 4"]:
    """Turned about x, then y, then z (degrees), then moved (millimetres)."""
    a, b, c = np.radians(turn)
    R_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    R_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    R_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.concatenate([R_z @ R_y @ R_x, np.asarray(at, dtype=np.float64)[:, None]], axis=1)


@dataclass(frozen=True, eq=False)
class Part:
    """A solid in its own frame (millimetres), its looks in that frame, and where it goes."""

    solid: Manifold
    looks: Looks
    place: Float[np.ndarray, "3 4"] = field(default_factory=placed)


def assemble(
    name: str,
    parts: Sequence[Part],
    *,
    kind: str,
    symmetries: Symmetries | None = None,
    rest: Sequence[Float[np.ndarray, "3 3"]] = (np.eye(3),),
    roughness: Number = 0.5,
) -> ObjectModel:
    """Join the parts and lay their cards; where parts overlap, what stays outside keeps its look."""
    marked = [part.solid.transform(part.place).as_original() for part in parts]
    joined = Manifold()
    for solid in marked:
        joined = joined + solid
    # Crossing surfaces leave slivers far below what any picture or distance can show.
    joined = joined.simplify(0.01).refine_to_length(LONGEST_EDGE_MM)
    output = joined.to_mesh64()
    vertices = np.asarray(output.vert_properties)[:, :3]
    faces = np.asarray(output.tri_verts).astype(np.int64)
    owner = _owners(output, [solid.original_id() for solid in marked])
    atlas, uv = _texture(parts, vertices[faces], owner)
    centre = (vertices.min(0) + vertices.max(0)) / 2
    vertices = (vertices - centre) * METRES
    return ObjectModel(
        name=name,
        kind=kind,
        mesh=Mesh(vertices, faces),
        surface=_split(vertices, faces, uv=uv, texture=np.array(atlas)),
        symmetries=symmetries or Symmetries(),
        rest=tuple(rest),
        roughness=roughness,
    )


def _owners(output: object, ids: list[int]) -> np.ndarray:
    starts = np.asarray(output.run_index) // 3  # type: ignore[attr-defined]
    part = np.array([ids.index(i) for i in output.run_original_id])  # type: ignore[attr-defined]
    return np.repeat(part, np.diff(starts))


def _texture(
    parts: Sequence[Part], corners: Float[np.ndarray, "f 3 3"], owner: np.ndarray
) -> tuple[Image.Image, Float[np.ndarray, "f 3 2"]]:
    cells = [part.looks.cells() for part in parts]
    pictures = {id(cell): cell for row in cells for cell in row}
    spots = _pack(pictures)
    height = max(spots[key][1] + pictures[key].height for key in pictures) + MARGIN
    atlas = Image.new("RGB", (ATLAS_SIZE[0], height))
    for key, picture in pictures.items():
        _paste(atlas, picture, spots[key])
    uv = np.zeros((len(corners), 3, 2))
    for index, (part, row) in enumerate(zip(parts, cells, strict=True)):
        mine = owner == index
        R, t = part.place[:, :3], part.place[:, 3]
        low, high = np.asarray(part.solid.bounding_box()).reshape(2, 3)
        cell, place = part.looks.lay((corners[mine] - t) @ R, low, high)
        size = np.array([row_cell.size for row_cell in row], dtype=np.float64)[cell][:, None]
        spot = np.array([spots[id(row_cell)] for row_cell in row], dtype=np.float64)[cell][:, None]
        inside = 0.5 + np.clip(place, 0, 1) * (size - 1)
        column = spot[..., 0] + inside[..., 0]
        line = spot[..., 1] + size[..., 1] - inside[..., 1]
        uv[mine] = np.stack([column / atlas.width, 1 - line / atlas.height], -1)
    return atlas, uv


def _pack(pictures: dict[int, Image.Image]) -> dict[int, tuple[int, int]]:
    """Upper left corners, in shelves from the tallest down."""
    spots = {}
    x = y = MARGIN
    shelf = 0
    for key in sorted(pictures, key=lambda k: (-pictures[k].height, -pictures[k].width)):
        width, height = pictures[key].size
        if x + width + MARGIN > ATLAS_SIZE[0]:
            x, y, shelf = MARGIN, y + shelf + 2 * MARGIN, 0
        spots[key] = (x, y)
        x, shelf = x + width + 2 * MARGIN, max(shelf, height)
    if y + shelf + MARGIN > ATLAS_SIZE[1]:
        raise ValueError(f"the cards need an atlas {y + shelf + MARGIN} pixels high")
    return spots


def _paste(atlas: Image.Image, picture: Image.Image, spot: tuple[int, int]) -> None:
    # The rim is repeated outwards, so that interpolation does not draw in the neighbour's colour.
    pixels = np.pad(np.asarray(picture), ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
    atlas.paste(Image.fromarray(pixels), (spot[0] - MARGIN, spot[1] - MARGIN))


def _split(
    vertices: np.ndarray, faces: np.ndarray, *, uv: Float[np.ndarray, "f 3 2"], texture: np.ndarray
) -> TexturedMesh:
    keys = np.column_stack([faces.reshape(-1), np.round(uv.reshape(-1, 2) * 65536).astype(np.int64)])
    _, first, index = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return TexturedMesh(
        vertices=vertices[faces.reshape(-1)[first]],
        faces=index.reshape(-1, 3),
        uv=uv.reshape(-1, 2)[first],
        texture=texture,
    )
