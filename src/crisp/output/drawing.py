"""Drawings for people: estimated meshes, axes and numbers over an image, and a mesh seen from a side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation

from crisp.geometry.camera import Camera
from crisp.shape.raster import NOBODY, Posed, Raster, ShadedMesh, enlarged, rasterise

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (38, 132, 219), (240, 140, 30), (46, 168, 96), (214, 64, 88), (139, 98, 214),
    (18, 170, 178), (226, 182, 22), (224, 98, 178), (126, 148, 40), (150, 98, 66),
)  # fmt: skip
AXES: tuple[Colour, ...] = ((230, 36, 36), (30, 170, 50), (36, 90, 240))
WHITE: Colour = (255, 255, 255)
OPACITY = 0.55
SHADE = 0.6
AXIS_SHARE = 0.42  # of the object's size
FIT = 0.94  # share of a side view that its object may fill
FAR = 5.0  # a side view's camera stands this many radii away
SUPERSAMPLING = 2


@dataclass(frozen=True, eq=False)
class Drawn:
    """A mesh to draw over an image.

    Args:
        number: written beside it; it also decides the colour.
    """

    posed: Posed
    number: int


@dataclass(frozen=True)
class Missed:
    """An object without an estimate: its box (left, top, right, bottom) is drawn with its number."""

    box_px: tuple[int, int, int, int]
    number: int


def colour_of(number: int) -> Colour:
    """The colour of the detection with this number, the same in all drawings."""
    return PALETTE[number % len(PALETTE)]


def overlay(
    rgb: UInt8[np.ndarray, "h w 3"],
    camera: Camera,
    drawn: Sequence[Drawn],
    *,
    missed: Sequence[Missed] = (),
    truth: Sequence[Posed] = (),
    scale: int = 2,
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The image, `scale` times as large, with half transparent meshes over it, near ones before far ones.

    Args:
        truth: where the objects really are: drawn as white outlines.
    """
    large = enlarged(camera, scale)
    base = Image.fromarray(rgb).resize((large.width, large.height), Image.Resampling.BICUBIC)
    raster = rasterise([item.posed for item in drawn], large)
    mixed = _tinted(np.asarray(base, dtype=np.float64), raster, [colour_of(item.number) for item in drawn])
    if truth:
        line = borders(rasterise(truth, large))
        mixed[binary_dilation(line)] *= SHADE  # sets white off from white things
        mixed[line] = WHITE
    picture = Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for item in drawn:
        _draw_axes(pen, item.posed, large, width=scale)
    for index, item in enumerate(drawn):
        rows, columns = np.nonzero(raster.owner == index)
        if rows.size:
            top = rows <= rows.min() + 4 * scale
            place = (float(np.median(columns[top])), float(rows.min()))
            _draw_number(pen, item.number, place, size=13 * scale)
    for failed in missed:
        _draw_box(pen, failed, scale=scale)
    return np.array(picture)


def _tinted(
    image: Float[np.ndarray, "h w 3"], raster: Raster, colours: Sequence[Colour]
) -> Float[np.ndarray, "h w 3"]:
    """The image under half transparent surfaces with full borders."""
    covered = (raster.owner != NOBODY)[..., None]
    mixed = np.where(covered, (1 - OPACITY) * image + OPACITY * raster.shaded(colours), image)
    edge = borders(raster)
    mixed[edge] = np.array([*colours, (0, 0, 0)], dtype=np.float64)[raster.owner[edge]]
    return mixed


def borders(raster: Raster) -> Bool[np.ndarray, "h w"]:
    """Pixels of surfaces next to another surface or to none, two pixels wide."""
    owner = raster.owner
    differs = np.zeros(owner.shape, dtype=bool)
    across, down = owner[:, 1:] != owner[:, :-1], owner[1:] != owner[:-1]
    differs[:, 1:] |= across
    differs[:, :-1] |= across
    differs[1:] |= down
    differs[:-1] |= down
    return binary_dilation(differs & (owner != NOBODY)) & (owner != NOBODY)


