"""Hand tools. Millimetres; tools that lie flat have z up when lying, and their length along x."""

from __future__ import annotations

import numpy as np
from manifold3d import CrossSection, Manifold

from crisp.synth.procedural.looks import Box, Card, flat, plain, plain_wrap
from crisp.synth.procedural.solids import (
    Part,
    assemble,
    block,
    bottle,
    lathe,
    loft,
    outline,
    placed,
    plate,
    rod,
    superellipse,
    tube,
    union,
)
from crisp.types import ObjectModel

ALONG_X = (0.0, 90.0, 0.0)


def hammer() -> ObjectModel:
    """A claw hammer, its head across the right end of the handle."""
    grip = bottle(
        [(0, 15, 11), (10, 17, 12), (60, 14, 11), (120, 16, 12), (135, 12, 10)], power=2.6, count=24
    )
    shaft = bottle([(0, 11, 9), (60, 10, 8.5), (125, 11, 9)], power=2.6, count=14)
    poll = union(
        block((30, 40, 26), rounding=5),
        rod(10, 20).rotate((90, 0, 0)).translate((0, -12, 0)),
        lathe([(0, 0), (14, 0), (15, 3), (15, 13), (14, 15), (0, 15)], segments=40)
        .rotate((90, 0, 0))
        .translate((0, -30, 0)),
    )
    claw = union(
        *[
            tube(
                [(x, 12, 0), (x * 1.25, 34, -1), (x * 1.45 - 6, 52, -3)], (9.0, 7.0, 3.5), flat=1.0, count=14
            )
            for x in (-8.0, 8.0)
        ]
    )
    red = Card(30, 135, "#c21f2d").print((0.2, 0.2, 0.8, 0.8), "#f3d9da", lines=3)
    over = Card(24, 135, "#c21f2d").text("FORGE", (0.15, 0.1, 0.85, 0.7), "white", turn=90)
    under = Card(24, 135, "#1f3a6e")
    black = flat("#1a1a1a")
    # When the hammer lies, the handle's x axis points down and y across, so its left is the upper side.
    handle = Box(flat("#f2c200"), red, over, under, black, black)
    steel = Box(
        flat("#8f959b"),
        flat("#6f757b"),
        flat("#9ba1a7"),
        flat("#80868c"),
        Card(30, 90, "#a3a9af").text("16oz", (0.15, 0.42, 0.85, 0.6), "#2a2d30"),
        flat("#6f757b"),
    )
    parts = [
        Part(grip, handle, placed((-150, 0, 0), turn=ALONG_X)),
        Part(
            shaft,
            plain("#d9a866"),
            placed((-20, 0, 0), turn=ALONG_X),
        ),
        Part(poll, steel, placed((104, 0, 0))),
        Part(claw, plain("#5b6066"), placed((104, 0, 0))),
    ]
    return assemble("hammer", parts, kind="tool", roughness=0.4)


def wrench() -> ObjectModel:
    """An open jaw on the right, a ring on the left."""
    bar = CrossSection.square((150, 20), True)
    jaw = CrossSection.circle(27, 48).translate((82, 0))
    gap = CrossSection.square((40, 25), True).translate((20, 0)).rotate(18).translate((82, 0))
    ring = CrossSection.circle(21, 48).translate((-80, 0)) - CrossSection.circle(11, 6).translate((-80, 0))
    web = CrossSection.circle(11, 6).translate((-80, 0))
    section = ((bar + jaw + ring) - gap) - web
    section = (
        section.offset(-2, circular_segments=24)
        .offset(4, circular_segments=24)
        .offset(-2, circular_segments=24)
    )
    body = plate(section.simplify(0.05), 13, bevel=2)
    panel = plate(outline([(-52, -6), (50, -6), (50, 6), (-52, 6)], rounding=3), 2).translate((0, 0, 11.5))
    top = Card(212, 54, "#9aa2aa").box((0.72, 0, 1, 1), "#7d2ea8").box((0, 0, 0.22, 1), "#2a7ab8")
    under = Card(212, 54, "#9aa2aa").box((0, 0, 0.28, 1), "#7d2ea8").box((0.78, 0, 1, 1), "#2a7ab8")
    label = Card(102, 12, "#20242a").text("VANADIUM 24", (0.05, 0.12, 0.6, 0.88), "#f2c200")
    label.box((0.75, 0, 1, 1), "#f2c200")
    edge = flat("#7c848c")
    parts = [
        Part(body, Box(flat("#6a7178"), flat("#b9c0c7"), edge, edge, top, under)),
        Part(panel, Box(edge, edge, edge, edge, label, edge)),
    ]
    flipped = np.diag([1.0, -1.0, -1.0])
    return assemble("wrench", parts, kind="tool", rest=(np.eye(3), flipped), roughness=0.3)


