"""Tables for the terminal: what was found in a frame, and how far off it is where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text
from scipy.spatial.transform import Rotation

from crisp.output.sink import FrameResults, NullSink, ObjectTruth, Run, Truth
from crisp.types import Result

MM = 1000.0
LOOK = {"box": SIMPLE, "pad_edge": False, "collapse_padding": True}

FIGURES = ("ADD-S mm", "rotation °", "chamfer mm")
CAPTION = "rotations of symmetric objects count up to their symmetry"
RIGHT = "right: ADD-S below 10 %, chamfer below 5 % of the diameter"


class PoseTable(NullSink):
    """A table a frame, and at the end how many objects were estimated and where to read more."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()

    def open(self, run: Run) -> None:
        self._many = run.frames != 1
        self._judged = run.model.certificate is not None
        self._results: list[Result] = []

    def add(self, found: FrameResults) -> None:
        self._results += found.results
        if self._many:
            self._console.print(Text(found.frame_id))
        self._console.print(pose_table(found.results, judged=self._judged))

    def close(self, written: Sequence[Path] = ()) -> Sequence[Path]:
        estimated = sum(result.status == "ok" for result in self._results)
        line = f"{estimated} of {len(self._results)} objects estimated"
        if self._judged:
            line += f", {sum(map(_certified, self._results))} certified"
        if written:
            line += f"; see {' and '.join(map(str, written))}"
        self._console.print(Text(line), soft_wrap=True)
        return ()


def pose_table(results: Sequence[Result], *, judged: bool) -> Table:
    """One line for each object: its name, where it is, how it is turned, and whether to trust that.

    Position: of the object's origin in the camera's frame, mm. Rotation: from the object's to the camera's
    frame, axis times angle, degrees.

    Args:
        judged: whether there are certificates.
    """
    table = Table(**LOOK)  # type: ignore[arg-type]
    table.add_column("#", no_wrap=True)
    table.add_column("object", overflow="fold")
    table.add_column("position mm", justify="right", no_wrap=True)
    table.add_column("axis x angle °", justify="right", no_wrap=True)
    table.add_column("certified" if judged else "status", overflow="fold")
    for index, result in enumerate(results):
        T = result.T_camera_object
        numbers = ["-", "-"]
        if result.status == "ok" and T is not None:
            turned = Rotation.from_matrix(T[:3, :3]).as_rotvec(degrees=True)
            numbers = [" ".join(f"{v:.1f}" for v in triple) for triple in (MM * T[:3, 3], turned)]
        table.add_row(str(index), Text(result.label or "-"), *numbers, Text(_word(result)))
    return table


def _certified(result: Result) -> bool:
    return result.status == "ok" and result.certificate is not None and result.certificate.certified


def _word(result: Result) -> str:
    """Certified or why not; the status where there is no estimate or no certificate."""
    if result.status != "ok" or result.certificate is None:
        return result.status
    return "yes" if result.certificate.certified else f"no: {' '.join(result.certificate.reasons)}"


def error_table(results: Sequence[Result], truths: Sequence[ObjectTruth]) -> Table:
    """One line for each object, and the medians, in which a failed object counts as infinitely wrong.

    Figures stand before and after the corrector where there was one, and the certificate's verdict beside
    the truth where there is one. It fits a terminal of 80 columns.
    """
    after = [_figures(truth.errors) for truth in truths]
    before = [_figures(truth.errors_start) for truth in truths]
    corrected = any(truth.errors_start is not None for truth in truths)
    judged = any(result.certificate is not None for result in results)
    caption = f"before → after correction; {CAPTION}" if corrected else CAPTION
    caption += f"; {RIGHT}" if judged else ""
    table = Table(show_footer=True, caption=caption, **LOOK)  # type: ignore[arg-type]
    table.add_column("#", no_wrap=True)
    table.add_column("object", footer="median", no_wrap=True)
    for name, footer in zip(FIGURES, _cells(_medians(before), _medians(after), corrected), strict=True):
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    table.add_column("certified" if judged else "status", footer=_count(results, truths) if judged else "")
    for index, (result, truth) in enumerate(zip(results, truths, strict=True)):
        cells = _cells(before[index], after[index], corrected)
        table.add_row(str(index), Text(truth.name), *cells, _verdict(result, truth))
    return table


def _figures(errors: Truth | None) -> tuple[float, float, float]:
    """ADD-S in mm, rotation in degrees, chamfer in mm; infinite where there is no estimate."""
    if errors is None:
        return np.inf, np.inf, np.inf
    chamfer_m = np.inf if errors.chamfer_m is None else errors.chamfer_m
    return MM * errors.add_s_m, errors.rotation_deg, MM * chamfer_m


def _medians(rows: Sequence[tuple[float, float, float]]) -> list[float]:
    return [median(column) for column in zip(*rows, strict=True)] if rows else [np.inf] * 3


def _cells(before: Sequence[float], after: Sequence[float], corrected: bool) -> list[str]:
    if not corrected:
        return [_cell(value) for value in after]
    return [f"{_cell(was)} → {_cell(value)}" for was, value in zip(before, after, strict=True)]


def _cell(value: float) -> str:
    return f"{value:.1f}" if np.isfinite(value) else "-"


def _verdict(result: Result, truth: ObjectTruth) -> str:
    """The certificate's word, and whether the estimate is right; the status where there is no verdict."""
    if result.status != "ok" or result.certificate is None:
        return result.status
    said = "yes" if result.certificate.certified else "no"
    return said if truth.right is None else f"{said}, {'right' if truth.right else 'wrong'}"


def _count(results: Sequence[Result], truths: Sequence[ObjectTruth]) -> str:
    passed = [
        truth
        for result, truth in zip(results, truths, strict=True)
        if result.certificate is not None and result.certificate.certified
    ]
    if any(truth.right is None for truth in passed):
        return f"{len(passed)} of {len(results)}"
    return f"{len(passed)}, {sum(bool(truth.right) for truth in passed)} right"
