"""Tables 8 to 14 of the paper: the published rows as printed, with rows of ours beside them."""

from __future__ import annotations

import csv
import io
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from crisp.documents import read_json
from crisp.errors import InputError
from crisp.evaluate.metrics.metric import Figure, Summary
from crisp.files import finite, write_whole


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


PUBLISHED = Path(__file__).parent / "published.toml"
SECONDARY = "†"


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        ours: the figure of our scores that belongs there.
        group: of whose objects: "all", or a category.
        floor: the figure that says what a perfect estimate scores there; empty where that is perfect.
    """

    name: str
    ours: str
    group: str = "all"
    floor: str = ""


@dataclass(frozen=True)
class PublishedRow:
    """One row as printed; NaN where a dash stands.

    Args:
        secondary: whether it comes from a secondary source instead of the paper's own table.
    """

    name: str
    values: tuple[float, ...]
    secondary: bool = False


@dataclass(frozen=True)
class PaperTable:
    """One table as printed, and which of our protocols answers it."""

    number: int
    title: str
    protocols: tuple[str, ...]
    lower_is_better: bool
    columns: tuple[Column, ...]
    rows: tuple[PublishedRow, ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.values) != len(self.columns):
                raise InputError(
                    f"row '{row.name}' of table {self.number} has {len(row.values)} values, "
                    f"but the table has {len(self.columns)} columns."
                )


@dataclass(frozen=True)
class OurRow:
    """Ours, in the same columns. NaN where the set has no such category.

    Args:
        source: "ours", or "floor" for what a perfect estimate scores.
    """

    name: str
    source: str
    values: tuple[float, ...]
    intervals: tuple[tuple[float, float] | None, ...]


def paper_table(number: int) -> PaperTable:
    """A table with its published rows.

    Raises:
        InputError: there is no such table.
    """
    entries = tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))["table"]
    tables = {entry["number"]: entry for entry in entries}
    if number not in tables:
        there = ", ".join(map(str, sorted(tables)))
        raise InputError(f"there is no table {number} here: give one of {there}.")
    entry = tables[number]
    return PaperTable(
        number=number,
        title=entry["title"],
        protocols=tuple(entry["protocols"]),
        lower_is_better=entry["lower_is_better"],
        columns=tuple(Column(**column) for column in entry["columns"]),
        rows=tuple(_published(row) for row in entry["rows"]),
        note=entry.get("note", ""),
    )


def _published(row: Mapping[str, Any]) -> PublishedRow:
    return PublishedRow(row["name"], tuple(map(float, row["values"])), row.get("secondary", False))


def our_rows(table: PaperTable, scores: Sequence[ScoreFile]) -> list[OurRow]:
    """One row for each score file, and one of its sampling floors where the table's protocol samples.

    Raises:
        InputError: a file was not scored under the table's protocols.
    """
    rows = []
    for file in scores:
        for protocol in table.protocols:
            file.require(protocol)
        found = [_figure(file, column.group, column.ours) for column in table.columns]
        rows.append(_row(file.name, "ours", found))
        floors = [_figure(file, c.group, c.floor) if c.floor else None for c in table.columns]
        if any(floors):
            rows.append(_row(f"sampling floor of {file.name}", "floor", floors))
    return rows


def _figure(file: ScoreFile, group: str, name: str) -> Figure | None:
    summary = file.summaries.get(group)
    return None if summary is None else summary.figure(name)


def _row(name: str, source: str, figures: Sequence[Figure | None]) -> OurRow:
    values = tuple(math.nan if figure is None else figure.value for figure in figures)
    return OurRow(name, source, values, tuple(None if f is None else f.interval for f in figures))


def markdown(table: PaperTable, ours: Sequence[OurRow]) -> str:
    """The table for people: published rows first, then ours with 95 % intervals."""
    names = [column.name for column in table.columns]
    better = "lower is better" if table.lower_is_better else "higher is better"
    lines = [
        f"# Table {table.number}. {table.title}",
        "",
        f"Protocol {' and '.join(table.protocols)}; {better}. Published rows are from other data: ours are "
        "comparable with them only on that data.",
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "--:|" * len(names),
        *(_line(_published_name(row), [_text(v) for v in row.values]) for row in table.rows),
        *(_line(f"**{row.name}**" if row.source == "ours" else row.name, _cells(row)) for row in ours),
    ]
    remarks = [table.note] if table.note else []
    if any(row.secondary for row in table.rows):
        remarks.append(f"{SECONDARY} from a secondary source.")
    return "\n".join([*lines, "", *remarks]).rstrip() + "\n"


def _published_name(row: PublishedRow) -> str:
    return f"{row.name}{SECONDARY}" if row.secondary else row.name


def _line(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def _cells(row: OurRow) -> list[str]:
    return [
        _text(value) if ends is None else f"{_text(value)} ({_text(ends[0])} to {_text(ends[1])})"
        for value, ends in zip(row.values, row.intervals, strict=True)
    ]


def _text(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3g}" if math.isfinite(value) else "∞"


def write_table(table: PaperTable, ours: Sequence[OurRow], folder: Path) -> None:
    """`tableN.md`, `.csv` and `.json`, each whole or not at all; null or empty for a dash and infinity."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(row.name, "secondary" if row.secondary else "published", row.values) for row in table.rows]
    rows += [(row.name, row.source, row.values) for row in ours]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["row", "source", *(column.name for column in table.columns)])
    writer.writerows([name, source, *finite(values)] for name, source, values in rows)
    entries: list[dict[str, Any]] = [
        {"row": name, "source": source, "values": finite(values)} for name, source, values in rows
    ]
    for entry, row in zip(entries[len(table.rows) :], ours, strict=True):
        entry["intervals"] = finite(row.intervals)
    head = {key: value for key, value in asdict(table).items() if key != "rows"}
    content = {
        "md": markdown(table, ours),
        "csv": stream.getvalue(),
        "json": json.dumps(head | {"rows": entries}, indent=1, allow_nan=False) + "\n",
    }
    for ending, text in content.items():
        write_whole(folder / f"table{table.number}.{ending}", text)
