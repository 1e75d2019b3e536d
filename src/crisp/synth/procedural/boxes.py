"""Cardboard boxes, laptops and cameras. Millimetres.

The front is -y: a box's main print, a laptop's user, a camera's subject.
"""

from __future__ import annotations

import numpy as np
from manifold3d import Manifold

from crisp.synth.procedural.looks import Box, Card, Wrap, capped, flat, plain
from crisp.synth.procedural.solids import Number, Part, Point2, assemble, block, lathe, placed, rod, union
from crisp.synth.procedural.vessels import ON_ITS_BACK
from crisp.types import ObjectModel, Symmetries

HALF_TURN_ABOUT_Z = np.diag([-1.0, -1.0, 1.0, 1.0])


def box_cereal() -> ObjectModel:
    width, depth, height = 160, 52, 225
    front = Card(width, height, "#f2a01e").polygon([(0, 0.62), (1, 0.45), (1, 1), (0, 1)], "#d1242f")
    front.text("CRUNCH", (0.06, 0.05, 0.94, 0.22), "#7a1016").text(
        "HONEY OATS", (0.2, 0.24, 0.8, 0.31), "white"
    )
    front.oval((0.2, 0.55, 0.8, 0.9), "#fdf6e3").oval((0.27, 0.59, 0.73, 0.78), "#c98a3b")
    for i in range(7):
        front.disc((0.32 + 0.06 * i, 0.66 + 0.04 * (i % 2)), 0.022, "#8a5520")
    back = (
        Card(width, height, "#fdf6e3")
        .box((0, 0, 1, 0.12), "#2457a6")
        .text("PLAY & WIN", (0.15, 0.02, 0.85, 0.1), "white")
    )
    back.grid((0.1, 0.18, 0.6, 0.55), "#7fb2e5", cells=(5, 5)).print(
        (0.1, 0.6, 0.6, 0.92), "#444444", lines=12
    )
    back.barcode((0.66, 0.75, 0.94, 0.92), seed=5).star((0.8, 0.36), 0.12, "#f2a01e", points=9)
    left = (
        Card(depth, height, "#2457a6")
        .box((0.12, 0.1, 0.88, 0.6), "white")
        .print((0.18, 0.13, 0.82, 0.57), "#222222", lines=16)
    )
    right = Card(depth, height, "#d1242f").text("CRUNCH", (0.25, 0.1, 0.75, 0.9), "#fdf6e3", turn=90)
    top = (
        Card(width, depth, "#f2a01e")
        .box((0, 0, 0.3, 1), "#d1242f")
        .text("OPEN", (0.4, 0.3, 0.8, 0.7), "#7a1016")
    )
    looks = Box(front, back, left, right, top, flat("#b08040"))
    solid = block((width, depth, height), rounding=2)
    return assemble(
        "box_cereal", [Part(solid, looks)], kind="box", rest=(np.eye(3), ON_ITS_BACK), roughness=0.6
    )


def box_tea() -> ObjectModel:
    """A long low box with a raised lid."""
    width, depth, height = 170, 90, 58
    front = Card(width, height, "#1b5e3a").text("GREEN TEA", (0.08, 0.2, 0.7, 0.6), "#f3e7b9")
    front.disc((0.86, 0.5), 0.3, "#f3e7b9").polygon([(0.82, 0.7), (0.86, 0.25), (0.9, 0.7)], "#1b5e3a")
    front.box((0, 0.86, 1, 0.93), "#d9b84a")
    back = Card(width, height, "#f3e7b9").print((0.05, 0.15, 0.5, 0.85), "#1b5e3a", lines=8)
    back.barcode((0.65, 0.25, 0.92, 0.75), seed=7)
    left = Card(depth, height, "#d9b84a").text("40", (0.3, 0.2, 0.7, 0.8), "#1b5e3a")
    right = Card(depth, height, "#8c2f39").text("BIO", (0.25, 0.25, 0.75, 0.75), "white")
    top = (
        Card(width, depth, "#1b5e3a").box((0, 0, 0.25, 1), "#d9b84a").oval((0.4, 0.15, 0.9, 0.85), "#f3e7b9")
    )
    top.text("TEA", (0.48, 0.3, 0.82, 0.7), "#8c2f39").box((0.25, 0, 0.28, 1), "#8c2f39")
    body = block((width - 6, depth - 6, 40), rounding=1.5).translate((0, 0, 20))
    lid = block((width, depth, 30), rounding=2.5).translate((0, 0, 43))
    looks = Box(front, back, left, right, top, flat("#7a6a3a"))
    lower = Box(
        flat("#f3e7b9"), flat("#1b5e3a"), flat("#8c2f39"), flat("#d9b84a"), flat("#f3e7b9"), flat("#7a6a3a")
    )
    return assemble("box_tea", [Part(body, lower), Part(lid, looks)], kind="box", roughness=0.6)


