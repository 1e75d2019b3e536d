"""A fleet of satellites: each number has its own bus, panels, dish and booms, and none is symmetric.

Millimetres; the earth-facing instruments are in front (-y), the panels to the left and right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crisp.data.procedural.assembly import Part, assemble, placed
from crisp.data.procedural.looks import Box, Wrap, plain, plain_wrap
from crisp.data.procedural.paint import Card, flat
from crisp.data.procedural.satellites import dish_solid, foil, solar_cells
from crisp.data.procedural.solids import block, rod, tube
from crisp.objects import ObjectModel

FOILS = (("#d9a92e", "#b5831a"), ("#c8ccd2", "#8d949e"), ("#e9e6dc", "#bdb7a4"), ("#6b6f78", "#4c5058"))
CELLS = ("#1b2f7a", "#16384f", "#3a1c5c", "#232a33")
ACCENTS = ("#c23b2e", "#2d6a4f", "#e07a2f", "#3c6e8f")


@dataclass(frozen=True)
class _Bus:
    """The body: its solid and looks, and its half size along x, y and z."""

    part: Part
    half: tuple[float, float, float]


def fleet(count: int = 64) -> tuple[ObjectModel, ...]:
    """The first `count` satellites; SPE3R has 64."""
    return tuple(spacecraft(number) for number in range(count))


def fleet_name(number: int) -> str:
    """Such as "sat_007"."""
    return f"sat_{number:03d}"


def spacecraft(number: int) -> ObjectModel:
    """The satellite of that number, always the same; 0.2 to 0.6 m across."""
    rng = np.random.default_rng((20240901, number))
    bus = _bus(rng)
    parts = [bus.part, *_wings(bus, rng), *_booms(bus, rng), _instrument(bus, rng)]
    if rng.random() < 0.75:
        parts += _dish(bus, rng)
    return assemble(fleet_name(number), parts, kind="satellite", roughness=float(rng.uniform(0.25, 0.6)))


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _bus(rng: np.random.Generator) -> _Bus:
    """A box, a prism of six sides, or a drum."""
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
    """One or two wings of one to three panels each; the two differ, so that no half turn is a symmetry."""
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
    """A camera's tube that looks out in front, off the middle."""
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
