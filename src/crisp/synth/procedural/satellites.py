"""Satellites: numbered ones of the SPE3R layout, and desk-size ones of the catalogue. Millimetres.

A numbered satellite's bus, panels, dish and booms follow from its number; none is symmetric. The earth-facing
instruments are in front (-y), the panels to the left and right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from manifold3d import Manifold

from crisp.synth.procedural.boxes import HALF_TURN_ABOUT_Z
from crisp.synth.procedural.looks import Box, Card, Wrap, flat, plain, plain_wrap
from crisp.synth.procedural.solids import Number, Part, Point2, assemble, block, lathe, placed, rod, tube
from crisp.types import ObjectModel, Symmetries

FOILS = (("#d9a92e", "#b5831a"), ("#c8ccd2", "#8d949e"), ("#e9e6dc", "#bdb7a4"), ("#6b6f78", "#4c5058"))
CELLS = ("#1b2f7a", "#16384f", "#3a1c5c", "#232a33")
ACCENTS = ("#c23b2e", "#2d6a4f", "#e07a2f", "#3c6e8f")


@dataclass(frozen=True)
class _Bus:
    """The body: its solid and textures, and its half size along x, y and z."""

    part: Part
    half: tuple[float, float, float]


def fleet(count: int = 64) -> tuple[ObjectModel, ...]:
    """The first `count` satellites; SPE3R has 64."""
    return tuple(spacecraft(number) for number in range(count))


def fleet_name(number: int) -> str:
    """Such as "sat_007"."""
    return f"sat_{number:03d}"


def spacecraft(number: int) -> ObjectModel:
    """The satellite of that number; deterministic, 0.2 to 0.6 m across."""
    rng = np.random.default_rng((20240901, number))
    bus = _bus(rng)
    parts = [bus.part, *_wings(bus, rng), *_booms(bus, rng), _instrument(bus, rng)]
    if rng.random() < 0.75:
        parts += _dish(bus, rng)
    return assemble(fleet_name(number), parts, kind="satellite", roughness=float(rng.uniform(0.25, 0.6)))


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _bus(rng: np.random.Generator) -> _Bus:
    """A box, a hexagonal prism, or a cylinder."""
    base, dark = FOILS[int(rng.integers(len(FOILS)))]
    width, depth, height = (float(v) for v in rng.uniform((55, 50, 60), (95, 85, 130)))
    accent = _pick(rng, ACCENTS)
    shape = int(rng.integers(3))
    if shape == 0:
        size = (width, depth, height)
        front = foil((width, height), base, dark=dark).box((0.1, 0.1, 0.9, 0.45), "#f0f0ec")
        back = foil((width, height), base, dark=dark).box((0.2, 0.6, 0.8, 0.9), accent)
        side = foil((depth, height), base, dark=dark)
        top = Card(width, depth, "#dcdcd6").box((0, 0, 0.45, 0.5), accent)
        looks = Box(front, back, side, foil((depth, height), dark, dark=base), top, flat("#6a6a66"))
        return _Bus(Part(block(size, rounding=3), looks), (width / 2, depth / 2, height / 2))
    radius = width / 2
    solid = rod(radius, height, segments=6 if shape == 1 else 40).translate((0, 0, -height / 2))
    strip = foil((2 * np.pi * radius, height), base, dark=dark)
    strip.box((0.4, 0.2, 0.6, 0.8), accent).box((0.05, 0.1, 0.2, 0.5), "#26282c")
    deck = Card(width, width, "#dcdcd6").sector((0, 100), accent)
    wrap = Wrap(strip, deck, flat("#6a6a66"), flat("#6a6a66"))
    reach = radius * (np.cos(np.pi / 6) if shape == 1 else 1.0)
    return _Bus(Part(solid, wrap), (reach, reach, height / 2))


def _wings(bus: _Bus, rng: np.random.Generator) -> list[Part]:
    """One or two wings of one to three panels each; two wings differ, so that a half turn is no symmetry."""
    cell, tilt = _pick(rng, CELLS), float(rng.uniform(-60, 60))
    height = float(rng.uniform(0.6, 1.1)) * 2 * bus.half[2]
    first = int(rng.integers(1, 4))
    counts = [(1, first)] if rng.random() < 0.2 else [(1, first), (-1, 1 + first % 3)]
    parts = []
    for side, count in counts:
        width = float(rng.uniform(45, 75))
        reach = bus.half[0] + 14 + count * (width + 4)
        bar = rod(4.5, reach, segments=16)
        parts.append(Part(bar, plain("#3a3d42"), placed(turn=(0, 90 * side, 0))))
        panel, rear = solar_cells((width, height), tiles=(4, 6), cell=cell), Card(width, height, "#cfc9b4")
        rear.box((0, 0.4, 1, 0.6), "#8f8873")
        edge = flat("#8790a0")
        for k in range(count):
            at = side * (bus.half[0] + 14 + k * (width + 4) + width / 2)
            looks = Box(panel, rear, edge, edge, edge, edge)
            solid = block((width, 6, height), rounding=2)
            parts.append(Part(solid, looks, placed((at, 0, 0), turn=(tilt, 0, 0))))
    return parts


def _dish(bus: _Bus, rng: np.random.Generator) -> list[Part]:
    radius, depth = float(rng.uniform(26, 55)), float(rng.uniform(10, 24))
    lean = float(rng.uniform(-40, 55))
    accent = _pick(rng, ACCENTS)
    face = Card(2 * radius, 2 * radius, "#f5f4ef").sector((-30, 60), accent).disc((0.5, 0.5), 0.08, "#26282c")
    looks = Wrap(Card(6 * radius, depth, "#d4d3cc"), face, flat("#a9a8a0"), flat("#f5f4ef"), steep=0.2)
    foot = bus.half[2] + 16
    return [
        Part(rod(6, 30), plain("#4a4d52"), placed((0, 0, bus.half[2] - 8))),
        Part(dish_solid(radius, depth), looks, placed((0, 0, foot), turn=(lean, 0, 0))),
        Part(rod(3.5, depth + 18, segments=12), plain("#26282c"), placed((0, 0, foot), turn=(lean, 0, 0))),
    ]


def _booms(bus: _Bus, rng: np.random.Generator) -> list[Part]:
    """One to three antennas: bent bars that begin within the bus."""
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        heading = rng.uniform((-0.6, 0.2, -1.0), (0.6, 1.0, -0.2))
        heading /= np.linalg.norm(heading)
        length = float(rng.uniform(60, 130))
        bend = rng.uniform(-10, 10, 3)
        middle, end = length / 2 * heading + bend, length * heading
        path = [(0.0, 0.0, 0.0), _point(middle), _point(end)]
        parts.append(Part(tube(path, (5.0, 4.0, 3.5), count=12), plain("#b9bcc2")))
        parts.append(Part(block((11, 11, 11), rounding=3), plain(_pick(rng, ACCENTS)), placed(_point(end))))
    return parts


def _instrument(bus: _Bus, rng: np.random.Generator) -> Part:
    """A camera tube at the front, off the centre."""
    radius, length = float(rng.uniform(9, 17)), float(rng.uniform(18, 40))
    at = (
        float(rng.uniform(0.2, 0.5)) * bus.half[0],
        -bus.half[1] + 10,
        float(rng.uniform(-0.5, 0.4)) * bus.half[2],
    )
    strip = Card(2 * np.pi * radius, length, "#2b2f33").box((0, 0.7, 1, 0.85), _pick(rng, ACCENTS))
    return Part(rod(radius, length + 10), plain_wrap(strip, end="#101418"), placed(at, turn=(90, 0, 0)))


def _point(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def solar_cells(size: Point2, *, tiles: tuple[int, int], cell: str = "#1b2f7a") -> Card:
    """A panel of tiles."""
    card = Card(*size, "#b9c2d6").grid((0.02, 0.02, 0.98, 0.98), cell, cells=tiles, gap=0.12)
    return card.box((0, 0.485, 1, 0.515), "#d9dde6")


def dish_solid(radius: Number, depth: Number) -> Manifold:
    """A bowl-shaped reflector opening along z, 6 mm thick."""
    r = np.linspace(0, radius, 9)
    inner = [(float(a), 8 + depth * float(a / radius) ** 2) for a in r]
    outer = [(float(a), 1 + depth * float(a / radius) ** 2) for a in r]
    return lathe([*outer, *inner[::-1]], rounding=1.0, segments=48)


def foil(size: Point2, base: str, *, dark: str) -> Card:
    """Wrinkled."""
    card = Card(*size, base)
    for i in range(5):
        card.polygon([(0.2 * i, 0), (0.2 * i + 0.1, 1), (0.2 * i + 0.14, 1), (0.2 * i + 0.06, 0)], dark)
    return card


def satellite_relay() -> ObjectModel:
    """Two different panels, a dish on the right shoulder, a horn in front."""
    bus = block((74, 70, 92), rounding=4)
    front = foil((74, 92), "#d9a92e", dark="#b5831a").box((0.15, 0.1, 0.85, 0.45), "#f0f0f0")
    front.text("RELAY", (0.2, 0.14, 0.8, 0.4), "#1b2f7a")
    back = (
        Card(74, 92, "#e9e9e6")
        .box((0.1, 0.1, 0.9, 0.5), "#c23b2e")
        .text("02", (0.3, 0.14, 0.7, 0.46), "white")
    )
    left, right = (
        foil((70, 92), "#c8952a", dark="#8f6a1c"),
        Card(70, 92, "#565b63").hazard((0.1, 0.7, 0.9, 0.9)),
    )
    top = Card(74, 70, "#f0f0f0").box((0, 0, 0.4, 0.5), "#c23b2e").disc((0.75, 0.3), 0.12, "#222222")
    long, short = solar_cells((96, 66), tiles=(6, 4)), solar_cells((66, 66), tiles=(4, 4), cell="#4b1c66")
    rear = Card(96, 66, "#d8d4c8").box((0, 0.4, 1, 0.6), "#a09a8a")
    edge = flat("#8f97a8")
    dish = Wrap(
        Card(180, 20, "#d8d8d4"),
        Card(60, 60, "#fafaf7").sector((0, 120), "#c23b2e").disc((0.5, 0.5), 0.1, "#222222"),
        flat("#a8a8a4"),
        flat("#fafaf7"),
        steep=0.2,
    )
    parts = [
        Part(bus, Box(front, back, left, right, top, flat("#6a6a66")), placed((0, 0, 46))),
        Part(block((96, 8, 66), rounding=2), Box(long, rear, edge, edge, edge, edge), placed((-92, 4, 50))),
        Part(block((66, 8, 66), rounding=2), Box(short, rear, edge, edge, edge, edge), placed((78, 4, 50))),
        Part(rod(6, 190).translate((0, 0, -95)), plain("#3a3d42"), placed((-10, 4, 50), turn=(0, 90, 0))),
        Part(dish_solid(30, 14), dish, placed((8, -14, 100), turn=(40, 0, 25))),
        Part(rod(9, 20), plain("#444a52"), placed((6, -6, 86))),
        Part(rod(7, 24, top=15), plain("#c23b2e"), placed((-6, -30, 26), turn=(90, 0, 0))),
    ]
    return assemble("satellite_relay", parts, kind="satellite", roughness=0.35)


def satellite_twin() -> ObjectModel:
    """Two equal panels and everything in pairs: symmetric under a half turn about z."""
    bus = block((60, 84, 84), rounding=4)
    face = (
        Card(60, 84, "#a9b4bd")
        .box((0.12, 0.12, 0.88, 0.5), "#2d6a4f")
        .text("TWIN", (0.2, 0.2, 0.8, 0.42), "white")
    )
    face.stripes((0.12, 0.62, 0.88, 0.88), ("#e07a2f", "#a9b4bd"), count=5, upright=True)
    flank = Card(84, 84, "#c8ccd2").frame((0.1, 0.1, 0.9, 0.9), "#2d6a4f", width=0.05)
    top = Card(60, 84, "#c8ccd2").box((0, 0, 0.5, 0.25), "#e07a2f").box((0.5, 0.75, 1, 1), "#e07a2f")
    panel, rear = (
        solar_cells((92, 72), tiles=(5, 4), cell="#16384f"),
        Card(92, 72, "#c7b98e").box((0, 0.4, 0.6, 0.6), "#7f744f"),
    )
    edge = flat("#7d8794")
    wing = Box(panel, rear, edge, edge, edge, edge)
    horn = lathe([(0, 0), (7, 0), (7, 6), (17, 24), (0, 20)], rounding=0.8, segments=32)
    cup = Wrap(Card(100, 24, "#e07a2f"), flat("#2b2f33"), flat("#e07a2f"), flat("#2b2f33"), steep=0.3)
    parts = [
        Part(bus, Box(face, face, flank, flank, top, flat("#7d7f83")), placed((0, 0, 42))),
        Part(rod(9, 22), plain("#4a4f55"), placed((0, 0, 80))),
        Part(block((70, 12, 10), rounding=3), plain("#2d6a4f"), placed((0, 0, 104), turn=(0, 0, 35))),
    ]
    for half in (0.0, 180.0):
        c = np.cos(np.radians(half))
        parts += [
            Part(block((88, 8, 72), rounding=2), wing, placed((76 * c, 0, 44), turn=(0, 0, half))),
            Part(rod(6, 60), plain("#33373c"), placed((10 * c, 0, 44), turn=(0, 90, half))),
            Part(horn, cup, placed((0, -40 * c, 24), turn=(90, 0, half))),
        ]
    return assemble(
        "satellite_twin",
        parts,
        kind="satellite",
        symmetries=Symmetries(discrete=(HALF_TURN_ABOUT_Z,)),
        roughness=0.35,
    )


def satellite_probe() -> ObjectModel:
    """A six-sided probe under a large dish, with one panel and one boom."""
    bus = rod(48, 60, segments=6).rotate((0, 0, 30))
    side = Card(300, 60, "#c9a13b")
    for i, colour in enumerate(("#c9a13b", "#2b2d31", "#d8d8d4", "#9c2f3f", "#c9a13b", "#3c6e8f")):
        side.box((i / 6, 0, (i + 1) / 6, 1), colour)
    side.text("PROBE", (0.36, 0.25, 0.48, 0.75), "#2b2d31").hazard((0.68, 0.55, 0.82, 0.8))
    deck = Card(96, 96, "#d8d8d4").sector((0, 90), "#9c2f3f").sector((180, 240), "#2b2d31")
    face = Card(110, 110, "#f5f4ef").sector((-30, 50), "#3c6e8f").sector((150, 200), "#9c2f3f")
    face.disc((0.5, 0.5), 0.3, "#f5f4ef").disc((0.5, 0.5), 0.1, "#2b2d31")
    dish = Wrap(Card(340, 30, "#d0cfc8"), face, flat("#a5a49c"), flat("#f5f4ef"), steep=0.2)
    cells, edge = solar_cells((100, 60), tiles=(7, 4), cell="#1d2a55"), flat("#8790a0")
    rear = Card(100, 60, "#d3cdb8").hazard((0.7, 0, 1, 1))
    boom = tube([(-40, 0, 30), (-72, 0, 38), (-102, 0, 56)], (5.5, 5.0, 5.0), count=16)
    tip = block((18, 18, 18), rounding=4)
    parts = [
        Part(bus, Wrap(side, deck, flat("#77777a"), flat("#77777a"))),
        Part(rod(16, 30, top=12), plain("#4a4d52"), placed((0, 0, 56))),
        Part(dish_solid(55, 24), dish, placed((0, -6, 80), turn=(12, 0, 0))),
        Part(rod(5, 30, segments=16), plain("#2b2d31"), placed((0, -8, 84), turn=(12, 0, 0))),
        Part(
            block((92, 60, 8), rounding=2),
            Box(edge, edge, edge, edge, cells, rear),
            placed((84, 0, 36), turn=(28, 0, 0)),
        ),
        Part(rod(6, 40), plain("#33373c"), placed((25, 0, 36), turn=(0, 90, 0))),
        Part(boom, plain("#b9bcc2")),
        Part(tip, plain("#e07a2f"), placed((-105, 0, 58))),
    ]
    return assemble("satellite_probe", parts, kind="satellite", roughness=0.35)
