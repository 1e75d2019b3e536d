"""`report.html`: one page with its pictures in it; it needs neither scripts nor anything from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from crisp.errors import InputError
from crisp.model import Model
from crisp.render.overlay import Drawn, Missed, overlay
from crisp.render.raster import Posed, bare, smooth
from crisp.report.cards import card
from crisp.report.comparison import Comparison
from crisp.report.pictures import depth_colours, photograph
from crisp.report.shown import Shown
from crisp.report.style import CSS
from crisp.report.tables import legend, notes, origin_table, tiles, timing_table
from crisp.results import Truth
from crisp.shape.library import UNKNOWN
from crisp.types import Frame, Mesh, Result
from crisp.whole_files import write_whole


@dataclass(frozen=True, eq=False)
class ObjectTruth:
    """What is known of a detected object, and how far its estimate is from it.

    Args:
        name: the object's.
        T_camera_object: (4, 4) the true pose.
        errors: None where there is no estimate to compare.
        errors_start: of what the network alone had said; None where that is unknown.
        right: whether the estimate counts as right, as a certificate claims; None where that is unknown.
        symmetric: it has declared symmetries, so rotations that they make equal count as right.
        visible_share: of its silhouette; None where it is unknown.
    """

    name: str
    mesh: Mesh
    T_camera_object: Float[np.ndarray, "4 4"]
    errors: Truth | None
    errors_start: Truth | None = None
    right: bool | None = None
    symmetric: bool = False
    visible_share: float | None = None


@dataclass(frozen=True)
class Origin:
    """Where the results come from, written at the page's end.

    Args:
        settings: shown as they are, one line each.
    """

    model_name: str
    model_sha256: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def origin_of(model: Model, settings: Mapping[str, Any], *, correct: str) -> Origin:
    """The origin of a model's results.

    Args:
        correct: name of the corrector's settings.
    """
    how = {"corrector": correct}
    if model.certificate is not None:
        how["certificate"] = model.certificate.calibration
    return Origin(model.info.name, model.sha256, dict(settings) | how)


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
        comparisons: with what the network alone had said, as `compare` makes them; may be empty.

    Raises:
        InputError: truths or comparisons that do not line up with the results, or a path that cannot be
            written.
    """
    for name, given in (("truths", truths), ("comparisons", comparisons)):
        if given and len(given) != len(results):
            raise InputError(f"there are {len(given)} {name} for {len(results)} results: give one for each.")
    nothing = (None,) * len(results)
    rows = zip(results, tuple(truths) or nothing, tuple(comparisons) or nothing, strict=True)
    shown = [_shown(number, *row) for number, row in enumerate(rows)]
    page = _PAGE.format(
        title=escape(title),
        css=CSS,
        lead=_lead(shown, origin),
        tiles=tiles(shown),
        scene=_scene(frame, shown),
        cards="\n".join(card(frame, item) for item in shown),
        timings=timing_table(results),
        origin=origin_table(frame, origin.model_name, origin.model_sha256, origin.settings),
        legend=legend(shown),
        notes=notes(shown),
    )
    return write_page(path, page)


def _shown(number: int, result: Result, truth: ObjectTruth | None, comparison: Comparison | None) -> Shown:
    start = None if comparison is None else comparison.start
    own = Shown(
        number,
        result,
        name=f"object {number}" if result.label in (None, UNKNOWN) else str(result.label),
        mesh=None if result.mesh is None else smooth(result.mesh),
        comparison=comparison,
        start_mesh=None if start is None or start.mesh is None else bare(start.mesh),
    )
    if truth is None:
        return own
    return replace(
        own,
        name=truth.name,
        truth_mesh=smooth(truth.mesh),
        T_camera_truth=truth.T_camera_object,
        errors=truth.errors,
        errors_start=truth.errors_start,
        right=truth.right,
        symmetric=truth.symmetric,
        visible_share=truth.visible_share,
    )


def _lead(shown: Sequence[Shown], origin: Origin) -> str:
    count = f"{len(shown)} object{'s' if len(shown) != 1 else ''}"
    lead = (
        f"From one colour image, its depth map and a mask of each of <b>{count}</b>, the model "
        f"<b>{escape(origin.model_name)}</b> estimated where each is, how it is turned, and its whole shape, "
        "the side that the camera cannot see included."
    )
    if any(item.corrected for item in shown):
        lead += (
            " A corrector then moved pose and shape until the measured points lie on the surface, and a "
            "certificate says which estimates to trust."
        )
    if any(item.truth_mesh is not None for item in shown):
        lead += " The truth is known here, so every estimate is scored against it."
    return lead


def _scene(frame: Frame, shown: Sequence[Shown]) -> str:
    drawn = [
        Drawn(Posed(item.mesh, item.result.T_camera_object), item.number)
        for item in shown
        if item.mesh is not None and item.result.T_camera_object is not None
    ]
    truth = [
        Posed(item.truth_mesh, item.T_camera_truth)
        for item in shown
        if item.truth_mesh is not None and item.T_camera_truth is not None
    ]
    failed = [
        Missed(item.result.box_px, item.number)
        for item in shown
        if item.result.status != "ok" and item.result.box_px is not None
    ]
    picture = overlay(frame.rgb, frame.camera, drawn, missed=failed, truth=truth)
    boxes = [item.result.box_px for item in shown if item.result.box_px is not None]
    depth, near_m, far_m = depth_colours(frame.depth_m, boxes)
    legend = "; <b>white line</b>: where the object really is" if truth else ""
    legend += "; <b>box</b>: no estimate" if failed else ""
    return _SCENE.format(
        overlay=photograph(picture),
        legend=legend,
        rgb=photograph(frame.rgb),
        depth=photograph(depth),
        near=f"{near_m:.2f}",
        far=f"{far_m:.2f}",
    )


def write_page(path: Path, page: str) -> Path:
    """Write a page and return its path.

    Raises:
        InputError: the path cannot be written.
    """
    try:
        write_whole(path, page)
    except OSError as error:
        raise InputError(f"cannot write the report {path} ({error.strerror or error}).") from error
    return path


_SCENE = """<section class="scene">
<figure><img src="{overlay}" alt="The image with the estimated meshes and axes drawn over it">
<figcaption><b>Estimated meshes</b> in their estimated poses, with their axes <span class="x">x</span>
<span class="y">y</span> <span class="z">z</span>{legend}.</figcaption></figure>
<div class="inputs">
<figure><img src="{rgb}" alt="The colour image"><figcaption><b>Input:</b> colour image</figcaption></figure>
<figure><img src="{depth}" alt="The depth map">
<figcaption><b>Input:</b> depth, {near} m (light) to {far} m and more (dark)
</figcaption></figure>
</div>
</section>"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<main>
<header><h1>{title}</h1><p class="lead">{lead}</p></header>
{tiles}
{scene}
<h2>Object by object</h2>
{legend}
{cards}
<div class="columns">
<section><h2>Time</h2>{timings}</section>
<section><h2>Made with</h2>{origin}</section>
</div>
<section><h2>How to read the figures</h2>{notes}</section>
</main>
</body>
</html>
"""
