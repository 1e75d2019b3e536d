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
from crisp.networks.config import NetworkConfig, preset
from crisp.shape.library import ShapeLibrary
from crisp.types import Symmetries

_OBJECT_KEYS = {"id", "name", "kind", "diameter_m", "symmetries_discrete", "symmetries_continuous"}
_LARGEST = torch.finfo(torch.float32).max
_LARGEST_SIZE = 100_000  # far above every real one, and below what ends in memory errors


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
    objects: list[Any], codes: Float[Tensor, "k c"], *, name: str, training: Mapping[str, Any]
) -> CheckpointInfo:
    """The inverse of `CheckpointInfo.objects_json`, given the library's codes.

    Raises:
        InputError: unknown or missing keys, or values that contradict each other.
    """
    for index, entry in enumerate(objects):
        _check_object(entry, f"objects[{index}]")
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
        symmetries=tuple(_symmetries(entry, f"objects[{index}]") for index, entry in enumerate(objects)),
        training=training,
    )


def exact_keys(values: Any, wanted: set[str], place: str) -> None:
    """Refuse what is no JSON object with just these keys.

    Raises:
        InputError: the sentence names the first key that is unknown or missing, and the place.
    """
    if not isinstance(values, dict):
        raise InputError(f"{place} must be an object with the keys {', '.join(sorted(wanted))}.")
    for kind, keys in (("unknown", set(values) - wanted), ("missing", wanted - set(values))):
        if keys:
            raise InputError(f"{kind} key {min(keys)!r} in {place}.")


def _check_object(entry: Any, place: str) -> None:
    exact_keys(entry, _OBJECT_KEYS, place)
    for key in ("name", "kind"):
        if not isinstance(entry[key], str):
            raise InputError(f"{place}.{key} must be a text, got {entry[key]!r}.")
    if not isinstance(entry["id"], int) or isinstance(entry["id"], bool):
        raise InputError(f"{place}.id must be a whole number, got {entry['id']!r}.")
    if not _is_number(entry["diameter_m"]) or not 0 < entry["diameter_m"] <= _LARGEST:
        raise InputError(
            f"{place}.diameter_m must be positive metres, got {str(entry['diameter_m'])[:60]!r}."
        )


def _is_number(value: Any) -> bool:
    # Python counts true and false among the whole numbers; JSON does not.
    return isinstance(value, int | float) and not isinstance(value, bool)


def network_from_json(values: Any) -> NetworkConfig:
    """The network's configuration, each value of the kind that the presets have in its place.

    Raises:
        InputError: as `NetworkConfig.from_json`, or a value that is no number where one belongs, is not
            finite, is negative, or is such that no network has it.
    """
    if not isinstance(values, dict):
        raise InputError("network must be an object.")
    head = values.get("head")
    is_dense = isinstance(head, dict) and head.get("kind") == "dpt"
    _check_form(values, preset("paper" if is_dense else "small").to_json(), "network")
    try:
        return NetworkConfig.from_json(values)
    except ArithmeticError as error:
        raise InputError(f"network holds a 0 where none can be ({error}).") from error


def _check_form(value: Any, example: Any, place: str) -> None:
    if isinstance(example, dict) and isinstance(value, dict):
        for key in set(value) & set(example):  # others are named by those who know the keys
            _check_form(value[key], example[key], f"{place}.{key}")
    elif isinstance(example, list | tuple):
        if not isinstance(value, list) or len(value) != len(example):
            raise InputError(f"{place} must be a list of {len(example)} numbers, got {str(value)[:60]!r}.")
        for index, item in enumerate(value):
            _check_form(item, example[index], f"{place}[{index}]")
    elif _is_number(example):
        whole = isinstance(example, int)
        if not _is_number(value) or (whole and isinstance(value, float)) or not 0 <= value <= _LARGEST_SIZE:
            number = "a whole number" if whole else "a number"
            raise InputError(f"{place} must be {number} from 0 to {_LARGEST_SIZE}, got {str(value)[:60]!r}.")
    elif example is not None and not isinstance(value, type(example)):
        raise InputError(f"{place} must be {_json_name(example)}, got {str(value)[:60]!r}.")


def _json_name(example: Any) -> str:
    names: dict[type, str] = {bool: "true or false", str: "a text", dict: "an object"}
    return names[type(example)]


def symmetries_to_json(symmetries: Symmetries) -> dict[str, Any]:
    """BOP's two lists: 4x4 transforms row by row, and axes with offsets; translations in metres."""
    return {
        "symmetries_discrete": [np.asarray(T).reshape(16).tolist() for T in symmetries.discrete],
        "symmetries_continuous": [
            {"axis": np.asarray(axis).tolist(), "offset": np.asarray(offset).tolist()}
            for axis, offset in symmetries.continuous
        ],
    }


def _symmetries(entry: Mapping[str, Any], place: str) -> Symmetries:
    """The inverse of `symmetries_to_json`.

    Raises:
        InputError: lists of another form, numbers that are not finite, an axis without a direction.
    """
    try:
        found = Symmetries(
            discrete=tuple(np.array(T, dtype=float).reshape(4, 4) for T in entry["symmetries_discrete"]),
            continuous=tuple(
                (np.array(s["axis"], dtype=float).reshape(3), np.array(s["offset"], dtype=float).reshape(3))
                for s in entry["symmetries_continuous"]
            ),
        )
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise InputError(f"the symmetries of {place} are not in BOP's form: {error}.") from error
    numbers = [*found.discrete, *(vector for pair in found.continuous for vector in pair)]
    if not all(np.isfinite(n).all() for n in numbers) or not all(axis.any() for axis, _ in found.continuous):
        raise InputError(f"the symmetries of {place} must be finite numbers, and no axis may be zero.")
    return found