def _draw_axes(pen: ImageDraw.ImageDraw, posed: Posed, camera: Camera, *, width: int) -> None:
    vertices = posed.surface.vertices
    length = AXIS_SHARE * float(np.linalg.norm(np.ptp(vertices, axis=0)))
    tips = np.vstack([np.zeros(3), length * np.eye(3)])
    tips = tips @ posed.T_camera_object[:3, :3].T + posed.T_camera_object[:3, 3]
    if tips[:, 2].min() <= 0:
        return
    pixels = [tuple(float(value) for value in pixel) for pixel in camera.project(tips)]
    order = sorted(range(3), key=lambda axis: -tips[axis + 1, 2])  # the one that points at us comes last
    for axis in order:
        pen.line([pixels[0], pixels[axis + 1]], fill=WHITE, width=4 * width)
        pen.line([pixels[0], pixels[axis + 1]], fill=AXES[axis], width=2 * width)


def _draw_number(pen: ImageDraw.ImageDraw, number: int, place: tuple[float, float], *, size: int) -> None:
    """A coloured disc with the number, just above the place and within the picture."""
    width, height = pen.im.size
    radius = 0.72 * size
    u = min(max(place[0], radius), width - radius)
    v = min(max(place[1] - 0.2 * size, radius), height - radius)
    disc = (u - radius, v - radius, u + radius, v + radius)
    pen.ellipse(disc, fill=colour_of(number), outline=WHITE, width=max(1, size // 9))
    font = ImageFont.load_default(size=size)
    pen.text((u, v), str(number), fill=WHITE, font=font, anchor="mm", stroke_width=0.4)


def _draw_box(pen: ImageDraw.ImageDraw, failed: Missed, *, scale: int) -> None:
    left, top, right, bottom = (scale * edge for edge in failed.box_px)
    pen.rectangle((left, top, right - 1, bottom - 1), outline=WHITE, width=3 * scale)
    pen.rectangle((left, top, right - 1, bottom - 1), outline=colour_of(failed.number), width=2 * scale)
    _draw_number(pen, failed.number, ((left + right) / 2, float(top)), size=13 * scale)


@dataclass(frozen=True)
class Side:
    """Where a side view is taken from, about the object's z axis and above its xy plane."""

    azimuth_deg: float
    elevation_deg: float


@dataclass(frozen=True, eq=False)
class Extent:
    """The ball that a side view shows: the same for two meshes means the same view and scale."""

    centre_object: Float[np.ndarray, " 3"]
    radius_m: float

    @classmethod
    def around(cls, meshes: Sequence[ShadedMesh]) -> Extent:
        """The ball about the middle of the last mesh's box that holds them all."""
        last = meshes[-1].vertices
        centre = (last.min(axis=0) + last.max(axis=0)) / 2
        reach = max(float(np.linalg.norm(mesh.vertices - centre, axis=1).max()) for mesh in meshes)
        return cls(centre, reach)


def side_view(
    mesh: ShadedMesh,
    side: Side,
    extent: Extent,
    *,
    colour: Colour,
    background: Colour = WHITE,
    size_px: int = 240,
) -> UInt8[np.ndarray, "s s 3"]:
    """A shaded mesh alone, seen from a side, z up, smooth at its edges."""
    side_px = size_px * SUPERSAMPLING
    distance = FAR * extent.radius_m
    focal = FIT * side_px / 2 * np.sqrt(FAR**2 - 1)  # the cone that just touches the ball
    centre_px = (side_px - 1) / 2
    K = np.array([[focal, 0, centre_px], [0, focal, centre_px], [0, 0, 1]])
    T = np.eye(4)
    T[:3, :3] = _rotation(side)
    T[:3, 3] = np.array([0.0, 0.0, distance]) - T[:3, :3] @ extent.centre_object
    raster = rasterise([Posed(mesh, T)], Camera(K, side_px, side_px))
    shown = np.where(
        (raster.owner != NOBODY)[..., None], raster.shaded([colour]), np.array(background, dtype=np.uint8)
    )
    return np.array(Image.fromarray(shown).resize((size_px, size_px), Image.Resampling.BOX))


def _rotation(side: Side) -> Float[np.ndarray, "3 3"]:
    """Camera from object; rows are the camera's x (right), y (down) and z (forward) in the object frame."""
    azimuth, elevation = np.radians(side.azimuth_deg), np.radians(side.elevation_deg)
    forward = -np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    return np.stack([right, np.cross(forward, right), forward])
