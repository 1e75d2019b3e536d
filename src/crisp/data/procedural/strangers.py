"""Objects of known kinds that no model is trained on, with other proportions than all of the catalogue.

Millimetres, as everywhere in this room. What a model says of what it has never seen is asked with them.
"""

from __future__ import annotations

import numpy as np

from crisp.data.procedural.assembly import Part, assemble, placed
from crisp.data.procedural.bottles import ON_ITS_BACK
from crisp.data.procedural.looks import Box, Wrap, plain, plain_wrap
from crisp.data.procedural.paint import Card, flat
from crisp.data.procedural.solids import block, bottle, lathe, tube, union
from crisp.data.procedural.tools import ALONG_X
from crisp.data.procedural.vessels import into_the_wall, pot
from crisp.objects import ObjectModel


def mug_tankard() -> ObjectModel:
    """A ship's mug: far narrower at the rim than at the foot, unlike all mugs of the catalogue."""
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
    """A thick book that lies: flatter than all boxes of the catalogue."""
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
    """A wooden mallet: a thick barrel of a head on a short handle."""
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
