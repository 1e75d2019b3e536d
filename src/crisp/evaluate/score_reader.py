"""Reads score files again, for tables and curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from crisp.errors import InputError
from crisp.evaluate.score_rows import Figure, Summary
from crisp.frame_files import read_json


@dataclass(frozen=True, eq=False)
class ScoreFile:
    """What `crisp evaluate score` wrote.

    Args:
        name: what to call it beside others.
        protocols: those that were asked for.
        summaries: by group; "all" is always there.
        columns: of all objects, by name; infinite where there was no number (no estimate).
    """

    name: str
    protocols: tuple[str, ...]
    summaries: Mapping[str, Summary]
    columns: Mapping[str, Float[np.ndarray, " n"]]

    def require(self, protocol: str) -> None:
        """Refuse a file that cannot answer.

        Raises:
            InputError: it was not scored under this protocol.
        """
        if protocol not in self.protocols:
            raise InputError(
                f"the scores of {self.name} are by {', '.join(self.protocols)} and not by {protocol}: "
                f"run crisp evaluate score with --protocols {protocol} into another folder."
            )


def read_scores(path: Path, *, name: str | None = None) -> ScoreFile:
    """Read `scores.json`, or that of a folder.

    Args:
        name: the folder's unless given.

    Raises:
        InputError: there is none, or it is of another form.
    """
    file = path / "scores.json" if path.is_dir() else path
    content = read_json(file)
    try:
        summaries = {str(entry["group"]): _summary(entry) for entry in content["summaries"]}
        protocols = tuple(map(str, content["settings"]["protocols"]))
        columns = _columns(content["objects"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file} is not of the form that crisp evaluate score writes: {error!r}.") from error
    if "all" not in summaries:
        raise InputError(
            f"{file} is not of the form that crisp evaluate score writes: it has no group 'all'."
        )
    return ScoreFile(name or file.resolve().parent.name, protocols, summaries, columns)


def read_named(paths: Sequence[Path], names: Sequence[str] = ()) -> list[ScoreFile]:
    """Several, under these names if any are given.

    Raises:
        InputError: as `read_scores`, or the names are not as many as the files.
    """
    if names and len(names) != len(paths):
        raise InputError(f"give one name for each score file: {len(paths)} files, {len(names)} names.")
    return [read_scores(path, name=names[k] if names else None) for k, path in enumerate(paths)]


def _summary(entry: Mapping[str, Any]) -> Summary:
    figures = tuple(
        Figure(name, _number(said["value"]), _interval(said.get("interval")))
        for name, said in entry["figures"].items()
    )
    return Summary(str(entry["group"]), int(entry["count"]), int(entry["failed"]), figures)


def _interval(ends: list[float | None] | None) -> tuple[float, float] | None:
    return None if ends is None else (_number(ends[0]), _number(ends[1]))


def _number(value: float | int | None) -> float:
    """JSON has no infinity: null stands for it."""
    return math.inf if value is None else float(value)


def _columns(objects: list[Mapping[str, Any]]) -> dict[str, Float[np.ndarray, " n"]]:
    """Those that hold numbers."""
    names = dict.fromkeys(name for row in objects for name in row)
    numbers = (int, float, type(None))
    return {
        name: np.array([_number(row.get(name)) for row in objects])
        for name in names
        if all(isinstance(row.get(name), numbers) for row in objects)
    }
