"""`crisp evaluate table`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Table:
    """Print a table of the paper, with rows of ours from score files beside the published ones."""

    number: Annotated[int, tyro.conf.Positional, tyro.conf.arg(metavar="NUMBER")]
    """Of the table: 8 to 14."""
    scores: tuple[Path, ...] = ()
    """Our scores.json files or their folders; each gives one row."""
    names: tuple[str, ...] = ()
    """What to call those rows; the folders' names unless given."""
    out: Path | None = None
    """Folder for tableN.md, tableN.csv and tableN.json; only printed unless given."""

    def run(self) -> int:
        from crisp.evaluate.paper.tables import markdown, our_rows, paper_table, read_named, write_table

        published = paper_table(self.number)
        ours = our_rows(published, read_named(self.scores, self.names))
        print(markdown(published, ours))
        if self.out is not None:
            write_table(published, ours, self.out)
        return 0
