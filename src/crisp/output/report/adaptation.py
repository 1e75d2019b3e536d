"""The page of an adaptation: its course, the guard's checks, pictures before and after."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from crisp.errors import InputError, needing
from crisp.output.drawing import Drawn, overlay
from crisp.output.report.page import write_page
from crisp.output.report.pictures import encoded, photograph
from crisp.shape.raster import Posed, smooth
from crisp.types import Frame, Result

Line = Mapping[str, Any]
WINDOW = 20
"""Frames over which the curves are averaged."""
MM_PER_M = 1000.0


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """A frame that was not trained on, under the weights that came in and under those that came out.

    Args:
        before, after: results of the network alone, one for each mask.
    """

    frame: Frame
    before: Sequence[Result]
    after: Sequence[Result]


Errors = Mapping[str, Float[np.ndarray, " n"]]
"""By curve ("network alone", "corrected"): ADD-S of the log's objects, metres; infinite without estimate,
NaN where the truth is not known."""


def write_adaptation_report(
    path: Path,
    lines: Sequence[Line],
    pictures: Sequence[BeforeAfter],
    *,
    origin: Mapping[str, Any],
    add_s_m: Errors | None = None,
) -> Path:
    """Write the page and return its path. Without matplotlib it has no charts, and says so.

    Args:
        lines: of the audit log.
        origin: shown as it is, one line each.
        add_s_m: where the truth is known; it had no part in the adaptation.

    Raises:
        InputError: a log in which no frame was looked at, or a path that cannot be written.
    """
    labels = [line for line in lines if line["event"] == "label"]
    if not labels:
        raise InputError("the log tells of no object: there is nothing to report.")
    place = _places(labels)
    guarded = any(line["event"] == "guard" for line in lines)
    charts = find_spec("matplotlib") is not None
    return write_page(
        path,
        "adaptation.html",
        title="Adaptation without labels",
        counts=_counts(lines, labels),
        window=window_of(int(place[-1]) + 1),
        course=_course(labels, place, add_s_m) if charts else "",
        guarded=guarded,
        guard=_guard(lines) if charts and guarded else "",
        incidents=_incidents(lines),
        pairs=[Pair.of(item) for item in pictures],
        origin=origin,
    )


def _counts(lines: Sequence[Line], labels: Sequence[Line]) -> dict[str, int]:
    fates, events = Counter(line["fate"] for line in labels), Counter(line["event"] for line in lines)
    return {
        "frames": len({line["frame"] for line in labels}),
        "objects looked at": len(labels),
        "pseudo-labels": fates["queued"],
        "of these dropped from a full queue": events["dropped"],
        "not certified": fates["not certified"],
        "kept for the guard": fates["guard"],
        "steps": events["step"],
        "roll-backs": events["roll-back"],
    }


def _incidents(lines: Sequence[Line]) -> list[str]:
    """Roll-backs, and what could not be read, in words."""
    said = [f"step {x['step']}: {' '.join(x['reasons'])}" for x in lines if x["event"] == "roll-back"]
    said += [x["message"] for x in lines if x["event"] == "fault"]
    return said + [f"{x['frame']}: {x['message']}" for x in lines if x["event"] == "frame"]


@dataclass(frozen=True)
class Pair:
    """A frame's overlays before and after, as data URIs."""

    frame_id: str
    before: str
    after: str

    @classmethod
    def of(cls, item: BeforeAfter) -> Pair:
        before, after = (_overlay(item.frame, results) for results in (item.before, item.after))
        return cls(item.frame.frame_id, before, after)


def _overlay(frame: Frame, results: Sequence[Result]) -> str:
    drawn = [
        Drawn(Posed(smooth(result.mesh), result.T_camera_object), number)
        for number, result in enumerate(results)
        if result.mesh is not None and result.T_camera_object is not None
    ]
    return photograph(overlay(frame.rgb, frame.camera, drawn))


def _places(labels: Sequence[Line]) -> Int[np.ndarray, " n"]:
    """The number of each label's frame in the stream, from 0."""
    frames = [line["frame"] for line in labels]
    return np.cumsum([n == 0 or frames[n] != frames[n - 1] for n in range(len(frames))]) - 1


