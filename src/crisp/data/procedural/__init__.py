"""A family of procedural objects: watertight, textured, with known frames and declared symmetries.

Frames: metres, the origin at the bounding box's centre, z up as the object usually rests, front at -y.
"""

from __future__ import annotations

from collections.abc import Callable

from crisp.data.nocs_files import CATEGORIES
from crisp.data.procedural import (
    bottles,
    electronics,
    packages,
    satellites,
    spacecraft,
    strange_kinds,
    tools,
    vessels,
)
from crisp.data.procedural import strangers as strange_instances
from crisp.errors import InputError
from crisp.objects import ObjectModel

_BUILDERS: tuple[Callable[[], ObjectModel], ...] = (
    vessels.mug_blue,
    vessels.mug_tall,
    vessels.mug_wide,
    bottles.bottle_mustard,
    bottles.bottle_spray,
    bottles.bottle_shampoo,
    bottles.bottle_plain,
    vessels.bowl_plain,
    vessels.bowl_spouted,
    bottles.can_soup,
    bottles.can_striped,
    bottles.can_coffee,
    packages.box_cereal,
    packages.box_tea,
    packages.box_tissues,
    packages.box_milk,
    electronics.laptop_silver,
    electronics.laptop_black,
    electronics.camera_slr,
    electronics.camera_compact,
    electronics.camera_web,
    tools.hammer,
    tools.wrench,
    tools.screwdriver,
    tools.drill,
    satellites.satellite_relay,
    satellites.satellite_twin,
    satellites.satellite_probe,
)

# Never trained on: five of kinds that the catalogue has, with other proportions, and six of other kinds.
_STRANGERS: tuple[Callable[[], ObjectModel], ...] = (
    strange_instances.mug_tankard,
    strange_instances.bottle_flask,
    strange_instances.can_tuna,
    strange_instances.box_book,
    strange_instances.tool_mallet,
    strange_kinds.lamp,
    strange_kinds.toy_car,
    strange_kinds.figurine,
    strange_kinds.bone,
    strange_kinds.gear,
    strange_kinds.teapot,
)


def names() -> tuple[str, ...]:
    """The objects' names, in the order of the catalogue; builds nothing."""
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
    """Build all objects, always the same, in a few seconds."""
    return tuple(build() for build in _BUILDERS)


def default_models(layout: str) -> tuple[ObjectModel, ...]:
    """What a set of that layout shows by default: all objects, NOCS's six categories, or satellites."""
    if layout == "spe3r":
        return spacecraft.fleet()
    return tuple(m for m in catalogue() if layout != "nocs" or m.kind in CATEGORIES)


def strangers() -> tuple[ObjectModel, ...]:
    """Build the objects that no model of ours is trained on: of known kinds first, then of unknown kinds."""
    return tuple(build() for build in _STRANGERS)
