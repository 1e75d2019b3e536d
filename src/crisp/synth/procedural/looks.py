"""Cards: images that texture the sides of a part, by box projection or wrapped around an axis.

Positions on a card are fractions of its width (to the right) and its height (down), so that one drawing fits
several proportions. Seen from outside with z up, a card's right is the viewer's right. Front is -y, right
is +x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from PIL import Image, ImageDraw, ImageFont

PIXELS_PER_MM = 2.4
Number = int | float
Area = tuple[Number, Number, Number, Number]
Spot = tuple[Number, Number]


class Card:
    """An image that is drawn step by step; every drawing method returns the card."""

    def __init__(self, width_mm: Number, height_mm: Number, colour: str) -> None:
        size = (max(8, round(width_mm * PIXELS_PER_MM)), max(8, round(height_mm * PIXELS_PER_MM)))
        self.image = Image.new("RGB", size, colour)
        self._draw = ImageDraw.Draw(self.image)

    def _pixels(self, area: Area) -> tuple[Number, Number, Number, Number]:
        w, h = self.image.size
        x0, x1 = sorted((area[0] * w, area[2] * w))
        y0, y1 = sorted((area[1] * h, area[3] * h))
        return x0, y0, max(x0 + 1, x1 - 1), max(y0 + 1, y1 - 1)

    def box(self, area: Area, colour: str, *, corner: Number = 0.0) -> Card:
        """A filled rectangle; `corner` is a fraction of the card's height."""
        self._draw.rounded_rectangle(self._pixels(area), corner * self.image.height, fill=colour)
        return self

    def frame(self, area: Area, colour: str, *, width: Number = 0.02) -> Card:
        pixels = max(1, round(width * self.image.height))
        self._draw.rectangle(self._pixels(area), outline=colour, width=pixels)
        return self

    def disc(self, at: Spot, radius: Number, colour: str) -> Card:
        """A filled circle; the radius is a fraction of the card's height."""
        w, h = self.image.size
        x, y, r = at[0] * w, at[1] * h, radius * h
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        return self

    def oval(self, area: Area, colour: str) -> Card:
        self._draw.ellipse(self._pixels(area), fill=colour)
        return self

    def polygon(self, points: Sequence[Spot], colour: str) -> Card:
        w, h = self.image.size
        self._draw.polygon([(x * w, y * h) for x, y in points], fill=colour)
        return self

    def sector(self, angles: tuple[Number, Number], colour: str, *, radius: Number = 0.75) -> Card:
        """A slice of pie about the centre; degrees clockwise from the right, radius in card widths."""
        w, h = self.image.size
        r = radius * w
        self._draw.pieslice((w / 2 - r, h / 2 - r, w / 2 + r, h / 2 + r), *angles, fill=colour)
        return self

    def star(self, at: Spot, radius: Number, colour: str, *, points: int = 5) -> Card:
        """The radius is a fraction of the card's height."""
        w, h = self.image.size
        angle = np.pi * np.arange(2 * points) / points - np.pi / 2
        r = radius * h * np.where(np.arange(2 * points) % 2, 0.45, 1.0)
        xy = np.stack([at[0] * w + r * np.cos(angle), at[1] * h + r * np.sin(angle)], 1)
        self._draw.polygon([tuple(p) for p in xy.tolist()], fill=colour)
        return self

    def text(self, words: str, area: Area, colour: str, *, turn: int = 0) -> Card:
        """Text as large as the area allows, rotated by `turn`: degrees anticlockwise, a multiple of 90."""
        font = ImageFont.load_default(size=96)
        left, top, right, bottom = font.getbbox(words)
        mask = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4), 0)
        ImageDraw.Draw(mask).text((2 - left, 2 - top), words, fill=255, font=font, stroke_width=1)
        mask = mask.rotate(turn, expand=True)
        x0, y0, x1, y1 = self._pixels(area)
        scale = min((x1 - x0) / mask.width, (y1 - y0) / mask.height)
        mask = mask.resize((max(1, round(mask.width * scale)), max(1, round(mask.height * scale))))
        corner = (round((x0 + x1 - mask.width) / 2), round((y0 + y1 - mask.height) / 2))
        self.image.paste(Image.new("RGB", mask.size, colour), corner, mask)
        return self

    def print(self, area: Area, colour: str, *, lines: int = 6) -> Card:
        """Small print: lines of word-like dashes of uneven length."""
        generator = np.random.default_rng(lines)
        x0, y0, x1, y1 = area
        pitch = (y1 - y0) / lines
        for line in range(lines):
            x, end = x0, x0 + (x1 - x0) * generator.uniform(0.7, 1.0)
            while x < end:
                word = min((x1 - x0) * generator.uniform(0.05, 0.18), end - x)
                y = y0 + pitch * (line + 0.25)
                self.box((x, y, x + word, y + 0.5 * pitch), colour)
                x += word + 0.03 * (x1 - x0)
        return self

    def barcode(self, area: Area, *, seed: int = 1) -> Card:
        self.box(area, "white")
        x0, y0, x1, y1 = area
        generator = np.random.default_rng(seed)
        margin = 0.06 * (x1 - x0)
        x = x0 + margin
        unit = (x1 - x0 - 2 * margin) / 60
        while x < x1 - margin:
            bar, gap = unit * generator.integers(1, 4, 2)
            self.box((x, y0 + 0.1 * (y1 - y0), min(x + bar, x1 - margin), y1 - 0.15 * (y1 - y0)), "black")
            x += bar + gap
        return self

    def stripes(self, area: Area, colours: Sequence[str], *, count: int = 8, upright: bool = False) -> Card:
        x0, y0, x1, y1 = area
        for i in range(count):
            a, b = i / count, (i + 1) / count
            part = (
                (x0 + a * (x1 - x0), y0, x0 + b * (x1 - x0), y1)
                if upright
                else (x0, y0 + a * (y1 - y0), x1, y0 + b * (y1 - y0))
            )
            self.box(part, colours[i % len(colours)])
        return self

    def grid(self, area: Area, colour: str, *, cells: tuple[int, int], gap: Number = 0.15) -> Card:
        """Columns x rows of tiles, such as keys or solar cells; `gap` is a share of the pitch."""
        x0, y0, x1, y1 = area
        dx, dy = (x1 - x0) / cells[0], (y1 - y0) / cells[1]
        for i in range(cells[0]):
            for j in range(cells[1]):
                x, y = x0 + i * dx, y0 + j * dy
                self.box(
                    (x + gap * dx / 2, y + gap * dy / 2, x + (1 - gap / 2) * dx, y + (1 - gap / 2) * dy),
                    colour,
                )
        return self

    def hazard(
        self, area: Area, colours: tuple[str, str] = ("#f2c200", "#151515"), *, count: int = 6
    ) -> Card:
        """Slanted warning stripes."""
        x0, y0, x1, y1 = area
        self.box(area, colours[0])
        step = (x1 - x0) / count
        for i in range(count):
            x = x0 + i * step
            self.polygon([(x, y1), (x + step / 2, y1), (x + step, y0), (x + step / 2, y0)], colours[1])
        return self