def box_tissues() -> ObjectModel:
    """A box with a slot on top, symmetric under a half turn about z: its prints come in pairs."""
    width, depth, height = 150, 96, 84
    long = Card(width, height, "#f6d5dc").polygon([(0, 1), (0.25, 0.4), (0.5, 1)], "#d2607d")
    long.polygon([(0.35, 1), (0.65, 0.2), (0.95, 1)], "#8d3b58").text(
        "SOFT", (0.08, 0.08, 0.45, 0.34), "#8d3b58"
    )
    short = (
        Card(depth, height, "#5f8fa8")
        .text("soft", (0.2, 0.3, 0.8, 0.7), "white")
        .box((0, 0.85, 1, 0.92), "white")
    )
    corner = Card(width, depth, "#f6d5dc").polygon([(0, 1), (0, 0.45), (0.4, 1)], "#5f8fa8")
    corner.polygon([(1, 0), (1, 0.55), (0.6, 0)], "#5f8fa8").oval((0.16, 0.24, 0.84, 0.76), "#8d3b58")
    solid = block((width, depth, height), rounding=3)
    slot = block((84, 26, 24), rounding=10).translate((0, 0, height / 2))
    looks = Box(long, long, short, short, corner, flat("#c9a3ac"))
    inner = Part(
        slot.translate((0, 0, -6)) ^ Manifold.cube((90, 40, 8), True).translate((0, 0, 29)), plain("#ffffff")
    )
    return assemble(
        "box_tissues",
        [Part(solid - slot, looks), inner],
        kind="box",
        symmetries=Symmetries(discrete=(HALF_TURN_ABOUT_Z,)),
        roughness=0.7,
    )


def box_milk() -> ObjectModel:
    """A carton with a gabled roof and a screw cap on its right slope."""
    side, height, ridge = 72.0, 150.0, 190.0
    half = side / 2
    shell = Manifold.hull_points(
        np.array(
            [(x, y, z) for x in (-half, half) for y in (-half, half) for z in (0.0, height)]
            + [(x, y, ridge) for x in (-3.5, 3.5) for y in (-half, half)]
        )
    )
    fin = block((7, side, 16), rounding=1.5).translate((0, 0, ridge + 3))
    cap = lathe([(0, 0), (13, 0), (13, 9), (0, 9)], rounding=1.5, segments=32)
    front = (
        Card(side, ridge, "#f7f9fb")
        .box((0, 0.5, 1, 1), "#1f77c9")
        .text("MILK", (0.1, 0.34, 0.9, 0.48), "#1f77c9")
    )
    front.oval((0.2, 0.58, 0.8, 0.78), "#f7f9fb").disc((0.42, 0.66), 0.035, "#222222").disc(
        (0.6, 0.7), 0.025, "#222222"
    )
    front.text("1.5 %", (0.25, 0.84, 0.75, 0.94), "white")
    back = (
        Card(side, ridge, "#1f77c9")
        .box((0.1, 0.32, 0.9, 0.72), "white")
        .print((0.16, 0.35, 0.84, 0.68), "#333333", lines=10)
    )
    back.barcode((0.2, 0.76, 0.8, 0.92), seed=3)
    left = (
        Card(side, ridge, "#6bbf59")
        .text("FARM", (0.15, 0.4, 0.85, 0.56), "white")
        .box((0, 0.7, 1, 0.76), "white")
    )
    right = Card(side, ridge, "#f0d23c").text("FRESH", (0.35, 0.3, 0.65, 0.95), "#1f77c9", turn=90)
    top = Card(side, side, "#6bbf59").box((0.5, 0, 1, 1), "#f0d23c").box((0, 0, 0.5, 0.35), "white")
    parts = [
        Part(shell, Box(front, back, left, right, top, flat("#dddddd"))),
        Part(
            fin,
            Box(
                flat("#1f77c9"),
                flat("#f7f9fb"),
                flat("#f7f9fb"),
                flat("#f7f9fb"),
                flat("#1f77c9"),
                flat("#dddddd"),
            ),
        ),
        Part(cap, plain("#d1242f"), placed((18.5, 4, 167), turn=(0, 39, 0))),
    ]
    return assemble("box_milk", parts, kind="box", roughness=0.45)


