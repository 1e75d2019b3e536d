"""Solids to build objects from (manifold3d, millimetres), and their assembly into textured objects in metres.

An assembled object is one watertight solid with one texture atlas; its origin is the bounding box's centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from manifold3d import CrossSection, JoinType, Manifold, Mesh64
from PIL import Image
from scipy.interpolate import CubicSpline

from crisp.synth.procedural.looks import Looks
from crisp.types import Mesh, ObjectModel, Symmetries, TexturedMesh

# Sizes may be written as int or float: 5 or 5.5.
Number = int | float
Point2 = tuple[Number, Number]
Point3 = tuple[Number, Number, Number]


def outline(points: Sequence[Point2], *, rounding: Number = 0.0) -> CrossSection:
    """A polygon (of either winding), its convex and concave corners rounded with one radius."""
    section = CrossSection([np.asarray(points, dtype=np.float64)])
    if section.area() < 0 or section.is_empty():
        section = CrossSection([np.asarray(points[::-1], dtype=np.float64)])
    return _rounded(section, rounding)


def _rounded(section: CrossSection, radius: Number) -> CrossSection:
    if radius <= 0:
        return section
    for step in (-radius, 2 * radius, -radius):
        section = section.offset(step, JoinType.Round, circular_segments=24)
    return section.simplify(0.02)


def lathe(
    profile: Sequence[Point2], *, rounding: Number = 0.0, segments: int = 64, inset: Number = 0.0
) -> Manifold:
    """Revolve a closed (radius, z) outline about z; corners on the axis are not rounded.

    Args:
        inset: the outline is first offset inwards by this much.
    """
    half = outline(profile)
    if rounding <= 0 and inset <= 0:
        return half.revolve(segments)
    whole = half + half.mirror((1.0, 0.0))
    whole = whole.offset(-inset, JoinType.Miter, 4.0) if inset > 0 else whole
    return _rounded(whole, rounding).revolve(segments)


def rod(radius: Number, length: Number, *, top: Number | None = None, segments: int = 32) -> Manifold:
    """A cylinder or cone from z = 0 up."""
    end = radius if top is None else top
    return Manifold.cylinder(length, radius, end, segments)


def superellipse(half: Point2, z: Number, *, power: Number = 2.0, count: int = 64) -> np.ndarray:
    """A ring (count, 3) at height z: power 2 is an ellipse, 4 and more a rounded rectangle."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    # Points at equal polar angles, so that the corners get enough of them.
    reach = (np.abs(c) ** power + np.abs(s) ** power) ** (-1 / power)
    return np.stack([half[0] * reach * c, half[1] * reach * s, np.full(count, z)], axis=1)


def loft(rings: Sequence[np.ndarray]) -> Manifold:
    """A loft through rings of equally many points (anticlockwise seen from the far end), with flat caps."""
    points = np.concatenate([*rings, [rings[0].mean(0)], [rings[-1].mean(0)]])
    count, total = len(rings[0]), len(rings)
    here = np.arange(count)
    there = (here + 1) % count
    faces = []
    for low in range(0, (total - 1) * count, count):
        high = low + count
        faces.append(np.stack([low + here, low + there, high + there], 1))
        faces.append(np.stack([low + here, high + there, high + here], 1))
    last = (total - 1) * count
    faces.append(np.stack([np.full(count, total * count), there, here], 1))
    faces.append(np.stack([np.full(count, total * count + 1), last + here, last + there], 1))
    return from_mesh(points, np.concatenate(faces))


def from_mesh(vertices: np.ndarray, faces: np.ndarray) -> Manifold:
    solid = Manifold(Mesh64(vertices.astype(np.float64), faces.astype(np.uint64)))
    if solid.is_empty() or solid.volume() <= 0:
        raise ValueError(f"the faces do not close a solid: {solid.status()}")
    return solid