def flat(colour: str) -> Card:
    return Card(4, 4, colour)


Corners = Float[np.ndarray, "f 3 3"]
Vector = Float[np.ndarray, " 3"]
Layout = tuple[Int[np.ndarray, " f"], Float[np.ndarray, "f 3 2"]]

# A wrap's strip is repeated over this share of a turn, for faces across the seam.
SEAM = 0.125


@runtime_checkable
class Looks(Protocol):
    def cells(self) -> tuple[Image.Image, ...]:
        """The pictures, one per cell."""

    def lay(self, corners: Corners, low: Vector, high: Vector) -> Layout:
        """Each face's cell, and its corners' positions in the cell (right, up; 0 to 1).

        Args:
            corners: of each face, in the part's own frame; low, high: the part's bounding box.
        """


@dataclass(frozen=True, eq=False)
class Box:
    """Box projection: one card per axis direction; each face takes the card of the nearest direction."""

    front: Card
    back: Card
    left: Card
    right: Card
    top: Card
    bottom: Card

    def cells(self) -> tuple[Image.Image, ...]:
        order = (self.right, self.left, self.back, self.front, self.top, self.bottom)
        return tuple(card.image for card in order)

    def lay(self, corners: Corners, low: Vector, high: Vector) -> Layout:
        normal = _normals(corners)
        axis = np.abs(normal).argmax(1)
        cell = 2 * axis + (np.take_along_axis(normal, axis[:, None], 1)[:, 0] < 0)
        place = (corners - low) / np.maximum(high - low, 1e-9)
        x, y, z = np.moveaxis(place, -1, 0)
        right = np.stack([y, 1 - y, 1 - x, x, x, 1 - x])
        up = np.stack([z, z, z, z, y, y])
        face = np.arange(len(cell))
        return cell, np.stack([right[cell, face], up[cell, face]], axis=-1)