def screwdriver() -> ObjectModel:
    """A handle with square shoulders on the left, a flat blade on the right."""
    rings = [
        superellipse((a, a), z, power=5.0, count=48)
        for z, a in [
            (0, 9),
            (2, 12.5),
            (6, 15),
            (20, 16.5),
            (60, 16),
            (74, 12.5),
            (82, 11),
            (90, 13.5),
            (96, 13.5),
            (100, 9),
        ]
    ]
    grip = loft(rings)
    for i in range(4):
        groove = (
            rod(3, 44, segments=12)
            .rotate((0, 0, 90 * i))
            .translate((18 * [1, 0, -1, 0][i], 18 * [0, 1, 0, -1][i], 18))
        )
        grip = grip - groove
    shaft = rod(4.5, 92, segments=24)
    blade = Manifold.hull(
        union(rod(4.5, 1, segments=24), block((4, 13, 4), rounding=1).translate((0, 0, 22)))
    )
    over = Card(33, 100, "#f28c1b").text("GRIP", (0.2, 0.2, 0.8, 0.62), "#1b1b1b", turn=90)
    handle = Box(flat("#1f8a4c"), flat("#1b1b1b"), over, flat("#244a9c"), flat("#c9ccd1"), flat("#c9ccd1"))
    parts = [
        Part(grip, handle, placed((0, 0, 0), turn=ALONG_X)),
        Part(shaft, plain("#b4bac0"), placed((96, 0, 0), turn=ALONG_X)),
        Part(blade, plain("#43484d"), placed((186, 0, 0), turn=ALONG_X)),
    ]
    return assemble("screwdriver", parts, kind="tool", roughness=0.3)


def drill() -> ObjectModel:
    """A cordless drill on its battery, its chuck to the right."""
    barrel = bottle(
        [(0, 22, 22), (8, 28, 27), (60, 29, 28), (100, 26, 26), (112, 20, 20)], power=2.6, count=28
    )
    handle = bottle([(0, 20, 15), (40, 18, 14), (90, 22, 17)], power=2.8, count=18)
    battery = block((88, 58, 34), rounding=6)
    chuck = lathe([(0, 0), (18, 0), (18, 14), (15, 16), (15, 26), (8, 38), (0, 38)], segments=36)
    trigger = block((16, 13, 30), rounding=5)
    bit = rod(4, 26, segments=16)
    # In the barrel's frame x points down and y across: left is up, front and back are the two sides.
    vents = Card(60, 112, "#f2b705").text("TORQ", (0.25, 0.12, 0.75, 0.75), "#16181b", turn=90)
    other = (
        Card(60, 112, "#1b6e6a")
        .grid((0.25, 0.1, 0.75, 0.4), "#0d3836", cells=(4, 5))
        .text("18V", (0.25, 0.5, 0.75, 0.85), "white", turn=270)
    )
    ridge = Card(60, 112, "#16181b").box((0.3, 0.1, 0.7, 0.9), "#d9342b").hazard((0.3, 0.1, 0.7, 0.3))
    body = Box(vents, other, ridge, flat("#16181b"), flat("#2d3035"), flat("#16181b"))
    pack_front = Card(88, 34, "#16181b").text("4.0Ah", (0.1, 0.25, 0.6, 0.75), "#f2b705")
    pack_back = Card(88, 34, "#1b6e6a").print((0.1, 0.2, 0.9, 0.8), "white", lines=4)
    pack_top = Card(88, 58, "#2d3035").box((0.65, 0, 1, 1), "#d9342b").box((0, 0, 0.25, 1), "#1b6e6a")
    pack = Box(pack_front, pack_back, flat("#1b6e6a"), flat("#d9342b"), pack_top, flat("#16181b"))
    grip = Box(
        flat("#33373d"), flat("#1b6e6a"), flat("#16181b"), flat("#f2b705"), flat("#16181b"), flat("#16181b")
    )
    jaw = plain_wrap(Card(110, 38, "#3a3e44").box((0, 0.3, 1, 0.45), "#b8bdc4"), end="#1f2226")
    parts = [
        Part(barrel, body, placed((-52, 0, 160), turn=ALONG_X)),
        Part(handle, grip, placed((-26, 0, 26), turn=(0, 6, 0))),
        Part(battery, pack, placed((-18, 0, 17))),
        Part(chuck, jaw, placed((58, 0, 160), turn=ALONG_X)),
        Part(trigger, plain("#d9342b"), placed((0, 0, 122))),
        Part(bit, plain("#a7adb3"), placed((92, 0, 160), turn=ALONG_X)),
    ]
    return assemble("drill", parts, kind="tool", roughness=0.45)
