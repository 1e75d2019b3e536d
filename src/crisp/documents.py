"""What records check at birth: users' data are refused with InputError, the package's own with ValueError.

Strict TOML: a file becomes a frozen record, and every mistake in it is one sentence that names it.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from torch import Tensor

from crisp.errors import InputError

MAX_DEPTH_M = 50.0
MIN_MEDIAN_DEPTH_M = 0.05


def check_depth(depth_m: np.ndarray) -> None:
    """Refuse what cannot be a depth map in metres, 0 where nothing was measured.

    Raises:
        InputError: other numbers than floating point, values that are not finite or are negative, no
            measurement at all, or a median that tells of another unit.
    """
    if not np.issubdtype(depth_m.dtype, np.floating):
        raise InputError(f"depth must be floating point metres, got {depth_m.dtype}.")
    if not np.isfinite(depth_m).all():
        raise InputError("depth holds NaN or infinity: write 0 where there is no measurement.")
    valid = depth_m[depth_m > 0]
    if (depth_m < 0).any():
        raise InputError("depth holds negative values: it must be metres along the optical axis.")
    if valid.size == 0:
        raise InputError("depth is zero everywhere: the depth image holds no measurement.")
    median = float(np.median(valid))
    if median > MAX_DEPTH_M:
        raise InputError(
            f"the median depth is {median:.0f} m: this looks like millimetres read as metres; "
            "check depth_scale (raw value x depth_scale = millimetres)."
        )
    if median < MIN_MEDIAN_DEPTH_M:
        raise InputError(
            f"the median depth is {1000 * median:.2f} mm: this looks like a wrong depth_scale "
            "(raw value x depth_scale = millimetres)."
        )


def form_of(values: object) -> str:
    """Shape and number type of an array or tensor, for messages; of anything else its type's name."""
    if isinstance(values, np.ndarray | Tensor):
        return f"{tuple(values.shape)} {str(values.dtype).removeprefix('torch.')}"
    return type(values).__name__


def require(right: bool, record: str, wanted: str, *got: object) -> None:
    """Refuse a record that the package itself makes: a fault in one is a programmer's, not the user's.

    Raises:
        ValueError: not `right`; the sentence says what the record must have and the form of what it got.
    """
    if not right:
        raise ValueError(f"{record} must have {wanted}, got {', '.join(map(form_of, got))}")


def require_box(box_px: tuple[int, int, int, int], record: str) -> None:
    """Refuse a box that is not left, top, right, bottom in pixels, with at least one pixel inside.

    Raises:
        ValueError: as `require`.
    """
    left, top, right, bottom = box_px
    if left >= right or top >= bottom:
        raise ValueError(f"{record}'s box must be left, top, right, bottom, got {box_px}")


def at_least(record: object, least: int, *keys: str) -> None:
    """Written so that NaN, which TOML can say, is refused as well."""
    for key in keys:
        if not least <= (value := getattr(record, key)) < math.inf:
            raise InputError(f"{key} must be at least {least}, got {value}.")


def at_most(record: object, most: int, *keys: str) -> None:
    for key in keys:
        if not (value := getattr(record, key)) <= most:
            raise InputError(f"{key} must be at most {most}, got {value}.")


def one_of(record: object, key: str, known: tuple[str, ...]) -> None:
    if (value := getattr(record, key)) not in known:
        raise InputError(f"{key} must be {' or '.join(known)}, got {value}.")


def above_zero(record: object, *keys: str) -> None:
    for key in keys:
        if not 0 < (value := getattr(record, key)) < math.inf:
            raise InputError(f"{key} must be positive, got {value}.")


LARGEST_WHOLE = 10**300  # beyond, a float cannot hold a whole number
NONE = "none"  # TOML has no null

Record = TypeVar("Record")
Choices = Mapping[type, tuple[type, ...]]
"""For a field whose type is a protocol: the records that may stand there, of which `kind` names one."""


def toml_names(folder: Path) -> list[str]:
    """Names of the files of a folder, without their ending."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load_record(
    kind: type[Record], source: str, *, folder: Path, what: str, choices: Choices | None = None
) -> Record:
    """The record in a TOML file: one of a folder by its name, or any by its path, which ends in `.toml`.

    Args:
        what: the file is called so in messages, such as "recipe".

    Raises:
        InputError: no such file, not TOML, an unknown key, a missing one, or a value that cannot be.
    """
    path = Path(source) if source.endswith(".toml") else folder / f"{source}.toml"
    if not path.is_file():
        names = ", ".join(toml_names(folder))
        raise InputError(f"there is no {what} {source!r}: give a .toml file or one of {names}.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is not valid TOML: {error}.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    return build_record(kind, content, where=path.name, choices=choices)


def build_record(
    kind: type[Record], content: Mapping[str, Any], *, where: str, choices: Choices | None = None
) -> Record:
    """A record out of a table, records within it out of tables within.

    A whole number may stand for a floating point one, and "none" for None where a field allows that.

    Args:
        where: the table's name in messages.

    Raises:
        InputError: an unknown key, a missing one, a value of another type or one that the record refuses.
    """
    hints = get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(content) - known):
        raise InputError(
            f"{where} has an unknown key {unknown[0]!r}; known keys here are {', '.join(sorted(known))}."
        )
    values = {
        key: _value(hints[key], value, where=f"{where}: {key}", choices=choices or {})
        for key, value in content.items()
    }
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except TypeError as error:
        raise InputError(f"{where} is incomplete: {error}.") from error


def _value(hint: Any, value: Any, *, where: str, choices: Choices) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if type(None) in options and value == NONE:
        return None
    (expected,) = (option for option in options if option is not type(None))
    if expected in choices:
        return _chosen(value, where=where, choices=choices, among=choices[expected])
    if dataclasses.is_dataclass(expected):
        if not isinstance(value, dict):
            raise InputError(f"{where} must be a table.")
        return build_record(expected, value, where=where, choices=choices)  # type: ignore[arg-type]
    if get_origin(expected) is Literal:
        return _one_of(value, get_args(expected), where=where)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < LARGEST_WHOLE else math.inf
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise InputError(f"{where} must be of type {expected.__name__}, got {value!r}.")
    return value


def _one_of(value: Any, allowed: tuple[Any, ...], *, where: str) -> Any:
    if value not in allowed:
        raise InputError(f"{where} must be {' or '.join(map(repr, allowed))}, got {value!r}.")
    return value


def _chosen(value: Any, *, where: str, choices: Choices, among: tuple[type, ...]) -> Any:
    kinds = {kind.__name__: kind for kind in among}
    named = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(named, str) or named not in kinds:
        wanted = f"{where} must be a table whose kind is {' or '.join(kinds)}"
        raise InputError(f"{wanted}, got {value if named is None else named!r}.")
    rest = {key: part for key, part in value.items() if key != "kind"}
    return build_record(kinds[named], rest, where=where, choices=choices)
