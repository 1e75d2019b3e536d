"""How cards lie on a part: by box projection, or wrapped around an axis.

Seen from outside with z up, a card's right is the viewer's right. Front is -y, right is +x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from crisp.data.procedural.paint import Card, Number, flat

Corners = Float[np.ndarray, "f 3 3"]
Vector = Float[np.ndarray, " 3"]
Layout = tuple[Int[np.ndarray, " f"], Float[np.ndarray, "f 3 2"]]

# The strip of a wrap is continued by this share of a turn, so that faces across the seam find their print.
SEAM = 0.125


@runtime_checkable
class Looks(Protocol):
    def cells(self) -> tuple[Image.Image, ...]:
        """The pictures, one per cell."""

    def lay(self, corners: Corners, low: Vector, high: Vector) -> Layout:
        """Cell of each face and place of its corners in it (right, up; 0 to 1).

        Args:
            corners: of each face, in the part's own frame; low, high: the part's bounding box.
        """


@dataclass(frozen=True, eq=False)
class Box:
    """A card for each of the six directions; each face takes the one that it looks towards."""

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
        steep, steep_down: faces whose normal's z is above the one take the top, below minus the other
            the bottom.
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
    """Share of a turn from the back, anticlockwise; corners of one face stay together across the seam."""
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
    """One colour around, a card on top and below."""
    card = flat(side)
    return Box(card, card, card, card, ends, ends)


def plain_wrap(side: Card, *, end: str) -> Wrap:
    """A printed strip with both ends and the inside in one colour."""
    card = flat(end)
    return Wrap(side, card, card, card)
