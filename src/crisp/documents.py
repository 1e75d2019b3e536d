"""JSON and TOML files as frozen records: strict, and every mistake is one sentence that names file and key.

Records are made by cattrs. What this file adds: types are taken at their word (no text for a number, no 1 for
true), numbers are finite, `kind` chooses among records, and a key that was renamed is told its new name.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from cattrs import Converter
from cattrs.cols import homogenous_tuple_structure_factory, is_mapping, mapping_structure_factory
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from crisp.errors import InputError
from crisp.files import finite, write_whole

MOST_BYTES = 2**29  # half a gigabyte of text: far above every document, below what fills the memory
DEEPEST = 64
NONE = "none"  # TOML has no null
MOST_SHOWN = 60  # letters of a wrong value in a sentence

Record = TypeVar("Record")
Choices = Mapping[Any, Mapping[str, type]]
"""For a field whose type is a protocol or a union: the records that may stand there, by their `kind`."""
Hook = Callable[[Any, Any], Any]


def by_name(*records: type) -> dict[str, type]:
    """Choices by the records' own names."""
    return {record.__name__: record for record in records}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object as it is, for files that others write: keys and values are the caller's to check.

    Raises:
        InputError: the file is missing, too large, not UTF-8, not JSON, or holds no object.
    """
    content = parse_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a JSON object in braces, not a {type(content).__name__}.")
    return content


def parse_json(path: Path) -> Any:
    """What a JSON file holds, be it an object or a list.

    Raises:
        InputError: as `read_json`.
    """
    return _parsed(path, json.loads, "JSON")


def read_record(
    path: Path,
    kind: type[Record],
    *,
    version: int | None = None,
    choices: Choices | None = None,
    strangers: bool = False,
) -> Record:
    """The record in a JSON file.

    Args:
        version: what its `format_version` must be; looked at before all else.
        strangers: leave out keys that the record does not have, instead of refusing them.

    Raises:
        InputError: as `read_json`; another version, an unknown or missing key, a value that cannot be.
    """
    content = read_json(path)
    found = content.get("format_version")
    if version is not None and found != version:
        raise InputError(f"{path} has format version {_shown(found)}, this software reads {version}.")
    return build_record(kind, content, where=str(path), choices=choices, strangers=strangers)


def load_record(
    kind: type[Record], source: str, *, folder: Path, what: str, choices: Choices | None = None
) -> Record:
    """The record in a TOML file: one of a folder by its name, or any by its path, which ends in `.toml`.

    Args:
        what: the file is called so in messages, such as "recipe".

    Raises:
        InputError: no such file, or as `read_toml`.
    """
    path = Path(source) if source.endswith(".toml") else folder / f"{source}.toml"
    if not path.exists():
        names = ", ".join(sorted(found.stem for found in folder.glob("*.toml")))
        raise InputError(f"there is no {what} {source!r}: give a .toml file or one of {names}.")
    return read_toml(path, kind, choices=choices)


def read_toml(path: Path, kind: type[Record], *, choices: Choices | None = None) -> Record:
    """The record in a TOML file; "none" stands for None where a field allows that.

    Raises:
        InputError: the file is missing, too large, not UTF-8 or not TOML; an unknown or missing key, a value
            of another type or one that the record refuses.
    """
    content = _parsed(path, tomllib.loads, "TOML")
    return build_record(kind, content, where=path.name, choices=choices, none=NONE)


def build_record(
    kind: type[Record],
    content: Any,
    *,
    where: str,
    choices: Choices | None = None,
    none: str | None = None,
    strangers: bool = False,
) -> Record:
    """A record out of parsed JSON or TOML, records within it out of tables within.

    A whole number may stand for a floating point one. A record, or the module that it stands in, may have a
    mapping `RENAMED`: keys that it once had, dotted where they lay in tables within, and what they are called
    now. Such a key is refused like every unknown one, by a sentence that has the new name.

    Args:
        where: the file's name in messages.
        none: a text that stands for None.
        strangers: leave out unknown keys instead of refusing them.

    Raises:
        InputError: an unknown key, a missing one, a value of another type or one that the record refuses.
    """
    try:
        if _depth_exceeds(content, DEEPEST):
            raise InputError(f"{where} has more than {DEEPEST} brackets within one another: nest it less.")
        return _converter(choices or {}, none, strangers).structure(content, kind)
    except (ClassValidationError, IterableValidationError, _WrongValue) as error:
        raise InputError(_sentence(error, where)) from error


def write_json(path: Path, content: Any) -> None:
    """Write a record, or plain JSON values, whole or not at all; NaN as null. The folder is made.

    Raises:
        InputError: the file cannot be written.
    """
    plain = dataclasses.asdict(content) if dataclasses.is_dataclass(content) else content  # type: ignore[arg-type]
    text = json.dumps(finite(plain), indent=1, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error


def at_least(record: object, least: int, *keys: str) -> None:
    """Refuse fields below a bound, and those that are not finite.

    Raises:
        InputError: names the key, the bound and the value.
    """
    for key in keys:
        if not least <= (value := getattr(record, key)) < math.inf:
            raise InputError(f"{key} must be at least {least}, got {value}.")


def at_most(record: object, most: int | float, *keys: str) -> None:
    """Refuse fields above a bound; errors as `at_least`."""
    for key in keys:
        if not (value := getattr(record, key)) <= most:
            raise InputError(f"{key} must be at most {most}, got {value}.")


def above_zero(record: object, *keys: str) -> None:
    """Refuse fields that are not positive and finite; errors as `at_least`."""
    for key in keys:
        if not 0 < (value := getattr(record, key)) < math.inf:
            raise InputError(f"{key} must be positive, got {value}.")


class _WrongValue(ValueError):
    """A value of the wrong type; the message goes on where its key's name ends."""


