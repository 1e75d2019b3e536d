"""Objects that no model is trained on, to test models on unknown objects. Millimetres.

Some are of kinds that the catalogue lacks; the others are of its kinds, with proportions outside its range.
"""

from __future__ import annotations

import numpy as np
from manifold3d import CrossSection, Manifold

from crisp.synth.procedural.looks import Box, Card, Wrap, flat, plain, plain_wrap
from crisp.synth.procedural.solids import (
    Part,
    assemble,
    block,
    bottle,
    lathe,
    loft,
    placed,
    plate,
    rod,
    superellipse,
    tube,
    union,
)
from crisp.synth.procedural.tools import ALONG_X
from crisp.synth.procedural.vessels import ON_ITS_BACK, into_the_wall, pot
from crisp.types import ObjectModel


def lamp() -> ObjectModel:
    """A table lamp: a foot, a stem and a shade."""
    foot = lathe([(0, 0), (46, 0), (46, 8), (20, 14), (7, 18), (0, 18)], rounding=1.5)
    stem = rod(6, 110).translate((0, 0, 14))
    shade = lathe([(0, 110), (62, 96), (62, 100), (34, 178), (0, 182)], rounding=1.5)
    cloth = Card(390, 86, "#e6d3a3").stripes((0, 0, 1, 1), ("#e6d3a3", "#c96a4b"), count=14, upright=True)
    cloth.box((0.4, 0.2, 0.6, 0.9), "#2f6f73")
    top = Card(124, 124, "#e6d3a3").sector((0, 90), "#2f6f73")
    brass = Card(290, 18, "#b08d3c").box((0.1, 0, 0.4, 1), "#3a2f16")
    parts = [
        Part(foot, Wrap(brass, flat("#b08d3c"), flat("#4a4a4a"), brass)),
        Part(stem, plain("#3a3f44")),
        Part(shade, Wrap(cloth, top, flat("#fff2cf"), cloth, steep=0.9, steep_down=0.8)),
    ]
    return assemble("lamp", parts, kind="lamp", roughness=0.5)


def toy_car() -> ObjectModel:
    chassis = block((170, 76, 34), rounding=9).translate((0, 0, 34))
    cabin = Manifold.hull(
        union(
            block((96, 70, 4), rounding=1.5).translate((-8, 0, 50)),
            block((58, 58, 4), rounding=1.5).translate((-14, 0, 80)),
        )
    )
    wheel = lathe([(0, 0), (19, 0), (21, 2), (21, 14), (19, 16), (0, 16)], segments=36).rotate((90, 0, 0))
    paint = Card(170, 34, "#d62b2b").text("51", (0.4, 0.1, 0.6, 0.9), "white").box((0, 0.7, 1, 0.85), "white")
    bonnet = Card(170, 76, "#d62b2b").box((0, 0.4, 1, 0.6), "white").box((0.8, 0.1, 0.95, 0.9), "#1b1b1b")
    nose = Card(76, 34, "#d62b2b").disc((0.2, 0.5), 0.25, "#f3e9a0").disc((0.8, 0.5), 0.25, "#f3e9a0")
    tail = (
        Card(76, 34, "#a01f1f").box((0.05, 0.3, 0.25, 0.7), "#ff8a3c").box((0.75, 0.3, 0.95, 0.7), "#ff8a3c")
    )
    glass = Card(96, 34, "#2b3a46").box((0.47, 0, 0.53, 1), "#d62b2b")
    roof = Card(96, 70, "#d62b2b").box((0, 0.4, 1, 0.6), "white")
    window = flat("#2b3a46")
    parts = [
        Part(chassis, Box(paint, paint, tail, nose, bonnet, flat("#333333"))),
        Part(cabin, Box(glass, glass, window, window, roof, window)),
        *(Part(wheel, plain("#1b1b1b"), placed((x, y + 8, 21))) for x in (-52, 52) for y in (-34, 34)),
    ]
    return assemble("toy_car", parts, kind="car", roughness=0.25)