@dataclass(frozen=True, eq=False)
class Wrap:
    """A strip around z (its middle in front), a top, a bottom and an inside.

    Args:
        steep, steep_down: faces with a normal's z above `steep` take the top card, below -`steep_down` the
            bottom card.
    """

    side: Card
    top: Card
    bottom: Card
    inside: Card
    steep: Number = 0.75
    steep_down: Number = 0.75

    def cells(self) -> tuple[Image.Image, ...]:
        strips = [_continued(card.image) for card in (self.side, self.inside)]
        return (strips[0], strips[1], self.top.image, self.bottom.image)

    def lay(self, corners: Corners, low: Vector, high: Vector) -> Layout:
        normal = _normals(corners)
        middle = corners.mean(1)
        centre = (low + high) / 2
        inward = ((middle - centre)[:, :2] * normal[:, :2]).sum(1) < 0
        cell = np.where(inward, 1, 0)
        cell = np.where(normal[:, 2] > self.steep, 2, np.where(normal[:, 2] < -self.steep_down, 3, cell))
        place = (corners - low) / np.maximum(high - low, 1e-9)
        cap = np.where((cell == 3)[:, None, None], [[[-1, 1]]], 1) * (place[..., :2] - 0.5) + 0.5
        around = np.stack([_turn(corners - centre), place[..., 2]], -1)
        around[..., 0] /= 1 + SEAM
        return cell, np.where((cell < 2)[:, None, None], around, cap)


def _turn(corners: Corners) -> Float[np.ndarray, "f 3"]:
    """Angle from the back as a share of a turn, anticlockwise; continuous over faces that cross the seam."""
    turn = (np.arctan2(corners[..., 1], corners[..., 0]) / (2 * np.pi) + 0.75) % 1.0
    wide = np.ptp(turn, axis=1) > 0.5
    return np.where(wide[:, None] & (turn < 0.5), turn + 1, turn)


def _continued(strip: Image.Image) -> Image.Image:
    extra = max(1, round(SEAM * strip.width))
    longer = Image.new("RGB", (strip.width + extra, strip.height))
    longer.paste(strip, (0, 0))
    longer.paste(strip.crop((0, 0, extra, strip.height)), (strip.width, 0))
    return longer


def _normals(corners: Corners) -> Float[np.ndarray, "f 3"]:
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def plain(colour: str) -> Box:
    card = flat(colour)
    return Box(card, card, card, card, card, card)


def capped(side: str, *, ends: Card) -> Box:
    """One colour around the side, a card on top and below."""
    card = flat(side)
    return Box(card, card, card, card, ends, ends)


def plain_wrap(side: Card, *, end: str) -> Wrap:
    """A printed strip with both ends and the inside in one colour."""
    card = flat(end)
    return Wrap(side, card, card, card)
