"""Mugs, bowls, bottles and cans. Millimetres; the main label faces -y, a mug's handle is at +x (right)."""

from __future__ import annotations

import numpy as np
from manifold3d import Manifold

from crisp.synth.procedural.looks import Box, Card, Wrap, flat, plain, plain_wrap
from crisp.synth.procedural.solids import (
    Number,
    Part,
    Point2,
    Point3,
    assemble,
    block,
    bottle,
    lathe,
    placed,
    rod,
    tube,
    union,
)
from crisp.types import ObjectModel, Symmetries

WALL = 5.0


def turning_about_z() -> Symmetries:
    """A continuous symmetry about the vertical axis through the origin."""
    return Symmetries(continuous=((np.array([0.0, 0.0, 1.0]), np.zeros(3)),))


def pot(outside: list[Point2], *, segments: int = 64) -> tuple[Manifold, Manifold]:
    """A round vessel from its outer (radius, z) profile, and the solid of its cavity."""
    body = lathe([(0.0, 0.0), *outside, (0.0, outside[-1][1])], rounding=2, segments=segments)
    # Wall thickness is measured normal to the wall, not along the radius, which would thin a sloping wall.
    # The profile continues above the rim, so that the cavity is open at the top.
    (r0, z0), (r1, z1) = outside[-2:]
    above = (r1 + (r1 - r0) * 30 / (z1 - z0), z1 + 30)
    cavity = lathe([(0.0, 0.0), *outside, above, (0.0, above[1])], rounding=3, segments=segments, inset=WALL)
    return body - cavity, cavity


def _handle(cavity: Manifold, *points: Point3, radius: Number = 5.5) -> Manifold:
    return tube(points, radius, flat=1.35) - into_the_wall(cavity)


def into_the_wall(cavity: Manifold) -> Manifold:
    # An attached part must end within the wall: at the inner face, patches of it would be visible there.
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


# Lying on its back, front up; for objects flat enough not to roll.
ON_ITS_BACK = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def _ribbed_cap(radius: Number, height: Number, *, ribs: int = 12) -> Manifold:
    cap = lathe([(0, 0), (radius, 0), (radius * 0.94, height), (0, height)], rounding=1.5, segments=36)
    groove = rod(1.6, height, segments=8)
    for i in range(ribs):
        angle = 2 * np.pi * i / ribs
        cap = cap - groove.translate((radius * np.cos(angle), radius * np.sin(angle), -2))
    return cap


def bottle_mustard() -> ObjectModel:
    body = bottle(
        [(0, 42, 26), (4, 46, 29), (40, 47, 30), (95, 45, 29), (130, 40, 26), (148, 22, 18), (156, 16, 16)],
        power=2.4,
    )
    cap = lathe([(0, 0), (17, 0), (17, 12), (7, 20), (4, 38), (0, 38)], rounding=1.5, segments=36)
    front = Card(94, 156, "#f3c11b").oval((0.12, 0.24, 0.88, 0.66), "#b3241f")
    front.text("MUSTARD", (0.17, 0.36, 0.83, 0.54), "#fff4c0").text(
        "CLASSIC", (0.3, 0.7, 0.7, 0.76), "#1f4f2c"
    )
    front.box((0, 0.84, 1, 0.9), "#1f4f2c")
    back = (
        Card(94, 156, "#f3c11b")
        .box((0.14, 0.26, 0.86, 0.8), "#fbf7e6")
        .print((0.2, 0.3, 0.8, 0.58), "#444444", lines=9)
    )
    back.barcode((0.3, 0.6, 0.7, 0.77), seed=4).box((0, 0.84, 1, 0.9), "#1f4f2c")
    left, right = Card(60, 156, "#1f4f2c"), Card(60, 156, "#e88f1a")
    left.text("240 ml", (0.3, 0.3, 0.7, 0.75), "#f3c11b", turn=90)
    looks = Box(front, back, left, right, flat("#f3c11b"), flat("#d9a810"))
    parts = [
        Part(body, looks),
        Part(
            cap,
            plain_wrap(Card(100, 38, "#1f4f2c").box((0.4, 0, 0.6, 1), "#b3241f"), end="#1f4f2c"),
            placed((0, 0, 152)),
        ),
    ]
    return assemble("bottle_mustard", parts, kind="bottle", rest=(np.eye(3), ON_ITS_BACK), roughness=0.35)


