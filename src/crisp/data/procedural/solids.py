"""Shapes to build objects from, on top of manifold3d. Millimetres here; `assembly` turns them into metres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from manifold3d import CrossSection, JoinType, Manifold, Mesh64
from scipy.interpolate import CubicSpline

# Sizes are written as they read best, 5 or 5.5.
Number = int | float
Point2 = tuple[Number, Number]
Point3 = tuple[Number, Number, Number]


def outline(points: Sequence[Point2], *, rounding: Number = 0.0) -> CrossSection:
    """A polygon (either winding), its convex and concave corners rounded with one radius."""
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
    """Turn a closed (radius, z) outline about z; the axis is no corner and stays unrounded.

    Args:
        inset: how far the outline first moves inwards.
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
    # Equal angles of the point itself, so that the corners are not starved of points.
    reach = (np.abs(c) ** power + np.abs(s) ** power) ** (-1 / power)
    return np.stack([half[0] * reach * c, half[1] * reach * s, np.full(count, z)], axis=1)


def loft(rings: Sequence[np.ndarray]) -> Manifold:
    """A skin over rings of equally many points (anticlockwise seen from the far end), with flat caps."""
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
    """A smooth skin through stations (z, half width, half depth)."""
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
    """An outline drawn up from z = 0, its rims bevelled."""
    if bevel <= 0:
        return section.extrude(thickness)
    # Clear steps of a quarter round: each is its own extrusion, so concave outlines work too.
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