def figurine() -> ObjectModel:
    """A robot that waves."""
    trunk = loft(
        [
            superellipse((a, b), z, power=4.0)
            for z, a, b in [(56, 26, 18), (60, 30, 22), (110, 34, 24), (118, 26, 18)]
        ]
    )
    head = block((48, 42, 40), rounding=9).translate((0, 0, 142))
    neck = rod(9, 12).translate((0, 0, 114))
    legs = union(*(block((22, 26, 62), rounding=6).translate((x, 0, 31)) for x in (-16, 16)))
    feet = union(*(block((26, 46, 14), rounding=5).translate((x, -8, 7)) for x in (-16, 16)))
    down = tube([(-30, 0, 106), (-46, 0, 92), (-50, -6, 66)], 8, count=14)
    up = tube([(30, 0, 106), (50, 0, 116), (58, -4, 146)], 8, count=14)
    face = Card(48, 40, "#8fb8c9").disc((0.3, 0.4), 0.13, "#ffd23f").disc((0.7, 0.4), 0.13, "#ffd23f")
    face.box((0.25, 0.68, 0.75, 0.8), "#1d3557")
    chest = (
        Card(68, 62, "#e07a3f")
        .grid((0.15, 0.2, 0.55, 0.6), "#1d3557", cells=(3, 3))
        .disc((0.75, 0.35), 0.14, "#c1121f")
    )
    back = Card(68, 62, "#b65a28").print((0.2, 0.2, 0.8, 0.8), "#1d3557", lines=5)
    metal, rust = flat("#8fb8c9"), flat("#e07a3f")
    parts = [
        Part(trunk, Box(chest, back, rust, rust, rust, rust)),
        Part(neck, plain("#333333")),
        Part(head, Box(face, metal, metal, metal, flat("#5f8ea3"), metal)),
        Part(legs, plain("#5f8ea3")),
        Part(feet, plain("#1d3557")),
        Part(down, plain("#8fb8c9")),
        Part(up, plain("#c1121f")),
    ]
    return assemble("figurine", parts, kind="figurine", roughness=0.4)


def bone() -> ObjectModel:
    """A chewing bone, lying."""
    shaft = tube([(-62, 0, 20), (-20, 3, 20), (20, -3, 20), (62, 0, 20)], (15, 12, 12, 15), count=20)
    ball = Manifold.sphere(22, 40)
    knobs = [ball.translate((x, y, 20)) for x in (-72, 72) for y in (-17, 17)]
    white = Card(150, 40, "#f0e6d0").text("REX", (0.3, 0.25, 0.6, 0.75), "#8c4a2f")
    tips = [plain(colour) for colour in ("#e9d8b4", "#d8c193", "#c94f4f", "#e9d8b4")]
    parts = [Part(shaft, Box(white, white, flat("#f0e6d0"), flat("#f0e6d0"), white, flat("#d9c9a5")))]
    parts += [Part(knob, looks) for knob, looks in zip(knobs, tips, strict=True)]
    return assemble("bone", parts, kind="bone", roughness=0.7)


def gear() -> ObjectModel:
    """A cogwheel with a hub, lying flat."""
    disc = CrossSection.circle(62, 72)
    tooth = CrossSection.square((16, 20), True).translate((0, 68))
    for turn in range(12):
        disc = disc + tooth.rotate(30 * turn)
    window = CrossSection.circle(12, 32).translate((0, 38))
    for turn in range(5):
        disc = disc - window.rotate(72 * turn)
    hub = rod(24, 44, segments=48)
    bore = rod(11, 80, segments=36).translate((0, 0, -10))
    key = block((8, 10, 80), rounding=1).translate((0, 12, 20))
    top = Card(156, 156, "#7f8a93").sector((0, 60), "#d9832b").sector((170, 210), "#2f6db0")
    edge = flat("#5e676f")
    parts = [
        Part(
            plate(disc.simplify(0.05), 22, bevel=1.5) - bore,
            Box(edge, edge, edge, edge, top, flat("#6b757d")),
        ),
        Part(hub - bore - key, plain("#b9953c")),
    ]
    return assemble("gear", parts, kind="gear", roughness=0.35)