def spline(points: Sequence[Sequence[Number]], count: int) -> np.ndarray:
    """A smooth curve through the points, `count` samples."""
    values = np.asarray(points, dtype=np.float64)
    steps = np.linalg.norm(np.diff(values, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    return CubicSpline(at, values)(np.linspace(0, at[-1], count))


def bottle(stations: Sequence[Sequence[Number]], *, power: Number = 2.0, count: int = 36) -> Manifold:
    """A smooth loft through sections (z, half width, half depth)."""
    curve = spline(stations, count)
    curve = curve[np.argsort(curve[:, 0])]
    return loft([superellipse((max(a, 0.5), max(b, 0.5)), z, power=power) for z, a, b in curve])


def tube(
    points: Sequence[Point3], radius: Number | Sequence[Number], *, flat: Number = 1.0, count: int = 24
) -> Manifold:
    """A bent bar with rounded ends along a smooth curve.

    Args:
        points: at least three; the bar's width lies across the plane of the bend.
        radius: one, or one per point (interpolated).
        flat: width over thickness.
    """
    path = spline(points, count)
    radii = (
        np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(points)), radius)
        if isinstance(radius, Sequence)
        else np.full(count, float(radius))
    )
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    path, radii, tangent = _round_ends(path, radii, tangent)
    side = np.cross(path[count // 2] - path[0], path[-1] - path[0])
    if np.linalg.norm(side) < 1e-6:
        side = np.cross(tangent[0], [0.0, 1.0, 0.1])
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    rings = []
    for centre, r, t in zip(path, radii, tangent, strict=True):
        across = side - t * (side @ t)
        across /= np.linalg.norm(across)
        up = np.cross(t, across)
        rings.append(centre + r * (flat * np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * up))
    return loft(rings)


def _round_ends(
    path: np.ndarray, radii: np.ndarray, tangent: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    angle = np.radians([20.0, 45.0, 70.0])
    start = path[0] - tangent[0] * (radii[0] * np.sin(angle[::-1]))[:, None]
    end = path[-1] + tangent[-1] * (radii[-1] * np.sin(angle))[:, None]
    repeat = np.ones((3, 1))
    return (
        np.concatenate([start, path, end]),
        np.concatenate([radii[0] * np.cos(angle[::-1]), radii, radii[-1] * np.cos(angle)]),
        np.concatenate([repeat * tangent[0], tangent, repeat * tangent[-1]]),
    )


def block(size: Point3, *, rounding: Number = 2.0, segments: int = 16) -> Manifold:
    """A box centred on the origin, its edges and corners rounded."""
    radius = min(rounding, 0.499 * min(size))
    ball = Manifold.sphere(radius, segments)
    reach = np.asarray(size) / 2 - radius
    corners = [ball.translate(reach * sign) for sign in _SIGNS]
    return Manifold.batch_hull(corners)


_SIGNS = tuple(np.array([x, y, z], dtype=np.float64) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1))


def plate(section: CrossSection, thickness: Number, *, bevel: Number = 0.0) -> Manifold:
    """An outline extruded upwards from z = 0, its rims bevelled."""
    if bevel <= 0:
        return section.extrude(thickness)
    # The bevel is a quarter circle in steps; each step is its own extrusion, so concave outlines work too.
    slab = section.offset(-bevel, JoinType.Round, circular_segments=24).extrude(thickness)
    for share in (0.3, 0.7, 1.0):
        inset = bevel * (1 - np.sqrt(1 - (1 - share) ** 2))
        ring = section.offset(-inset, JoinType.Round, circular_segments=24) if inset > 0 else section
        slab = slab + ring.extrude(thickness - 2 * bevel * (1 - share)).translate((0, 0, bevel * (1 - share)))
    return slab


def union(*solids: Manifold) -> Manifold:
    total = Manifold()
    for solid in solids:
        total = total + solid
    return total


METRES = 1e-3
ATLAS_SIZE = (1536, 1024)
MARGIN = 3
LONGEST_EDGE_MM = 16.0


def placed(at: Point3 = (0.0, 0.0, 0.0), *, turn: Point3 = (0.0, 0.0, 0.0)) -> Float[np.ndarray, "3 4"]:
    """The solid rotated about x, then y, then z (degrees), then translated (millimetres)."""
    a, b, c = np.radians(turn)
    R_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    R_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    R_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.concatenate([R_z @ R_y @ R_x, np.asarray(at, dtype=np.float64)[:, None]], axis=1)


@dataclass(frozen=True, eq=False)
class Part:
    """A solid in its own frame (millimetres), its textures in that frame, and its pose in the object."""

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
    """Unite the parts and texture them with their cards; every outer face keeps its own part's texture."""
    marked = [part.solid.transform(part.place).as_original() for part in parts]
    joined = Manifold()
    for solid in marked:
        joined = joined + solid
    # Intersecting surfaces leave slivers far smaller than an image or a distance can resolve.
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
    """Upper left corners of the cards in the atlas, packed in shelves, tallest first."""
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
    # Border pixels are repeated outwards, so that interpolation does not mix in a neighbour's colour.
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