def bottle_spray() -> ObjectModel:
    body = bottle(
        [(0, 36, 26), (5, 40, 29), (60, 41, 30), (115, 36, 27), (140, 22, 19), (160, 13, 13), (176, 13, 13)],
        power=2.8,
    )
    collar = _ribbed_cap(17, 22)
    head = union(
        block((74, 24, 24), rounding=7).translate((-12, 0, 212)),
        block((26, 22, 40), rounding=7).translate((2, 0, 200)),
        rod(8, 14, top=6).rotate((0, -90, 0)).translate((-46, 0, 214)),
    )
    trigger = tube([(-22, 0, 206), (-30, 0, 190), (-34, 0, 172), (-44, 0, 160)], 5, flat=1.4, count=16)
    front = Card(82, 176, "#2aa7d6").polygon([(0, 0.4), (1, 0.25), (1, 0.9), (0, 0.98)], "#f4fbff")
    front.text("SPARKLE", (0.08, 0.46, 0.92, 0.58), "#0b3f74").text("GLASS", (0.2, 0.6, 0.8, 0.7), "#e23b79")
    front.star((0.5, 0.8), 0.06, "#e23b79", points=8)
    back = (
        Card(82, 176, "#0b3f74")
        .box((0.12, 0.38, 0.88, 0.9), "#dfeaf2")
        .print((0.18, 0.42, 0.82, 0.7), "#333333", lines=10)
    )
    back.barcode((0.3, 0.73, 0.7, 0.87), seed=9)
    left = Card(60, 176, "#2aa7d6").hazard((0.2, 0.5, 0.8, 0.7))
    right = Card(60, 176, "#e23b79").text("750 ml", (0.3, 0.4, 0.7, 0.85), "white", turn=90)
    looks = Box(front, back, left, right, flat("#2aa7d6"), flat("#0b3f74"))
    white, red = flat("#eceff1"), flat("#e23b79")
    parts = [
        Part(body, looks),
        Part(collar, plain("#e23b79"), placed((0, 0, 168))),
        Part(head, Box(white, flat("#9fb4c0"), red, flat("#0b3f74"), white, white)),
        Part(trigger, plain("#e23b79")),
    ]
    return assemble("bottle_spray", parts, kind="bottle", rest=(np.eye(3), ON_ITS_BACK), roughness=0.3)


def bottle_shampoo() -> ObjectModel:
    body = bottle(
        [(0, 34, 20), (4, 38, 23), (50, 42, 25), (105, 38, 23), (135, 26, 18), (143, 20, 15)], power=3.0
    )
    cap = block((42, 32, 30), rounding=5).translate((0, 0, 155)) - block((16, 8, 6), rounding=2).translate(
        (0, -16, 160)
    )
    front = Card(84, 143, "#7b4fa3").box((0.1, 0.3, 0.9, 0.88), "#f3e9fa", corner=0.06)
    front.text("silk", (0.2, 0.36, 0.8, 0.54), "#7b4fa3").oval((0.3, 0.6, 0.7, 0.72), "#8cc63f")
    front.print((0.25, 0.76, 0.75, 0.85), "#7b4fa3", lines=3)
    back = (
        Card(84, 143, "#8cc63f")
        .print((0.16, 0.3, 0.84, 0.7), "#26400c", lines=12)
        .barcode((0.3, 0.74, 0.7, 0.9), seed=2)
    )
    left = Card(50, 143, "#4c2d6b").text("300 ml", (0.3, 0.35, 0.7, 0.8), "white", turn=90)
    right = Card(50, 143, "#7b4fa3").stripes((0, 0.25, 1, 0.95), ("#f3e9fa", "#7b4fa3"), count=7)
    looks = Box(front, back, left, right, flat("#7b4fa3"), flat("#4c2d6b"))
    top = Card(42, 32, "#d7d2dc").box((0, 0, 1, 0.5), "#8cc63f")
    lid = Box(flat("#d7d2dc"), flat("#8cc63f"), flat("#4c2d6b"), flat("#bbb4c2"), top, top)
    return assemble(
        "bottle_shampoo",
        [Part(body, looks), Part(cap, lid)],
        kind="bottle",
        rest=(np.eye(3), ON_ITS_BACK),
        roughness=0.3,
    )


def bottle_plain() -> ObjectModel:
    """A wine bottle with a label of rings: rotationally symmetric."""
    profile = [(0, 0), (34, 0), (36, 6), (36, 130), (33, 146), (18, 168), (14, 182), (14, 222), (0, 222)]
    glass = lathe(profile, rounding=5, segments=96)
    side = Card(226, 222, "#17402a").box((0, 0, 1, 0.2), "#7d1128").box((0, 0.2, 1, 0.215), "#d8b45a")
    side.box((0, 0.48, 1, 0.86), "#efe5c8").box((0, 0.5, 1, 0.52), "#d8b45a").box(
        (0, 0.82, 1, 0.84), "#d8b45a"
    )
    side.box((0, 0.6, 1, 0.72), "#7d1128")
    return assemble(
        "bottle_plain",
        [Part(glass, Wrap(side, flat("#7d1128"), flat("#17402a"), flat("#17402a"), steep=0.85))],
        kind="bottle",
        symmetries=turning_about_z(),
        roughness=0.15,
    )


