"""Boxes of cardboard. Millimetres; the main print is in front (-y)."""

from __future__ import annotations

import numpy as np
from manifold3d import Manifold

from crisp.data.procedural.assembly import Part, assemble, placed
from crisp.data.procedural.bottles import ON_ITS_BACK
from crisp.data.procedural.looks import Box, plain
from crisp.data.procedural.paint import Card, flat
from crisp.data.procedural.solids import block, lathe
from crisp.objects import ObjectModel, Symmetries

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
    """The same after half a turn about z: prints in pairs, a slot on top."""
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
