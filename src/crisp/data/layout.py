"""The descriptor of a kind of data set: all that has to be said of it, in one record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from crisp.data.bop.writer import BopFrame
from crisp.data.dataset import Dataset, FrameKey, Instance, KnownObject
from crisp.geometry.camera import Camera
from crisp.types import ObjectModel

Unit = Literal["metre", "diameter", "box diagonal"]
CATEGORIES_THAT_TURN = frozenset({"bottle", "bowl", "can"})
HANDLED = "mug"


def _never(key: FrameKey, instance: Instance) -> bool:
    return False


@dataclass(frozen=True)
class Conventions:
    """Sizes and axes of a data set's models, as far as metrics depend on them.

    Args:
        unit: in which `spe3r-l1` and `nocs-shape` give lengths: SPE3R's satellites are used as they are,
            NOCS divides by the diagonal of the model's bounding box, a BOP set by the model's diameter.
        upright: axis of the object frame, 0 to 2, about which NOCS's symmetric categories turn: y in NOCS,
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


BOP_CONVENTIONS = Conventions()


@runtime_checkable
class SceneWriter(Protocol):
    """Writes models once, and scenes one by one; a scene is there whole or not at all."""

    @property
    def root(self) -> Path: ...

    def write_models(self, models: Sequence[ObjectModel]) -> None: ...

    def has_models(self) -> bool: ...

    def has_scene(self, scene_id: int) -> bool: ...

    def write_scene(self, scene_id: int, frames: Iterable[BopFrame]) -> None: ...

    def finish(self, models: Sequence[ObjectModel]) -> None:
        """Write what can only be known when all scenes are there."""
        ...


Size = tuple[int, int]
"""Width and height of an image in pixels."""


def _any_split(split: str, size: Size) -> None:
    return None


def _drawn_camera(split: str, size: Size) -> Camera | None:
    return None


def _from_zero(split: str, count: int) -> list[int]:
    return list(range(count))


def _as_they_are(split: str) -> bool:
    return False


@dataclass(frozen=True)
class Writing:
    """How rendered scenes become a data set of a layout.

    Args:
        writer: from the set's folder, the split and the models by object id (those of a scene are enough to
            write that scene).
        scene: objects on a table, or one object in space, whose scenes are numbered as the objects are.
        check: raises InputError where there is no such split, or its images cannot have this size.
        camera: the intrinsics of a split; None where each view draws its own.
        image_numbers: of a scene with so many images.
        members: which of so many objects, by place from 0, a split shows, where scenes are in space.
        categories: only objects of these kinds belong into the set; any kind where empty.
        resized: whether the objects of a split have another size in each scene.
    """

    writer: Callable[[Path, str, Mapping[int, ObjectModel]], SceneWriter]
    scene: Literal["table", "space"] = "table"
    check: Callable[[str, Size], None] = _any_split
    camera: Callable[[str, Size], Camera | None] = _drawn_camera
    image_numbers: Callable[[str, int], list[int]] = _from_zero
    members: Callable[[str, int], list[int]] = _from_zero
    categories: tuple[str, ...] = ()
    resized: Callable[[str], bool] = _as_they_are


@dataclass(frozen=True)
class Layout:
    """A kind of data set.

    Args:
        name: lower case.
        title: as its authors write it.
        marks: which files tell it from others, for a sentence.
        recognises: whether a folder is of this layout.
        splits: those that a folder has.
        reader: opens one split; raises InputError where there is no such split.
        conventions: sizes and axes of its models.
        required: files that each scene folder of a split should have, and what may stand in for each; for
            `crisp doctor`.
        optional: those of them that may be missing.
        writing: how rendered scenes are written; None where nothing can be rendered into it.
    """

    name: str
    title: str
    marks: str
    recognises: Callable[[Path], bool]
    splits: Callable[[Path], tuple[str, ...]]
    reader: Callable[[Path, str], Dataset]
    conventions: Conventions = BOP_CONVENTIONS
    required: Mapping[str, tuple[str, ...]] | None = None
    optional: frozenset[str] = frozenset()
    writing: Writing | None = None
