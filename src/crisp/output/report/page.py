"""`report.html`: one page with its pictures in it; it needs neither scripts nor anything from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

import crisp
from crisp.errors import InputError
from crisp.files import write_whole
from crisp.model import Model
from crisp.output.drawing import Drawn, Missed, overlay
from crisp.output.report.cards import MEASURES, MM, Measure, Shown, card, css_colour
from crisp.output.report.comparison import Comparison, compare
from crisp.output.report.pictures import RESIDUAL_LIMIT_M, depth_colours, photograph, residual_shades
from crisp.output.sink import FrameResults, NullSink, ObjectTruth, Run, Truth, prepare_folder
from crisp.shape.raster import Posed
from crisp.types import Frame, Result

NAME = "report.html"
FOLDER = "reports"


class ReportSink(NullSink):
    """`report.html` of a run of one frame; of a longer run, a page for each frame in `reports/`."""

    def open(self, run: Run) -> None:
        self._run = run
        self._pages: list[Path] = []
        if run.frames != 1:
            prepare_folder(run.folder / FOLDER)

    def add(self, found: FrameResults) -> None:
        run = self._run
        page = NAME if run.frames == 1 else f"{FOLDER}/{found.frame_id.replace('/', '_')}.html"
        compared = compare(
            run.model, found.frame, found.detections, results=found.results, starts=found.starts
        )
        path = write_report(
            run.folder / page,
            found.frame,
            found.results,
            origin=origin_of(run.model, run.origin),
            truths=found.truths,
            comparisons=compared,
        )
        self._pages.append(path)

    def close(self, written: Sequence[Path] = ()) -> Sequence[Path]:
        return self._pages if self._run.frames == 1 else (self._run.folder / FOLDER,)


@dataclass(frozen=True)
class Origin:
    """Where the results come from, written at the page's end.

    Args:
        settings: shown as they are, one line each.
    """

    model_name: str
    model_sha256: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def origin_of(model: Model, settings: Mapping[str, Any]) -> Origin:
    """The origin of a model's results."""
    verdicts = {} if model.certificate is None else {"certificate": model.certificate.calibration}
    return Origin(model.info.name, model.sha256, dict(settings) | verdicts)


def write_report(
    path: Path,
    frame: Frame,
    results: Sequence[Result],
    *,
    origin: Origin,
    truths: Sequence[ObjectTruth | None] = (),
    comparisons: Sequence[Comparison | None] = (),
    title: str = "Object pose and shape from one RGB-D frame",
) -> Path:
    """Write the page of one frame and return its path.

    Args:
        results: as `Model.estimate` gives them; failed ones appear with their sentence.
        truths: one for each result where anything is known; may be empty.
        comparisons: with the estimates before the corrector, as `compare` makes them; may be empty.

    Raises:
        InputError: truths or comparisons that do not line up with the results, or a path that cannot be
            written.
    """
    for name, given in (("truths", truths), ("comparisons", comparisons)):
        if given and len(given) != len(results):
            raise InputError(f"there are {len(given)} {name} for {len(results)} results: give one for each.")
    nothing = (None,) * len(results)
    rows = zip(results, tuple(truths) or nothing, tuple(comparisons) or nothing, strict=True)
    shown = [
        Shown.of(number, result, truth, comparison=comparison)
        for number, (result, truth, comparison) in enumerate(rows)
    ]
    return write_page(
        path,
        "frame.html",
        title=title,
        model_name=origin.model_name,
        model_sha256=origin.model_sha256,
        made_with=_made_with(frame, origin),
        any_corrected=any(item.corrected for item in shown),
        any_certificate=any(item.result.certificate is not None for item in shown),
        any_truth=any(item.truth is not None for item in shown),
        tiles=tiles(shown),
        scene=_scene(frame, shown),
        legend=legend(shown),
        cards=[card(frame, item) for item in shown],
        stages=stages(results),
    )


def _made_with(frame: Frame, origin: Origin) -> dict[str, str]:
    """Version, frame and settings, enough (with the model) to make the page again."""
    camera = frame.camera
    view = f"{frame.frame_id}, {camera.width}x{camera.height} px, focal length {camera.K[0, 0]:.0f} px"
    said = {str(key): str(value) for key, value in origin.settings.items()}
    return {"version": f"crisp {crisp.__version__}", "frame": view} | said


@dataclass(frozen=True)
class Scene:
    """The whole frame, as data URIs.

    Args:
        overlay: the image with the estimates drawn over it.
        outlined, boxed: whether it shows true outlines, and boxes of objects without an estimate.
        near_m, far_m: depths of the first and the last colour of the depth map.
    """

    overlay: str
    rgb: str
    depth: str
    outlined: bool
    boxed: bool
    near_m: float
    far_m: float