def _parsed(path: Path, parse: Callable[[str], Any], form: str) -> Any:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe or device may never end
            raise InputError(f"{path} is not a file: give a {form} file.")
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES >> 20} MB: it cannot be such a file.")
        text = path.read_bytes().decode()
        if text.startswith("\ufeff"):
            raise InputError(f"{path} begins with a byte order mark: save it as UTF-8 without one.")
        return parse(text)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not {form}: it must be UTF-8 text ({error.reason}).") from error
    except RecursionError as error:
        raise InputError(f"{path} is not {form} that can be read: it is nested too deeply.") from error
    except InputError:
        raise
    except ValueError as error:  # of the parser, or of Python for a whole number of thousands of digits
        raise InputError(f"{path} is not {form} ({str(error).rstrip('.')}).") from error


def _depth_exceeds(content: Any, most: int) -> bool:
    level = [content]
    for _ in range(most + 1):
        level = [item for value in level for item in _within(value) if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _within(value: Any) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())


def _converter(choices: Choices, none: str | None, strangers: bool) -> Converter:
    found = Converter(forbid_extra_keys=not strangers)
    for kind, name in ((bool, "true or false"), (int, "a whole number"), (str, "a text")):
        found.register_structure_hook(kind, partial(_exactly, wanted=kind, name=name))
    found.register_structure_hook(float, _number)
    found.register_structure_hook_factory(is_mapping, _mapping)
    found.register_structure_hook_factory(lambda kind: get_origin(kind) is tuple, _tuple)
    found.register_structure_hook_factory(lambda kind: get_origin(kind) is Literal, _literal)
    found.register_structure_hook_factory(dataclasses.is_dataclass, _table)
    found.register_structure_hook_factory(_is_optional, partial(_optional, none=none))
    for kind, among in choices.items():
        found.register_structure_hook_func(
            partial(_same, kind), partial(_chosen, converter=found, among=among)
        )
    return found


def _same(kind: Any, other: Any) -> bool:
    return bool(kind == other)


def _exactly(value: Any, _: Any, *, wanted: type, name: str) -> Any:
    if type(value) is not wanted:
        raise _WrongValue(f"must be {name}, got {_shown(value)}")
    return value


def _number(value: Any, _: Any) -> float:
    try:
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number that is larger than every float
        pass
    raise _WrongValue(f"must be a finite number, got {_shown(value)}")


def _mapping(kind: Any, converter: Converter) -> Hook:
    inner = mapping_structure_factory(kind, converter, structure_to=dict)
    return partial(_guarded, inner=inner, wanted=dict, name="a table")


def _table(kind: Any, converter: Converter) -> Hook:
    inner = make_dict_structure_fn(kind, converter)
    return partial(_guarded, inner=inner, wanted=dict, name="a table")


