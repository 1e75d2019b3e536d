"""What scoring needs of a labelled data set, whatever its layout is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from crisp.data.dataset import FrameKey, Instance, KnownObject
from crisp.data.layouts import Layout
from crisp.types import Frame

Unit = Literal["metre", "diameter", "box diagonal"]
CATEGORIES_THAT_TURN = frozenset({"bottle", "bowl", "can"})
HANDLED = "mug"


@runtime_checkable
class LabelledSet(Protocol):
    """Frames with labelled objects and their true models. Every `data.dataset.Dataset` is one."""

    @property
    def root(self) -> Path:
        """Its folder."""

    @property
    def split(self) -> str:
        """Such as "test"."""

    @property
    def keys(self) -> Sequence[FrameKey]:
        """All frames, sorted."""

    @property
    def labels_digest(self) -> str:
        """SHA-256 over the labels."""

    def instances(self, key: FrameKey) -> Sequence[Instance]:
        """The frame's labelled objects: detection i is the i-th of those whose mask was given."""

    def object(self, object_id: int) -> KnownObject:
        """One true model."""

    def load_frame(self, key: FrameKey) -> Frame:
        """Images and camera."""


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
