"""Mugs and bowls. Millimetres; front is -y, the handle of a mug is on the right (+x)."""

from __future__ import annotations

import numpy as np
from manifold3d import Manifold

from crisp.data.procedural.assembly import Part, assemble, placed
from crisp.data.procedural.looks import Wrap, plain
from crisp.data.procedural.paint import Card, flat
from crisp.data.procedural.solids import Number, Point2, Point3, block, lathe, tube
from crisp.objects import ObjectModel, Symmetries

WALL = 5.0


def turning_about_z() -> Symmetries:
    """Unchanged by any turn about the vertical through the origin."""
    return Symmetries(continuous=((np.array([0.0, 0.0, 1.0]), np.zeros(3)),))


def pot(outside: list[Point2], *, segments: int = 64) -> tuple[Manifold, Manifold]:
    """A round vessel from its outer (radius, z) line, and the solid of its hollow."""
    body = lathe([(0.0, 0.0), *outside, (0.0, outside[-1][1])], rounding=2, segments=segments)
    # The wall is measured across itself, not along the radius: a bowl's slope would thin it. The hollow's
    # upper end stays clear of the rim, hence the wall continued upwards.
    (r0, z0), (r1, z1) = outside[-2:]
    above = (r1 + (r1 - r0) * 30 / (z1 - z0), z1 + 30)
    cavity = lathe([(0.0, 0.0), *outside, above, (0.0, above[1])], rounding=3, segments=segments, inset=WALL)
    return body - cavity, cavity


def _handle(cavity: Manifold, *points: Point3, radius: Number = 5.5) -> Manifold:
    return tube(points, radius, flat=1.35) - into_the_wall(cavity)


def into_the_wall(cavity: Manifold) -> Manifold:
    # What is stuck on must end inside the wall: ending on its inner face, it would show there in patches.
    return cavity.scale((1.03, 1.03, 1.0))


def mug_blue() -> ObjectModel:
    body, cavity = pot([(40, 0), (42, 8), (42, 98)])
    handle = _handle(cavity, (41, 0, 81), (58, 0, 83.2), (70, 0, 56), (60, 0, 26), (39, 0, 20))
    side = Card(264, 98, "#1d4e9e").box((0.36, 0.14, 0.64, 0.86), "#f5f1e4", corner=0.08)
    side.text("CAFE", (0.38, 0.2, 0.62, 0.5), "#1d4e9e").text(
        "GOOD MORNING", (0.38, 0.52, 0.62, 0.64), "#b5302a"
    )
    side.disc((0.5, 0.75), 0.07, "#b5302a")
    side.box((0.88, 0, 1, 1), "#e8b21c").box((0, 0, 0.12, 1), "#e8b21c").star((0.06, 0.5), 0.2, "#1d4e9e")
    side.star((0.94, 0.5), 0.2, "#1d4e9e").box((0.2, 0, 0.24, 1), "#8fc4f0")
    top = Card(84, 84, "#f5f1e4").sector((0, 90), "#b9cfe8").sector((180, 270), "#e8b21c")
    looks = Wrap(side, top, flat("#14356b"), flat("#f5f1e4"))
    return assemble(
        "mug_blue", [Part(body, looks), Part(handle, plain("#b5302a"))], kind="mug", roughness=0.2
    )


def mug_tall() -> ObjectModel:
    body, cavity = pot([(32, 0), (34, 6), (40, 150)])
    handle = _handle(cavity, (36, 0, 132), (56, 0, 134), (64, 0, 100), (58, 0, 62), (35, 0, 52), radius=5)
    side = Card(240, 150, "#c6342b").box((0, 0, 1, 0.16), "#222222").box((0, 0.88, 1, 1), "#222222")
    side.text("TRAVEL", (0.43, 0.2, 0.57, 0.84), "white", turn=90).box((0.36, 0.2, 0.4, 0.84), "#f3c93b")
    side.box((0.86, 0.22, 1, 0.82), "#e9e4d8").box((0, 0.22, 0.14, 0.82), "#e9e4d8")
    side.text("HOT", (0.88, 0.3, 0.98, 0.5), "#c6342b").print((0.02, 0.3, 0.12, 0.7), "#333333", lines=9)
    side.polygon([(0.2, 0.8), (0.25, 0.3), (0.3, 0.8)], "#f3c93b")
    top = Card(80, 80, "#3a3a3a").sector((180, 360), "#8a8a8a")
    looks = Wrap(side, top, flat("#222222"), flat("#b8b8b8"))
    return assemble(
        "mug_tall", [Part(body, looks), Part(handle, plain("#222222"))], kind="mug", roughness=0.35
    )