def _course(labels: Sequence[Line], place: Int[np.ndarray, " n"], add_s_m: Errors | None) -> str:
    """Certified share and residual of the heads over the frames; ADD-S where it is known."""
    figure, axes = _axes(2 if add_s_m is None else 3)
    certified = np.array([bool(line.get("certified")) for line in labels], dtype=float)
    residual = np.array([_number(line.get("own_residual_m")) for line in labels]) * MM_PER_M
    _curve(axes[0], place, certified, label="certified share", statistic=np.mean)
    _curve(axes[1], place, residual, label="median residual, mm", statistic=np.median)
    if add_s_m is not None:
        for name, values in add_s_m.items():
            _curve(
                axes[2], place, MM_PER_M * values, label="median ADD-S, mm", statistic=np.median, name=name
            )
        axes[2].legend(fontsize=8)
    for item in axes:
        item.set_xlabel("frames")
    return _plotted(figure)


def _number(value: float | None) -> float:
    return float("inf") if value is None else float(value)


def _axes(count: int) -> tuple[Any, Any]:
    with needing("report"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * count, 2.8), layout="constrained")
    return figure, np.atleast_1d(figure.subplots(1, count))


def _plotted(figure: Any) -> str:
    """A data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return encoded(buffer.getvalue(), "png")


def _curve(
    axes: Any, place: np.ndarray, values: np.ndarray, *, label: str, statistic: Any, name: str | None = None
) -> None:
    ends, found = running(place, values, statistic)
    style = ".-" if len(ends) < WINDOW else "-"
    axes.plot(ends, np.where(np.isfinite(found), found, np.nan), style, label=name)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)


def window_of(frames: int) -> int:
    """Frames that a point of the course stands for: of a short stream, a quarter."""
    return min(WINDOW, max(1, frames // 4))


def running(
    place: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"], statistic: Callable[[np.ndarray], float]
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """A statistic over a sliding window of frames, of those values that are known (no NaN).

    Args:
        place: number of each value's frame, rising from 0.

    Returns:
        How many frames had been seen at the end of each window, and the statistic; NaN without a value.
    """
    frames = int(place[-1]) + 1
    window = window_of(frames)
    ends = np.arange(window, frames + 1)
    place, values = place[~np.isnan(values)], values[~np.isnan(values)]
    parts = [values[(place < end) & (place >= end - window)] for end in ends]
    return ends, np.array([statistic(part) if len(part) else np.nan for part in parts], dtype=float)


@dataclass(frozen=True, eq=False)
class GuardCourse:
    """One figure of the guard over the steps, from before the first of them.

    Args:
        steps: 0, and those of the checks.
        values: of the weights of that step: at 0 those that came in, as the objects of the first check
            measured them.
        source: of the same objects as at each check, under the weights that came in; the guard grows.
        undone: whether the check led to a roll-back.
    """

    steps: Float[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]
    source: Float[np.ndarray, " n"]
    undone: Bool[np.ndarray, " n"]


def guard_course(lines: Sequence[Line], name: str) -> GuardCourse:
    """Of `certified_share` or `median_residual_m`."""
    checks = [line for line in lines if line["event"] == "guard"]
    undone = {line["step"] for line in lines if line["event"] == "roll-back"}
    source = [_number(line.get(f"{name}_start")) for line in checks]
    return GuardCourse(
        steps=np.array([0.0, *(line["step"] for line in checks)]),
        values=np.array([source[0], *(_number(line[name]) for line in checks)]),
        source=np.array([source[0], *source]),
        undone=np.array([False, *(line["step"] in undone for line in checks)]),
    )


def _guard(lines: Sequence[Line]) -> str:
    """Both figures at every check; crosses where it rolled back."""
    figure, axes = _axes(2)
    for item, name, label, unit in (
        (axes[0], "certified_share", "certified share", 1.0),
        (axes[1], "median_residual_m", "median residual, mm", MM_PER_M),
    ):
        course = guard_course(lines, name)
        item.plot(course.steps, unit * course.source, "--", color="grey", label="weights that came in")
        item.plot(course.steps, unit * course.values, "o-", label="weights of that step")
        item.plot(course.steps[course.undone], unit * course.values[course.undone], "rx", markersize=10)
        item.set(xlabel="steps", ylabel=label)
        item.grid(alpha=0.3)
    axes[1].legend(fontsize=8)
    return _plotted(figure)
