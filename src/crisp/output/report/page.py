"""The report's style sheet.

`report.html`: one page with its pictures in it; it needs neither scripts nor anything from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from crisp.errors import InputError
from crisp.files import write_whole
from crisp.model import Model
from crisp.output.drawing import Drawn, Missed, overlay
from crisp.output.report.cards import card, legend, notes, origin_table, tiles, timing_table
from crisp.output.report.comparison import Comparison
from crisp.output.report.pictures import Shown, depth_colours, photograph
from crisp.output.results import Truth
from crisp.shape.library import UNKNOWN
from crisp.shape.raster import Posed, bare, smooth
from crisp.types import Frame, Mesh, Result

CSS = """
:root { --ink: #16202b; --soft: #5b6776; --line: #e2e6eb; --paper: #f4f5f7; --good: #14804a;
  --bad: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); line-height: 1.5; -webkit-text-size-adjust: 100%;
  font: 16px/1.5 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 36px 28px 56px; }
h1 { font-size: 34px; line-height: 1.15; letter-spacing: -.02em; margin: 0 0 8px; font-weight: 700; }
h2 { font-size: 21px; letter-spacing: -.01em; margin: 44px 0 12px; font-weight: 650; }
.lead { color: var(--soft); max-width: 76ch; margin: 0; font-size: 17px; }
.lead b { color: var(--ink); font-weight: 600; }
.tiles { display: flex; flex-wrap: wrap; margin: 24px 0; border: 1px solid var(--line);
  border-radius: 12px; overflow: hidden; }
.tile { flex: 1 1 150px; padding: 14px 20px; box-shadow: 1px 1px 0 var(--line); }
.tile b { display: block; font-size: 27px; line-height: 1.2; letter-spacing: -.02em; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.tile small { font-size: 15px; letter-spacing: 0; font-weight: 500; color: var(--soft); }
.tile span { color: var(--soft); font-size: 14px; }
.scene { display: grid; grid-template-columns: minmax(0, 2.06fr) minmax(0, 1fr); gap: 16px; }
.inputs { display: grid; gap: 12px; align-content: space-between; }
figure { margin: 0; }
figure img { display: block; width: 100%; border-radius: 10px; }
figcaption { color: var(--soft); font-size: 13.5px; margin-top: 5px; line-height: 1.4; }
.x, .y, .z { font-weight: 700; } .x { color: #e62424; } .y { color: #178a2c; } .z { color: #245af0; }
.tile em { font-style: normal; font-weight: 650; } em.bad { color: var(--bad); }
.card { padding: 16px 0 18px; border-top: 1px solid var(--line); }
.head { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 22px; margin-bottom: 6px; }
.name { display: flex; align-items: center; gap: 10px; font-size: 18px; font-weight: 650;
  overflow-wrap: anywhere;
  line-height: 1.25; }
.chip { flex: none; width: 28px; height: 28px; border-radius: 50%; color: #fff; font-size: 14px;
  font-weight: 700;
  display: grid; place-items: center; }
.badge { display: inline-block; padding: 1px 10px; border-radius: 99px; font-size: 14px;
  font-weight: 650; }
.badge.good { background: #e4f4eb; color: var(--good); } .badge.bad { background: #fbe9e7;
  color: var(--bad); } .badge.doubt { background: #fdf1d8; color: #8a5a00; }
.truthful { font-size: 14px; color: var(--soft); } .truthful.good { color: var(--good); }
.truthful.bad { color: var(--bad); font-weight: 650; }
.message { flex: 1 1 340px; font-size: 14.5px; line-height: 1.4; }
.facts { margin: 0 0 10px; display: flex; flex-wrap: wrap; gap: 1px 26px; font-size: 14.5px;
  font-variant-numeric: tabular-nums; }
.facts div { display: flex; gap: 7px; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; font-weight: 600; }
.facts i { font-style: normal; font-size: 12.5px; } .was { color: var(--soft); font-weight: 500; }
.legend { margin: -4px 0 14px; color: var(--soft); font-size: 14.5px; }
.legend span { white-space: nowrap; }
.legend i { display: inline-block; width: 150px; height: 11px; border-radius: 6px; margin: 0 8px; }
.views { display: grid; grid-template-columns: repeat(6, minmax(0, 200px)); gap: 10px; }
.views.compared { grid-template-columns: repeat(8, minmax(0, 1fr)); }
.views figure { text-align: center; }
.views img { aspect-ratio: 1; object-fit: contain; background: var(--paper); border-radius: 8px; }
.views .truth img { background: #fff; }
.views .pixels img { image-rendering: pixelated; }
.columns { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 48px; }
table { border-collapse: collapse; width: 100%; font-size: 15px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13.5px; }
th, td { padding: 7px 0; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; padding-left: 16px; white-space: nowrap; }
td.bar { width: 34%; padding-left: 20px; } td.bar div { height: 9px; border-radius: 5px;
  background: #2684db; min-width: 2px; }
td.value { overflow-wrap: anywhere; padding-left: 16px; } td.key { color: var(--soft);
  white-space: nowrap; vertical-align: top; }
.notes { color: var(--soft); font-size: 14px; max-width: 100ch; } .notes b { color: var(--ink);
  font-weight: 600; }
code { font: 13px/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
@media (max-width: 900px) {
  main { padding: 22px 16px 40px; } h1 { font-size: 27px; } .lead { font-size: 16px; }
  .scene, .columns { grid-template-columns: minmax(0, 1fr); }
  .inputs { grid-template-columns: 1fr 1fr; align-content: start; }
  .views, .views.compared { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .tile { flex-basis: 44%; }
}
@media print { .card { break-inside: avoid; } }
"""


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