def _tuple(kind: Any, converter: Converter) -> Hook:
    first, *others = get_args(kind)
    count = None if others == [...] else 1 + len(others)
    inner = homogenous_tuple_structure_factory(tuple[first, ...], converter)  # type: ignore[valid-type]
    name = "a list" if count is None else f"a list of {count}"
    return partial(_guarded, inner=inner, wanted=list, name=name, count=count)


def _guarded(value: Any, kind: Any, *, inner: Hook, wanted: type, name: str, count: int | None = None) -> Any:
    if not isinstance(value, wanted) or count not in (None, len(value)):  # type: ignore[arg-type]
        raise _WrongValue(f"must be {name}, got {_shown(value)}")
    return inner(value, kind)


def _literal(kind: Any, _: Converter) -> Hook:
    allowed = get_args(kind)

    def structured(value: Any, _: Any) -> Any:
        if not any(type(value) is type(each) and value == each for each in allowed):
            raise _WrongValue(f"must be {' or '.join(map(repr, allowed))}, got {_shown(value)}")
        return value

    return structured


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType) and type(None) in get_args(kind)


def _optional(kind: Any, converter: Converter, *, none: str | None) -> Hook:
    inner: Any = Union[tuple(part for part in get_args(kind) if part is not type(None))]  # noqa: UP007
    hook = converter.get_structure_hook(inner)

    def structured(value: Any, _: Any) -> Any:
        return None if value is None or (none is not None and value == none) else hook(value, inner)

    return structured


def _chosen(value: Any, _: Any, *, converter: Converter, among: Mapping[str, type]) -> Any:
    named = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(named, str) or named not in among:
        got = _shown(value if named is None else named)
        raise _WrongValue(f"must be a table whose kind is {' or '.join(among)}, got {got}")
    rest = {key: part for key, part in value.items() if key != "kind"}
    return converter.structure(rest, among[named])


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = "a number of very many digits"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _sentence(error: Exception, where: str) -> str:
    """The first mistake: unknown keys before missing ones and wrong values, outer ones before inner ones."""
    place: list[str] = []
    tables: list[tuple[int, type]] = []  # how deep each record on the way lies
    while isinstance(error, ClassValidationError | IterableValidationError):
        if isinstance(error, ClassValidationError):
            tables.append((len(place), error.cl))
        unknown = [each for each in error.exceptions if isinstance(each, ForbiddenExtraKeysError)]
        if unknown:
            return _unknown_key(min(unknown[0].extra_fields), place, tables, where=where)
        noted, bare = error.group_exceptions()
        if noted:
            error, note = noted[0]
            place.append(_step(note))
        else:
            error = bare[0]
    path = _dotted(place)
    if isinstance(error, _WrongValue):
        return f"{where}: {path} {error}." if path else f"{where} {error}."
    if isinstance(error, KeyError) and place and error.args == (place[-1],):
        return f"{_at(where, place[:-1])} is incomplete: it lacks the key {place[-1]!r}."
    reason = str(error) if isinstance(error, InputError) else f"cannot be ({error})."
    return f"{_at(where, place)}: {reason}"


def _step(note: AttributeValidationNote | IterableValidationNote) -> str:
    return note.name if isinstance(note, AttributeValidationNote) else f"[{note.index}]"


def _dotted(place: list[str]) -> str:
    return ".".join(place).replace(".[", "[")


def _at(where: str, place: list[str]) -> str:
    return f"{where}: {_dotted(place)}" if place else where


def _unknown_key(key: str, place: list[str], tables: list[tuple[int, type]], *, where: str) -> str:
    full = [*place, key]
    for depth, record in reversed(tables):
        renamed = _renamed(record)
        if (old := _dotted(full[depth:])) in renamed:
            new = _dotted([*place[:depth], renamed[old]])
            return f"{where}: {_dotted(full)} is now called {new}."
    known = ", ".join(sorted(field.name for field in dataclasses.fields(tables[-1][1])))
    return f"{_at(where, place)} has an unknown key {key!r}; known keys here are {known}."


def _renamed(record: type) -> Mapping[str, str]:
    return getattr(record, "RENAMED", None) or getattr(sys.modules[record.__module__], "RENAMED", {})
