"""Bottles and cans. Millimetres; the main label is in front (-y)."""

from __future__ import annotations

import numpy as np
from manifold3d import Manifold

from crisp.data.procedural.assembly import Part, assemble, placed
from crisp.data.procedural.looks import Box, Wrap, plain, plain_wrap
from crisp.data.procedural.paint import Card, flat
from crisp.data.procedural.solids import Number, block, bottle, lathe, rod, tube, union
from crisp.data.procedural.vessels import turning_about_z
from crisp.objects import ObjectModel

# Lying on its back, front up: for what is flat enough not to roll.
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
    """A bottle of wine with a label of rings: the same from all around."""
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
    """A slim can with rings only: the same from all around."""
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