def mug_wide() -> ObjectModel:
    body, cavity = pot([(28, 0), (38, 4), (50, 28), (54, 66)])
    handle = _handle(cavity, (50, 0, 54), (70, 0, 56), (80, 0, 38), (68, 0, 22), (46, 0, 22), radius=5)
    side = Card(330, 66, "#f2efe9").stripes(
        (0.0, 0.1, 0.5, 0.9), ("#3f9b6c", "#f2efe9"), count=10, upright=True
    )
    for i in range(6):
        side.disc((0.53 + 0.08 * i, 0.3 + 0.4 * (i % 2)), 0.17, ("#e0592a", "#7a3f98", "#e8b21c")[i % 3])
    side.box((0, 0, 1, 0.08), "#2b5f46").box((0.42, 0.1, 0.6, 0.9), "#2b5f46").text(
        "TEA", (0.43, 0.15, 0.59, 0.85), "#f2efe9"
    )
    top = Card(108, 108, "#f7f3ea").sector((90, 180), "#3f9b6c").disc((0.68, 0.35), 0.09, "#e0592a")
    inside = Card(330, 66, "#f7f3ea").box((0.5, 0, 0.75, 1), "#e8b21c")
    looks = Wrap(side, top, flat("#2b5f46"), inside, steep_down=0.85)
    return assemble(
        "mug_wide", [Part(body, looks), Part(handle, plain("#7a3f98"))], kind="mug", roughness=0.25
    )


def bowl_plain() -> ObjectModel:
    body, _ = pot([(34, 0), (38, 3), (62, 22), (80, 62)], segments=96)
    side = Card(500, 62, "#2f8f83").box((0, 0.1, 1, 0.28), "#f4ead2").box((0, 0.42, 1, 0.5), "#f4ead2")
    top = Card(160, 160, "#f4ead2").disc((0.5, 0.5), 0.42, "#2f8f83").disc((0.5, 0.5), 0.36, "#f4ead2")
    top.disc((0.5, 0.5), 0.2, "#e08a3c").disc((0.5, 0.5), 0.15, "#f4ead2")
    looks = Wrap(side, top, flat("#8a5a3a"), flat("#f4ead2"), steep=0.2, steep_down=0.9)
    return assemble(
        "bowl_plain", [Part(body, looks)], kind="bowl", symmetries=turning_about_z(), roughness=0.25
    )


def bowl_spouted() -> ObjectModel:
    """A mixing bowl with a spout in front and a flat grip at the back."""
    body, cavity = pot([(36, 0), (42, 3), (62, 30), (68, 78)])
    spout = block((34, 44, 16), rounding=6).translate((0, -62, 70))
    groove = block((22, 60, 16), rounding=6).translate((0, -60, 77))
    grip = block((46, 40, 9), rounding=4).translate((0, 76, 72)) - block((22, 12, 30), rounding=5).translate(
        (0, 82, 72)
    )
    side = Card(420, 78, "#d9d5cc").box((0, 0.05, 0.25, 1), "#3c4f8f").box((0.25, 0.05, 0.5, 1), "#d96a8c")
    side.box((0.5, 0.05, 0.75, 1), "#f0c64a").grid((0.76, 0.1, 0.99, 0.9), "#3c4f8f", cells=(8, 5), gap=0.4)
    side.text("MIX", (0.56, 0.25, 0.7, 0.75), "#3c4f8f").star((0.37, 0.5), 0.3, "white", points=7)
    top = Card(136, 136, "#efece4").sector((0, 90), "#f0c64a").sector((90, 180), "#d96a8c")
    top.sector((180, 270), "#8fa0d8").disc((0.5, 0.5), 0.2, "#efece4")
    looks = Wrap(side, top, flat("#8d8a83"), flat("#efece4"), steep=0.2, steep_down=0.9)
    return assemble(
        "bowl_spouted",
        [
            Part(body - groove, looks),
            Part((spout - groove) - into_the_wall(cavity), plain("#f0c64a")),
            Part(grip - into_the_wall(cavity), plain("#3c4f8f"), placed()),
        ],
        kind="bowl",
        roughness=0.3,
    )
