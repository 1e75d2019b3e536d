"""What a layout says of the sizes and axes of its models, as far as protocols depend on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crisp.data.dataset import FrameKey, Instance, KnownObject
from crisp.data.layouts import Layout

Unit = Literal["metre", "diameter", "box diagonal"]
CATEGORIES_THAT_TURN = frozenset({"bottle", "bowl", "can"})
HANDLED = "mug"


def _never(key: FrameKey, instance: Instance) -> bool:
    return False


@dataclass(frozen=True)
class Conventions:
    """What a layout says once, at its border, of the sizes and axes of its models.

    Args:
        unit: in which `spe3r-l1` and `nocs-shape` give lengths: SPE3R's satellites are used as they are,
            NOCS divides by the diagonal of the model's bounding box, a BOP set by the model's diameter.
        upright: axis of the object frame, 0 to 2, about which NOCS' symmetric categories turn: y in NOCS,
            z in sets of our own.
        handle_hidden: whether a mug's handle cannot be seen, so that it may turn as well.
    """

    unit: Unit = "diameter"
    upright: int = 2
    handle_hidden: Callable[[FrameKey, Instance], bool] = _never

    def unit_m(self, model: KnownObject) -> float:
        """Length of one unit for a model."""
        if self.unit == "metre":
            return 1.0
        if self.unit == "diameter":
            return model.diameter_m
        return float(np.linalg.norm(np.ptp(model.mesh.vertices, axis=0)))

    def turns(self, key: FrameKey, instance: Instance, *, kind: str) -> bool:
        """Whether NOCS lets this object turn about its upright axis."""
        return kind in CATEGORIES_THAT_TURN or (kind == HANDLED and self.handle_hidden(key, instance))


def _handle_hidden(key: FrameKey, instance: Instance) -> bool:
    return not instance.handle_visible


BOP = Conventions()
CONVENTIONS: Mapping[Layout, Conventions] = {
    "bop": BOP,
    "spe3r": Conventions(unit="metre"),
    "nocs": Conventions(unit="box diagonal", upright=1, handle_hidden=_handle_hidden),
}