def teapot() -> ObjectModel:
    body = lathe([(0, 0), (34, 0), (56, 22), (60, 48), (48, 80), (26, 92), (0, 94)], rounding=3)
    lid = lathe([(0, 0), (27, 0), (24, 8), (9, 13), (10, 24), (5, 28), (0, 28)], rounding=1)
    spout = tube([(46, 0, 34), (74, 0, 46), (84, 0, 72), (100, 0, 88)], (16, 12, 9, 7), count=18)
    grip = tube([(-46, 0, 76), (-78, 0, 82), (-92, 0, 54), (-76, 0, 28), (-50, 0, 24)], 6.5, flat=1.3)
    side = Card(370, 94, "#f3f0e8").box((0, 0.35, 1, 0.42), "#2457a6").box((0, 0.72, 1, 0.79), "#2457a6")
    side.star((0.5, 0.57), 0.14, "#c1272d", points=6).disc((0.15, 0.57), 0.12, "#e8b21c")
    cap = Card(54, 54, "#2457a6").sector((0, 80), "#e8b21c")
    parts = [
        Part(body, Wrap(side, flat("#f3f0e8"), flat("#c9c4b8"), side, steep=0.9)),
        Part(lid, Wrap(Card(170, 28, "#2457a6"), cap, flat("#2457a6"), flat("#2457a6")), placed((0, 0, 88))),
        Part(spout, plain("#2457a6")),
        Part(grip, plain("#c1272d")),
    ]
    return assemble("teapot", parts, kind="teapot", roughness=0.2)


def mug_tankard() -> ObjectModel:
    """A ship's mug: much narrower at the rim than at the foot, unlike all mugs of the catalogue."""
    body, cavity = pot([(58, 0), (62, 8), (38, 92)])
    grip = tube([(58, 0, 18), (86, 0, 20), (92, 0, 50), (74, 0, 76), (42, 0, 80)], 7, flat=1.2)
    side = Card(340, 92, "#8a5a2b").stripes((0, 0.1, 1, 0.9), ("#8a5a2b", "#70451d"), count=24, upright=True)
    side.box((0, 0.12, 1, 0.2), "#30343a").box((0, 0.78, 1, 0.86), "#30343a")
    side.box((0.4, 0.3, 0.6, 0.7), "#e9dcb5").text("ALE", (0.42, 0.36, 0.58, 0.64), "#5a1f14")
    top = Card(76, 76, "#3b2411").sector((0, 100), "#b98545")
    parts = [
        Part(body, Wrap(side, top, flat("#30343a"), flat("#3b2411"))),
        Part(grip - into_the_wall(cavity), plain("#30343a")),
    ]
    return assemble("mug_tankard", parts, kind="mug", roughness=0.5)


def bottle_flask() -> ObjectModel:
    body = bottle(
        [(0, 40, 15), (4, 47, 18), (55, 50, 20), (100, 48, 18), (118, 26, 13), (128, 13, 12)], power=3.0
    )
    cap = lathe([(0, 0), (15, 0), (15, 20), (12, 24), (0, 24)], rounding=1.5, segments=36)
    front = Card(100, 128, "#6d7680").box((0.2, 0.35, 0.8, 0.75), "#3c2a1c", corner=0.05)
    front.text("TRAIL", (0.25, 0.45, 0.75, 0.62), "#d9b36a")
    back = Card(100, 128, "#59616a").print((0.25, 0.4, 0.75, 0.7), "#c9ced3", lines=6)
    side = flat("#4b525a")
    parts = [
        Part(body, Box(front, back, side, flat("#a0452e"), flat("#7e868e"), side)),
        Part(cap, plain_wrap(Card(90, 24, "#22262a").box((0.4, 0, 0.6, 1), "#a0452e"), end="#22262a"),
             placed((0, 0, 126))),
    ]  # fmt: skip
    return assemble("bottle_flask", parts, kind="bottle", rest=(np.eye(3), ON_ITS_BACK), roughness=0.3)