def _scene(frame: Frame, shown: Sequence[Shown]) -> Scene:
    drawn = [
        Drawn(Posed(item.mesh, item.result.T_camera_object), item.number)
        for item in shown
        if item.mesh is not None and item.result.T_camera_object is not None
    ]
    truth = [
        Posed(item.truth_mesh, item.truth.T_camera_object)
        for item in shown
        if item.truth is not None and item.truth_mesh is not None
    ]
    failed = [
        Missed(item.result.box_px, item.number)
        for item in shown
        if item.result.status != "ok" and item.result.box_px is not None
    ]
    boxes = [item.result.box_px for item in shown if item.result.box_px is not None]
    depth, near_m, far_m = depth_colours(frame.depth_m, boxes)
    return Scene(
        overlay=photograph(overlay(frame.rgb, frame.camera, drawn, missed=failed, truth=truth)),
        rgb=photograph(frame.rgb),
        depth=photograph(depth),
        outlined=bool(truth),
        boxed=bool(failed),
        near_m=near_m,
        far_m=far_m,
    )


@dataclass(frozen=True)
class Tile:
    """One figure of the whole page.

    Args:
        before: what it was before the corrector.
        small: beside the value, in small print.
        wrong: how many of them are wrong.
    """

    name: str
    value: str
    small: str = ""
    before: str = ""
    wrong: int = 0


def tiles(shown: Sequence[Shown]) -> list[Tile]:
    """The page in some figures. A failed object counts as infinitely wrong."""
    ok = sum(item.result.status == "ok" for item in shown)
    found = [Tile("objects estimated", str(ok), f"of {len(shown)}"), *_certified(shown)]
    if known := [item for item in shown if item.truth is not None]:
        corrected = any(item.corrected for item in shown)
        found += [_median_tile(measure, known, corrected) for measure in MEASURES]
    seconds = _seconds([item.result for item in shown])
    return [*found, Tile("for all objects together", f"{seconds:.1f}", "s")]


def _certified(shown: Sequence[Shown]) -> list[Tile]:
    """How many are certified and, where the truth is known, how many of those rightly."""
    if all(item.result.certificate is None for item in shown):
        return []
    passed = [item for item in shown if item.result.certificate and item.result.certificate.certified]
    rights = [None if item.truth is None else item.truth.right for item in passed]
    value, small = str(len(passed)), f"of {len(shown)}"
    if not passed or any(right is None for right in rights):
        return [Tile("certified", value, small)]
    right = sum(map(bool, rights))
    return [Tile(f"certified: {right} right", value, small, wrong=len(passed) - right)]


def _median_tile(measure: Measure, known: Sequence[Shown], corrected: bool) -> Tile:
    """The median over the objects whose truth is known, after what it was before the corrector."""
    name = measure.tile + (", before → after" if corrected else "")
    after = _median(measure, [item.errors for item in known])
    if not np.isfinite(after):
        return Tile(name, "none", "most failed")
    before = ""
    if corrected:
        start = _median(measure, [item.errors_start for item in known])
        before = measure.number(start) if np.isfinite(start) else "none"
    if measure.unit == " mm":
        return Tile(name, measure.number(after), "mm", before)
    return Tile(name, measure.written(after), before=before)


def _median(measure: Measure, errors: Sequence[Truth | None]) -> float:
    figures = [None if error is None else measure.figure(error) for error in errors]
    return float(np.median([np.inf if figure is None else figure for figure in figures]))


def _seconds(results: Sequence[Result]) -> float:
    """Of all stages; timings are per object that came as far as the network, or of all if none did."""
    whole_ms = sum(stage.ms for stage in stages(results))
    return whole_ms * max(1, sum(result.pnc is not None for result in results)) / 1000


@dataclass(frozen=True)
class Stage:
    """Time of one stage for each object, and its share of the whole."""

    name: str
    ms: float
    share: float


def stages(results: Sequence[Result]) -> list[Stage]:
    """As the pipeline measured them; none where no stage ran."""
    timing = next((result.timing_ms for result in results if result.timing_ms), {})
    whole = sum(timing.values())
    return [Stage(name, ms, ms / whole if whole > 0 else 0.0) for name, ms in timing.items()]


@dataclass(frozen=True)
class Legend:
    """The colours of the measured points, from 0 to the limit."""

    colours: tuple[str, ...]
    limit_mm: int


def legend(shown: Sequence[Shown]) -> Legend | None:
    """None where no measured points are shown."""
    if all(item.comparison is None for item in shown):
        return None
    return Legend(tuple(map(css_colour, residual_shades().tolist())), round(MM * RESIDUAL_LIMIT_M))


def write_page(path: Path, template: str, **content: Any) -> Path:
    """Fill a template, in which all text is escaped, and return the path of the page.

    Raises:
        InputError: the path cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("crisp.output.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    try:
        write_whole(path, environment.get_template(template).render(content) + "\n")
    except OSError as error:
        raise InputError(f"cannot write the report {path} ({error.strerror or error}).") from error
    return path
