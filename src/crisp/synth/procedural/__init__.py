"""Procedural objects: watertight, textured, with known frames and declared symmetries.

Frames: metres, the origin at the bounding box's centre, z up in the usual rest pose, front at -y.
"""

from __future__ import annotations

from collections.abc import Callable

from crisp.data.layout import Writing
from crisp.errors import InputError, needing
from crisp.types import ObjectModel

with needing("synth"):
    from crisp.synth.procedural import boxes, novel, satellites, tools, vessels

_BUILDERS: tuple[Callable[[], ObjectModel], ...] = (
    vessels.mug_blue,
    vessels.mug_tall,
    vessels.mug_wide,
    vessels.bottle_mustard,
    vessels.bottle_spray,
    vessels.bottle_shampoo,
    vessels.bottle_plain,
    vessels.bowl_plain,
    vessels.bowl_spouted,
    vessels.can_soup,
    vessels.can_striped,
    vessels.can_coffee,
    boxes.box_cereal,
    boxes.box_tea,
    boxes.box_tissues,
    boxes.box_milk,
    boxes.laptop_silver,
    boxes.laptop_black,
    boxes.camera_slr,
    boxes.camera_compact,
    boxes.camera_web,
    tools.hammer,
    tools.wrench,
    tools.screwdriver,
    tools.drill,
    satellites.satellite_relay,
    satellites.satellite_twin,
    satellites.satellite_probe,
)

# Never trained on: five of the catalogue's kinds with other proportions, and six of other kinds.
_STRANGERS: tuple[Callable[[], ObjectModel], ...] = (
    novel.mug_tankard,
    novel.bottle_flask,
    novel.can_tuna,
    novel.box_book,
    novel.tool_mallet,
    novel.lamp,
    novel.toy_car,
    novel.figurine,
    novel.bone,
    novel.gear,
    novel.teapot,
)


def names() -> tuple[str, ...]:
    """The objects' names, in the order of the catalogue, without building the objects."""
    return tuple(build.__name__ for build in _BUILDERS)


def object_model(name: str) -> ObjectModel:
    """Build one object.

    Raises:
        InputError: no object has this name.
    """
    for build in _BUILDERS:
        if build.__name__ == name:
            return build()
    raise InputError(f"there is no procedural object '{name}': the names are {', '.join(names())}.")


def catalogue() -> tuple[ObjectModel, ...]:
    """Build all objects; deterministic, takes a few seconds."""
    return tuple(build() for build in _BUILDERS)


def default_models(writing: Writing) -> tuple[ObjectModel, ...]:
    """What a layout shows by default: all objects, those of its categories, or, in space, satellites."""
    if writing.scene == "space":
        return satellites.fleet()
    return tuple(m for m in catalogue() if not writing.categories or m.kind in writing.categories)


def strangers() -> tuple[ObjectModel, ...]:
    """Build the objects that our models are not trained on: first those of known kinds, then the others."""
    return tuple(build() for build in _STRANGERS)