def can_tuna() -> ObjectModel:
    """Flat: less than half as high as wide."""
    solid = lathe([(0, 0), (52, 0), (54, 4), (54, 40), (52, 43), (49, 43), (49, 40), (0, 40)])
    side = Card(340, 43, "#1c6fa8").box((0.35, 0.1, 0.65, 0.9), "#f4f1e6")
    side.text("TUNA", (0.4, 0.2, 0.6, 0.8), "#1c6fa8").box((0.8, 0.1, 1, 0.9), "#e2a52b")
    side.print((0.05, 0.2, 0.25, 0.8), "#f4f1e6", lines=4)
    lid = Card(108, 108, "#cfd4d8").sector((20, 110), "#1c6fa8").disc((0.5, 0.5), 0.28, "#e2a52b")
    lid.text("TUNA", (0.3, 0.42, 0.7, 0.58), "#f4f1e6")
    looks = Wrap(side, lid, flat("#9fa5aa"), flat("#cfd4d8"))
    return assemble("can_tuna", [Part(solid, looks)], kind="can", roughness=0.3)


def box_book() -> ObjectModel:
    """A thick book lying flat: flatter than all boxes of the catalogue."""
    pages = block((138, 196, 30), rounding=1)
    covers = union(*(block((146, 206, 4), rounding=1.5).translate((0, 0, z)) for z in (-16, 16)))
    spine = block((6, 206, 36), rounding=2.5).translate((-71, 0, 0))
    front = Card(146, 206, "#23395b").frame((0.06, 0.05, 0.94, 0.95), "#d8b45a")
    front.text("ATLAS", (0.15, 0.15, 0.85, 0.35), "#d8b45a").disc((0.5, 0.62), 0.2, "#7fb2e5")
    back = Card(146, 206, "#23395b").print((0.15, 0.15, 0.85, 0.6), "#c9d3e2", lines=14)
    back.barcode((0.6, 0.8, 0.9, 0.93), seed=11)
    edge, paper = flat("#1a2a44"), flat("#efe8d6")
    title = Card(206, 36, "#8c2f39").text("ATLAS", (0.2, 0.2, 0.6, 0.8), "#f3e7b9")
    parts = [
        Part(pages, Box(paper, paper, paper, paper, paper, paper)),
        Part(covers, Box(edge, edge, edge, edge, front, back)),
        Part(spine, Box(edge, edge, title, edge, edge, edge)),
    ]
    return assemble("box_book", parts, kind="box", roughness=0.6)


def tool_mallet() -> ObjectModel:
    """A wooden mallet: a thick barrel-shaped head on a short handle."""
    head = lathe([(0, 0), (30, 0), (34, 5), (36, 50), (34, 95), (30, 100), (0, 100)], rounding=2)
    handle = bottle([(0, 13, 13), (20, 15, 15), (90, 12, 12), (150, 14, 14)], power=2.2, count=18)
    wood = Card(226, 100, "#c99a5b").box((0, 0.1, 1, 0.16), "#3b3f45").box((0, 0.84, 1, 0.9), "#3b3f45")
    wood.box((0.1, 0.3, 0.35, 0.7), "#a83232").text("OAK", (0.55, 0.35, 0.75, 0.65), "#4b2c12")
    grip = Box(
        flat("#7d5a34"), flat("#8e683e"), flat("#a83232"), flat("#7d5a34"), flat("#5b4020"), flat("#5b4020")
    )
    face = flat("#b5874a")
    parts = [
        Part(head, Wrap(wood, face, Card(60, 60, "#b5874a").sector((0, 90), "#a83232"), wood),
             placed((62, 50, 0), turn=(90, 0, 0))),
        Part(handle, grip, placed((-110, 0, 0), turn=ALONG_X)),
    ]  # fmt: skip
    return assemble("tool_mallet", parts, kind="tool", roughness=0.6)