FACING_FRONT = (90.0, 0.0, 0.0)


def _keyboard(size: Point2, *, deck: str, keys: str, accent: str) -> Card:
    card = Card(*size, deck).box((0.05, 0.06, 0.95, 0.58), "#101214", corner=0.02)
    card.grid((0.06, 0.08, 0.94, 0.44), keys, cells=(14, 4)).grid(
        (0.06, 0.46, 0.24, 0.56), keys, cells=(3, 1)
    )
    card.box((0.27, 0.47, 0.66, 0.55), keys).grid((0.7, 0.46, 0.94, 0.56), keys, cells=(4, 1))
    card.box((0.06, 0.09, 0.115, 0.15), accent).box((0.88, 0.25, 0.935, 0.34), accent)
    card.box((0.33, 0.64, 0.67, 0.95), "#8b9096", corner=0.03).frame(
        (0.33, 0.64, 0.67, 0.95), "#55585c", width=0.01
    )
    return card.box((0.74, 0.68, 0.94, 0.88), accent)


def _laptop(name: str, size: Point2, *, opening: Number, base: Box, lid: Box) -> ObjectModel:
    """Base and lid, hinged at the back; `opening` in degrees from closed."""
    width, depth = size
    slab = block((width, depth, 12), rounding=3.5).translate((0, 0, 6))
    screen = block((width, depth * 0.96, 9), rounding=3.5).translate((0, 0, depth * 0))
    hinge = rod(6.5, width * 0.8, segments=24).translate((0, 0, -width * 0.4)).rotate((0, 90, 0))
    # The lid's frame is that of an upright card: its front is the display.
    standing = screen.rotate((90, 0, 0)).translate((0, 0, depth * 0.48))
    parts = [
        Part(slab, base),
        Part(standing, lid, placed((0, depth / 2 - 4, 10), turn=(90.0 - opening, 0, 0))),
        Part(hinge, plain("#2b2d30"), placed((0, depth / 2 - 4, 11))),
    ]
    return assemble(name, parts, kind="laptop", roughness=0.4)


def laptop_silver() -> ObjectModel:
    size = (196.0, 134.0)
    deck = _keyboard(size, deck="#c3c7cc", keys="#2a2c2f", accent="#e2622b")
    show = (
        Card(200, 132, "#15171a")
        .box((0.03, 0.05, 0.97, 0.93), "#3a7bd5")
        .box((0.03, 0.05, 0.97, 0.12), "#e9edf2")
    )
    show.polygon([(0.03, 0.93), (0.3, 0.45), (0.5, 0.75), (0.7, 0.35), (0.97, 0.93)], "#1e3f66")
    show.disc((0.8, 0.28), 0.08, "#ffd76a").box((0.07, 0.2, 0.38, 0.45), "white").print(
        (0.09, 0.23, 0.36, 0.43), "#333333", lines=5
    )
    lid = Card(200, 132, "#c3c7cc").disc((0.5, 0.5), 0.16, "#e2622b").disc((0.5, 0.5), 0.09, "#c3c7cc")
    lid.box((0.06, 0.08, 0.26, 0.3), "#2a9d5c").text("PRO", (0.08, 0.12, 0.24, 0.26), "white")
    edge = flat("#aeb3b9")
    ports = (
        Card(138, 12, "#aeb3b9").box((0.2, 0.3, 0.3, 0.7), "#111111").box((0.4, 0.3, 0.46, 0.7), "#111111")
    )
    base = Box(Card(200, 12, "#8e949b"), flat("#6d7278"), ports, edge, deck, flat("#7d838a"))
    return _laptop("laptop_silver", size, opening=108, base=base, lid=Box(show, lid, edge, edge, edge, edge))


