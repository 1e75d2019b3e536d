"""Figures 11 and 12 of the paper: what share of objects has an error of at most so much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crisp.errors import InputError, needing
from crisp.evaluate.metrics.statistics import auc, recall_curve
from crisp.evaluate.paper.tables import ScoreFile
from crisp.files import whole_file

STEPS = 501
DPI = 150


@dataclass(frozen=True)
class CurveFigure:
    """What a figure shows.

    Args:
        column: of the objects in score files.
        scale: from the column's unit to the axis'.
        most: where the axis ends, in its unit.
    """

    number: int
    protocol: str
    column: str
    label: str
    scale: float
    most: float


FIGURES = {
    11: CurveFigure(11, "crisp-shape", "e_shape", "e_shape (diameters)", 1.0, 0.1),
    12: CurveFigure(12, "add-s", "add_s_m", "ADD-S (cm)", 100.0, 5.0),
}


def draw_curves(number: int, scores: Sequence[ScoreFile], path: Path) -> None:
    """Draw one curve for each score file into a PNG; objects without an estimate never count as found.

    Raises:
        InputError: no such figure, no score file, or one that was scored by another protocol.
    """
    if number not in FIGURES:
        raise InputError(f"figure {number} is not drawn from scores: 11 and 12 are.")
    if not scores:
        raise InputError(f"figure {number} needs at least one score file: give --scores.")
    with needing("report"):
        from matplotlib.figure import Figure

    shown = FIGURES[number]
    picture = Figure(figsize=(6, 4), layout="constrained")
    axes = picture.subplots()
    bounds = np.linspace(0, shown.most, STEPS)
    for file in scores:
        file.require(shown.protocol)
        errors = shown.scale * file.columns[shown.column]
        axes.plot(
            bounds, recall_curve(errors, bounds), label=f"{file.name} (AUC {auc(errors, shown.most):.3f})"
        )
    axes.set(xlabel=shown.label, ylabel="share of objects", xlim=(0, shown.most), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    save_whole(picture, path)


def save_whole(picture: object, path: Path) -> None:
    """A matplotlib figure as PNG; the file appears whole or not at all.

    Raises:
        InputError: the file is no PNG by its name, or cannot be written.
    """
    with needing("report"):
        from matplotlib.figure import Figure

    assert isinstance(picture, Figure)
    if path.suffix.lower() != ".png":
        raise InputError(f"a figure is written as PNG: {path} must end in .png.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            picture.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    except OSError as error:
        raise InputError(f"cannot write to {path} ({error.strerror}).") from error
