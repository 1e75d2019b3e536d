"""The sinks by name. Reading the names imports none of them."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from crisp.errors import InputError

if TYPE_CHECKING:
    from crisp.output.sink import Sink

SINKS = {
    "json": "crisp.output.sink:ResultsJson",
    "report": "crisp.output.report.page:ReportSink",
    "bop-csv": "crisp.output.bop_csv:BopCsv",
    "table": "crisp.output.console:PoseTable",
}
"""Each sink's class; it is called without arguments."""

FRAME_SINKS = ("json", "report", "table")
"""What `crisp estimate` writes of a single frame unless told otherwise."""

SET_SINKS = ("json",)
"""The same of a whole split."""


def sinks_named(names: Sequence[str]) -> tuple[Sink, ...]:
    """New sinks in the order of `SINKS`: the table comes last, so that it can say where the files lie.

    Raises:
        InputError: a name that is not registered.
    """
    if unknown := [name for name in names if name not in SINKS]:
        raise InputError(f"there is no output '{unknown[0]}': choose from {', '.join(SINKS)}.")
    return tuple(resolve_name(place)() for name, place in SINKS.items() if name in names)
