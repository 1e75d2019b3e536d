"""`crisp evaluate figure`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from crisp.errors import InputError


@dataclass(frozen=True)
class Figure:
    """Draw a figure of the paper: 11 (e_shape) and 12 (ADD-S) from score files, 13 from predictions."""

    number: Annotated[int, tyro.conf.Positional, tyro.conf.arg(metavar="NUMBER")]
    """Of the figure: 11, 12 or 13."""
    out: Path
    """PNG file to write."""
    scores: tuple[Path, ...] = ()
    """Figures 11 and 12: scores.json files or their folders; each gives one curve."""
    names: tuple[str, ...] = ()
    """What to call those curves; the folders' names unless given."""
    predictions: Path | None = None
    """Figure 13: folder with results.json."""
    dataset: Path | None = None
    """Figure 13: the BOP data set that was predicted."""
    split: str = "test"
    """Figure 13: the split that was predicted."""
    rows: int = 6
    """Figure 13: how many objects to show."""

    def run(self) -> int:
        from crisp.evaluate.paper.curves import draw_curves
        from crisp.evaluate.paper.tables import read_named

        if self.number == 13:
            self._gallery()
        else:
            draw_curves(self.number, read_named(self.scores, self.names), self.out)
        print(f"figure: {self.out}")
        return 0

    def _gallery(self) -> None:
        from crisp.data.layouts import open_dataset
        from crisp.evaluate.paper.gallery import draw_gallery
        from crisp.evaluate.predictions import read_predictions

        if self.predictions is None or self.dataset is None:
            raise InputError("figure 13 is drawn from predictions: give --predictions and --dataset.")
        dataset = open_dataset(self.dataset, self.split)
        draw_gallery(read_predictions(self.predictions), dataset, self.out, rows=self.rows)