def laptop_black() -> ObjectModel:
    size = (172.0, 120.0)
    deck = _keyboard(size, deck="#26282c", keys="#4d5158", accent="#d11f2f").box(
        (0.02, 0.66, 0.3, 0.95), "#3d6b35"
    )
    show = (
        Card(172, 115, "#0b0c0e")
        .box((0.03, 0.05, 0.97, 0.93), "#f4f4f1")
        .box((0.03, 0.05, 0.25, 0.93), "#30323a")
    )
    show.print((0.29, 0.12, 0.9, 0.5), "#555555", lines=9).box((0.29, 0.56, 0.58, 0.88), "#e4572e")
    show.stripes((0.62, 0.56, 0.93, 0.88), ("#2e86ab", "#f4f4f1"), count=7, upright=True)
    show.print((0.06, 0.1, 0.22, 0.5), "#d0d0d0", lines=7)
    lid = (
        Card(172, 115, "#26282c")
        .box((0.7, 0, 0.8, 1), "#d11f2f")
        .text("NOTE", (0.1, 0.36, 0.6, 0.64), "#e6e6e6")
    )
    lid.star((0.9, 0.2), 0.09, "#f2c200")
    edge, red = flat("#1a1b1e"), flat("#d11f2f")
    base = Box(flat("#1a1b1e"), flat("#d11f2f"), edge, red, deck, flat("#1a1b1e"))
    return _laptop("laptop_black", size, opening=132, base=base, lid=Box(show, lid, edge, red, edge, edge))


def _lens(radius: Number, length: Number, *, rings: int) -> Manifold:
    """A barrel along z with raised rings and a hollow in front."""
    outside: list[Point2] = [(radius, 0.0)]
    step = length / rings
    for i in range(rings):
        r = radius - 1.2 * (i % 2)
        outside += [(r, i * step), (r, (i + 1) * step)]
    r = outside[-1][0]
    profile = [(0.0, 0.0), *outside, (r - 3, length), (r - 7, length - 7), (0.0, length - 6)]
    return lathe(profile, segments=48)


def _lens_looks(radius: Number, length: Number, *, barrel: str, ring: str, glass: str) -> Wrap:
    side = Card(2 * np.pi * radius, length, barrel).box((0, 0.08, 1, 0.2), ring)
    side.grid((0, 0.42, 1, 0.62), "#3c3f43", cells=(40, 1), gap=0.4).box((0.46, 0.66, 0.54, 0.9), "white")
    face = (
        Card(2 * radius, 2 * radius, barrel).disc((0.5, 0.5), 0.36, "#090a0c").disc((0.5, 0.5), 0.26, glass)
    )
    face.disc((0.42, 0.4), 0.07, "#d8e6ff")
    return Wrap(side, face, flat(barrel), flat("#090a0c"), steep=0.5)


def camera_slr() -> ObjectModel:
    body = union(
        block((128, 46, 78), rounding=7).translate((0, 0, 39)),
        block((30, 26, 70), rounding=10).translate((-50, -24, 36)),
        block((48, 44, 34), rounding=8).translate((6, -2, 82)),
    )
    knob = rod(12, 10, segments=32)
    shutter = rod(6, 8, segments=24)
    front = (
        Card(128, 100, "#1c1e21")
        .box((0, 0.42, 1, 0.9), "#33373c")
        .text("ORBIT", (0.4, 0.05, 0.7, 0.2), "white")
    )
    front.box((0.78, 0.28, 0.97, 0.38), "#c9a227")
    back = Card(128, 100, "#1c1e21").box((0.2, 0.36, 0.72, 0.86), "#4b8fbf", corner=0.03)
    back.polygon([(0.2, 0.86), (0.4, 0.55), (0.55, 0.86)], "#2f5d3a").disc((0.86, 0.6), 0.1, "#777c82")
    back.oval((0.42, 0.08, 0.62, 0.24), "#08090a").box((0.8, 0.32, 0.92, 0.4), "#b3202c")
    left = Card(70, 100, "#33373c").grid((0.25, 0.5, 0.8, 0.9), "#15171a", cells=(1, 3))
    right = Card(70, 100, "#1c1e21").text("4K", (0.3, 0.5, 0.7, 0.75), "#c9a227")
    top = (
        Card(128, 70, "#25282c")
        .box((0.7, 0.1, 0.95, 0.5), "#7fae8e")
        .print((0.72, 0.15, 0.93, 0.45), "#1c1e21", lines=3)
    )
    top.box((0.46, 0.3, 0.62, 0.6), "#9aa0a6").box((0, 0.85, 0.35, 1), "#b3202c")
    dial = Card(24, 24, "#9aa0a6").sector((0, 60), "#1c1e21").sector((120, 180), "#b3202c")
    parts = [
        Part(body, Box(front, back, left, right, top, flat("#15171a"))),
        Part(
            _lens(31, 58, rings=7),
            _lens_looks(31, 58, barrel="#17181b", ring="#b3202c", glass="#4a3b7d"),
            placed((8, -18, 38), turn=FACING_FRONT),
        ),
        Part(knob, capped("#9aa0a6", ends=dial), placed((48, 4, 77))),
        Part(shutter, plain("#b3202c"), placed((-50, -18, 70))),
    ]
    return assemble("camera_slr", parts, kind="camera", roughness=0.45)


