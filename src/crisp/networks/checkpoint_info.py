"""What a checkpoint says about itself beside its tensors, and the records of its `checkpoint.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from crisp.documents import above_zero, at_most
from crisp.errors import InputError
from crisp.networks.config import NetworkConfig
from crisp.shape.library import ShapeLibrary
from crisp.types import Symmetries

LARGEST_M = float(torch.finfo(torch.float32).max)
MATRIX = 16  # numbers of a 4x4 transform


@dataclass(frozen=True)
class StoredAxis:
    """A continuous symmetry: any turn about an axis through a point, in the object frame, metres.

    Raises:
        InputError: an axis without a direction.
    """

    axis: tuple[float, float, float]
    offset: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not any(self.axis):
            raise InputError("the axis of a symmetry has no direction: it must not be zero.")


@dataclass(frozen=True)
class StoredObject:
    """One known object as `checkpoint.json` has it; symmetries in BOP's form, but in metres.

    Args:
        symmetries_discrete: 4x4 transforms, row by row.
        symmetries_continuous: axes with offsets.

    Raises:
        InputError: a diameter that cannot be, or a transform that has not 16 numbers.
    """

    id: int
    name: str
    kind: str
    diameter_m: float
    symmetries_discrete: tuple[tuple[float, ...], ...]
    symmetries_continuous: tuple[StoredAxis, ...]

    def __post_init__(self) -> None:
        above_zero(self, "diameter_m")
        at_most(self, LARGEST_M, "diameter_m")
        if wrong := [len(T) for T in self.symmetries_discrete if len(T) != MATRIX]:
            raise InputError(f"a discrete symmetry must have {MATRIX} numbers, a 4x4 matrix, got {wrong[0]}.")

    @property
    def symmetries(self) -> Symmetries:
        """As arrays."""
        return Symmetries(
            discrete=tuple(np.array(T).reshape(4, 4) for T in self.symmetries_discrete),
            continuous=tuple((np.array(s.axis), np.array(s.offset)) for s in self.symmetries_continuous),
        )


@dataclass(frozen=True)
class StoredFile:
    """A file of the checkpoint: its path relative to the folder, and its hex digest."""

    path: str
    sha256: str


@dataclass(frozen=True)
class StoredFiles:
    """The tensors of a checkpoint."""

    heads: StoredFile
    library: StoredFile
    backbone: StoredFile


@dataclass(frozen=True)
class StoredCheckpoint:
    """`checkpoint.json`.

    Args:
        units: of all lengths.
        training: free JSON values.
    """

    format_version: int
    name: str
    units: Literal["m"]
    network: NetworkConfig
    objects: tuple[StoredObject, ...]
    training: Mapping[str, Any]
    files: StoredFiles

    def to_json(self) -> dict[str, Any]:
        """As it is written: the network's head says its kind."""
        return asdict(self) | {"network": self.network.to_json()}


@dataclass(frozen=True, eq=False)
class CheckpointInfo:
    """Which objects a network knows and how it was trained.

    Args:
        name: of the model, such as "bundled".
        library: names, ids, codes and diameters of the known objects.
        kinds: the objects' categories, in the library's order.
        symmetries: the objects' declared symmetries, in the library's order.
        training: free JSON values: recipe, data, commands, steps, metrics.

    Raises:
        InputError: kinds or symmetries that do not number as the library's objects.
    """

    name: str
    library: ShapeLibrary
    kinds: tuple[str, ...]
    symmetries: tuple[Symmetries, ...]
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.kinds) == len(self.symmetries) == len(self.library):
            raise InputError(
                f"a checkpoint of {len(self.library)} objects needs as many kinds and symmetries, "
                f"got {len(self.kinds)} and {len(self.symmetries)}."
            )

    def stored_objects(self) -> tuple[StoredObject, ...]:
        """One readable entry per object."""
        rows = zip(self.library.names, self.library.object_ids, self.kinds, self.symmetries, strict=True)
        return tuple(
            StoredObject(
                id=object_id,
                name=name,
                kind=kind,
                diameter_m=float(self.library.diameters_m[i]),
                symmetries_discrete=tuple(tuple(np.ravel(T).tolist()) for T in symmetries.discrete),
                symmetries_continuous=tuple(
                    StoredAxis(tuple(np.ravel(axis).tolist()), tuple(np.ravel(offset).tolist()))
                    for axis, offset in symmetries.continuous
                ),
            )
            for i, (name, object_id, kind, symmetries) in enumerate(rows)
        )

    @classmethod
    def of(cls, stored: StoredCheckpoint, codes: Float[Tensor, "k c"]) -> CheckpointInfo:
        """The inverse of `stored_objects`, given the library's codes.

        Raises:
            InputError: another number of codes than of objects, or names that stand twice.
        """
        objects = stored.objects
        if len(codes) != len(objects):
            raise InputError(
                f"the checkpoint names {len(objects)} objects but its library holds {len(codes)} codes."
            )
        library = ShapeLibrary(
            names=tuple(entry.name for entry in objects),
            object_ids=tuple(entry.id for entry in objects),
            codes=codes,
            diameters_m=torch.tensor([entry.diameter_m for entry in objects], dtype=torch.float32),
        )
        return cls(
            name=stored.name,
            library=library,
            kinds=tuple(entry.kind for entry in objects),
            symmetries=tuple(entry.symmetries for entry in objects),
            training=stored.training,
        )