def _tin(radius: Number, height: Number, *, segments: int = 64) -> Manifold:
    """A can with rims, a sunken lid and beads around its body."""
    rim, lid = radius, height - 3
    outside = [(radius - 1.2, 4.0), (radius - 1.2, height - 4), (rim, height - 3.5), (rim, height)]
    profile = [(0, 0), (rim, 0), (rim, 3.5), *outside, (rim - 2.5, height), (rim - 2.5, lid), (0, lid)]
    return lathe(profile, segments=segments)


def can_soup() -> ObjectModel:
    side = Card(220, 104, "#b9bec4").box((0, 0.06, 1, 0.94), "#c8202c").box((0, 0.5, 1, 0.94), "#f6f1e2")
    side.text("SOUP", (0.38, 0.12, 0.62, 0.46), "white").disc((0.5, 0.6), 0.14, "#d9a520")
    side.text("TOMATO", (0.4, 0.74, 0.6, 0.88), "#c8202c").box((0.68, 0.06, 0.82, 0.94), "#2f7a3d")
    side.box((0.9, 0.06, 1, 0.94), "#f6f1e2").box((0, 0.06, 0.1, 0.94), "#f6f1e2")
    side.print((0.91, 0.12, 0.99, 0.6), "#333333", lines=10).barcode((0.01, 0.5, 0.09, 0.88))
    side.box((0.18, 0.06, 0.32, 0.94), "#27408b").star((0.25, 0.5), 0.18, "#f3d25a")
    lid = Card(68, 68, "#c9ced3").sector((-60, 60), "#2f7a3d").disc((0.5, 0.5), 0.3, "#c9ced3")
    lid.box((0.44, 0.5, 0.56, 0.86), "#7d848b").sector((150, 210), "#27408b").disc(
        (0.5, 0.5), 0.12, "#7d848b"
    )
    looks = Wrap(side, lid, flat("#9aa0a6"), flat("#b9bec4"))
    return assemble("can_soup", [Part(_tin(34, 104), looks)], kind="can", roughness=0.3)


def can_striped() -> ObjectModel:
    """A slim can with rings only: rotationally symmetric."""
    profile = [(0, 0), (24, 0), (33, 9), (33, 142), (26, 154), (26, 158), (23.5, 158), (23.5, 155), (0, 155)]
    side = Card(210, 158, "#d5d8dc").stripes(
        (0, 0.12, 1, 0.9), ("#14213d", "#fca311", "#14213d", "#e5e5e5"), count=8
    )
    lid = Card(66, 66, "#14213d").disc((0.5, 0.5), 0.4, "#d5d8dc").disc((0.5, 0.5), 0.2, "#fca311")
    looks = Wrap(side, lid, flat("#a0a4a8"), flat("#d5d8dc"))
    solid = lathe(profile, rounding=1, segments=96)
    return assemble(
        "can_striped", [Part(solid, looks)], kind="can", symmetries=turning_about_z(), roughness=0.25
    )


def can_coffee() -> ObjectModel:
    side = (
        Card(330, 138, "#4a2c17")
        .box((0.34, 0.1, 0.66, 0.9), "#e8d3a8")
        .text("COFFEE", (0.36, 0.16, 0.64, 0.42), "#4a2c17")
    )
    side.oval((0.42, 0.5, 0.58, 0.82), "#8a1c1c").text("No 7", (0.45, 0.58, 0.55, 0.74), "#e8d3a8")
    side.box((0.66, 0.1, 0.84, 0.9), "#0e6b5c").print((0.69, 0.2, 0.81, 0.8), "#e8d3a8", lines=11)
    side.box((0.16, 0.1, 0.34, 0.9), "#8a1c1c").stripes(
        (0.18, 0.2, 0.32, 0.8), ("#e8d3a8", "#8a1c1c"), count=9
    )
    side.box((0.84, 0.3, 1, 0.7), "#c98f2b").box((0, 0.3, 0.16, 0.7), "#c98f2b").barcode(
        (0.02, 0.36, 0.12, 0.64)
    )
    lid = lathe([(0, 0), (52, 0), (52, 10), (46, 12), (46, 9), (0, 9)], rounding=0.8)
    top = Card(104, 104, "#e8d3a8").sector((0, 120), "#8a1c1c").disc((0.5, 0.5), 0.32, "#e8d3a8")
    top.text("FRESH", (0.25, 0.4, 0.75, 0.6), "#4a2c17").sector((200, 250), "#0e6b5c", radius=0.24)
    parts = [
        Part(_tin(50, 132), Wrap(side, flat("#c9b58c"), flat("#777777"), flat("#777777"))),
        Part(
            lid,
            Wrap(Card(330, 12, "#e8d3a8").box((0.4, 0, 0.6, 1), "#8a1c1c"), top, top, flat("#e8d3a8")),
            placed((0, 0, 128)),
        ),
    ]
    return assemble("can_coffee", parts, kind="can", roughness=0.4)