def camera_compact() -> ObjectModel:
    body = block((112, 32, 66), rounding=9).translate((0, 0, 33))
    front = (
        Card(112, 66, "#e4572e")
        .box((0, 0.3, 1, 0.78), "#2b2b2b")
        .text("pico", (0.05, 0.05, 0.35, 0.26), "white")
    )
    front.box((0.76, 0.06, 0.94, 0.24), "#f7f3d0")
    back = (
        Card(112, 66, "#c9ccd1")
        .box((0.06, 0.12, 0.68, 0.88), "#20252b")
        .box((0.1, 0.18, 0.64, 0.82), "#76b6d9")
    )
    back.disc((0.83, 0.55), 0.18, "#20252b").disc((0.83, 0.55), 0.07, "#e4572e").disc(
        (0.55, 0.4), 0.1, "#f2d15c"
    )
    top = Card(112, 32, "#c9ccd1").box((0, 0, 0.3, 1), "#2b2b2b").disc((0.42, 0.5), 0.14, "#2b2b2b")
    left, right = flat("#2b2b2b"), flat("#e4572e")
    parts = [
        Part(body, Box(front, back, left, right, top, flat("#555555"))),
        Part(
            _lens(25, 28, rings=5),
            _lens_looks(25, 28, barrel="#b8bcc2", ring="#2b2b2b", glass="#1f5f5b"),
            placed((-10, -13, 32), turn=FACING_FRONT),
        ),
        Part(rod(9, 6, segments=24), plain("#e4572e"), placed((32, 0, 64))),
        Part(block((20, 14, 10), rounding=3), plain("#2b2b2b"), placed((-34, 2, 67))),
    ]
    return assemble("camera_compact", parts, kind="camera", roughness=0.3)


def camera_web() -> ObjectModel:
    """A webcam: a horizontal barrel as its head, on a foot."""
    head = block((96, 36, 36), rounding=16, segments=24).translate((0, 0, 72))
    neck = block((24, 18, 52), rounding=6).translate((0, 6, 36))
    foot = block((84, 62, 14), rounding=6).translate((0, 8, 7))
    front = (
        Card(96, 36, "#f0f0ee")
        .disc((0.8, 0.5), 0.14, "#31c46b")
        .text("HD", (0.08, 0.3, 0.26, 0.7), "#444444")
    )
    back = Card(96, 36, "#3b3f8f").grid((0.2, 0.3, 0.8, 0.7), "#15173f", cells=(10, 3))
    top = Card(96, 36, "#f0f0ee").box((0, 0, 0.33, 1), "#31c46b").box((0.33, 0, 1, 0.3), "#3b3f8f")
    shell = Box(front, back, flat("#31c46b"), flat("#f08a24"), top, flat("#9a9a98"))
    tread = Card(84, 62, "#2c2e33").box((0, 0, 0.5, 0.5), "#3b3f8f").box((0.62, 0.62, 0.92, 0.9), "#f08a24")
    foot_looks = Box(
        flat("#f08a24"), flat("#3b3f8f"), flat("#31c46b"), flat("#2c2e33"), tread, flat("#2c2e33")
    )
    parts = [
        Part(head, shell),
        Part(neck, plain("#55585f")),
        Part(foot, foot_looks),
        Part(
            _lens(15, 10, rings=3),
            _lens_looks(15, 10, barrel="#17181b", ring="#17181b", glass="#27496d"),
            placed((0, -16, 72), turn=FACING_FRONT),
        ),
    ]
    return assemble("camera_web", parts, kind="camera", roughness=0.35)
