"""What a checkpoint says about itself beside its tensors, and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from crisp.errors import InputError
from crisp.objects import Symmetries
from crisp.shape.library import ShapeLibrary

_OBJECT_KEYS = {"id", "name", "kind", "diameter_m", "symmetries_discrete", "symmetries_continuous"}


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

    def objects_json(self) -> list[dict[str, Any]]:
        """One readable entry per object; symmetries in BOP's form, but in metres like all lengths here."""
        rows = zip(self.library.names, self.library.object_ids, self.kinds, self.symmetries, strict=True)
        return [
            {
                "id": object_id,
                "name": name,
                "kind": kind,
                "diameter_m": float(self.library.diameters_m[i]),
                **symmetries_to_json(symmetries),
            }
            for i, (name, object_id, kind, symmetries) in enumerate(rows)
        ]


def info_from_json(
    objects: list[dict[str, Any]], codes: Float[Tensor, "k c"], *, name: str, training: Mapping[str, Any]
) -> CheckpointInfo:
    """The inverse of `CheckpointInfo.objects_json`, given the library's codes.

    Raises:
        InputError: unknown or missing keys, or values that contradict each other.
    """
    for entry in objects:
        if not isinstance(entry, dict) or set(entry) != _OBJECT_KEYS:
            keys = ", ".join(sorted(_OBJECT_KEYS))
            raise InputError(f"each object of a checkpoint must have the keys {keys}.")
    if len(codes) != len(objects):
        raise InputError(
            f"the checkpoint names {len(objects)} objects but its library holds {len(codes)} codes."
        )
    library = ShapeLibrary(
        names=tuple(entry["name"] for entry in objects),
        object_ids=tuple(entry["id"] for entry in objects),
        codes=codes,
        diameters_m=torch.tensor([entry["diameter_m"] for entry in objects], dtype=torch.float32),
    )
    return CheckpointInfo(
        name=name,
        library=library,
        kinds=tuple(entry["kind"] for entry in objects),
        symmetries=tuple(symmetries_from_json(entry) for entry in objects),
        training=training,
    )


def symmetries_to_json(symmetries: Symmetries) -> dict[str, Any]:
    """BOP's two lists: 4x4 transforms row by row, and axes with offsets; translations in metres."""
    return {
        "symmetries_discrete": [np.asarray(T).reshape(16).tolist() for T in symmetries.discrete],
        "symmetries_continuous": [
            {"axis": np.asarray(axis).tolist(), "offset": np.asarray(offset).tolist()}
            for axis, offset in symmetries.continuous
        ],
    }


def symmetries_from_json(entry: Mapping[str, Any]) -> Symmetries:
    """The inverse of `symmetries_to_json`.

    Raises:
        InputError: lists of another form.
    """
    try:
        return Symmetries(
            discrete=tuple(np.array(T, dtype=float).reshape(4, 4) for T in entry["symmetries_discrete"]),
            continuous=tuple(
                (np.array(s["axis"], dtype=float).reshape(3), np.array(s["offset"], dtype=float).reshape(3))
                for s in entry["symmetries_continuous"]
            ),
        )
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"an object's symmetries are not in BOP's form: {error}.") from error
