"""What stands above an object's pictures: its name, the certificate's verdict with reasons, its figures.

One row of the report for each object: what is said of it, and its pictures.

The report's figures over all objects, its timings, and where they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Float

import crisp
from crisp.output.drawing import (
    LIMIT_M,
    Colour,
    Extent,
    Side,
    Window,
    colour_of,
    residual_picture,
    residual_shades,
    side_view,
)
from crisp.output.report.pictures import (
    MM,
    TILE_PX,
    Shown,
    crop_picture,
    drawing,
    millimetres,
    photograph,
    pnc_picture,
)
from crisp.output.results import Truth
from crisp.shape.raster import Posed, ShadedMesh
from crisp.types import Frame, Result

# What to add to (certified, right): a verdict is only worth what the truth says of it.
AGREES: dict[tuple[bool, bool], tuple[str, str]] = {
    (True, True): ("good", "and it is right"),
    (True, False): ("bad", "but it is wrong"),
    (False, False): ("", "and it is wrong"),
    (False, True): ("", "although it is right"),
}
NOTHING_CHANGED = ("unimproved", "unsolvable")


def facts(shown: Shown) -> str:
    """The words of one object; all text that comes from outside is escaped."""
    red, green, blue = colour_of(shown.number)
    return f"""<div class="head">
<div class="name"><span class="chip" style="background:rgb({red},{green},{blue})">{shown.number}</span>
<span>{escape(shown.name.replace("_", " "))}</span></div>
<div>{_verdict(shown)}</div>
{_messages(shown)}
</div>
{_figures(shown)}"""


def _verdict(shown: Shown) -> str:
    """The certificate's word; the status where there is none or where there is no estimate to certify."""
    status, certificate = shown.result.status, shown.result.certificate
    if status != "ok" or certificate is None:
        return _badge("good" if status == "ok" else "bad", status.replace("_", " "))
    badge = _badge("good", "certified") if certificate.certified else _badge("doubt", "not certified")
    if shown.right is None:
        return badge
    colour, words = AGREES[certificate.certified, shown.right]
    return f'{badge} <span class="truthful {colour}">{words}</span>'


def _badge(colour: str, text: str) -> str:
    return f'<span class="badge {colour}">{escape(text)}</span>'


def _messages(shown: Shown) -> str:
    result = shown.result
    sentences = [result.message] if result.message else []
    if result.certificate is not None and result.status == "ok":
        sentences += result.certificate.reasons
    if result.correction is not None and result.correction.status in NOTHING_CHANGED:
        sentences.append(f"corrector: {result.correction.reason}")
    if not sentences:
        return ""
    return f'<div class="message">{"<br>".join(escape(sentence) for sentence in sentences)}</div>'


def _figures(shown: Shown) -> str:
    rows: list[tuple[str, str]] = []
    if shown.errors is not None:
        fold = " <i>(symmetric)</i>" if shown.symmetric else ""
        rows.append(("ADD-S", _course(shown, lambda e: e.add_s_m, millimetres)))
        rows.append((f"Rotation{fold}", _course(shown, lambda e: e.rotation_deg, lambda deg: f"{deg:.1f}°")))
        if shown.errors.chamfer_m is not None:
            rows.append(("Chamfer", _course(shown, lambda e: e.chamfer_m, millimetres)))
    if shown.result.diameter_m is not None:
        rows.append(("Diameter", f"{MM * shown.result.diameter_m:.0f} mm"))
    if shown.result.inlier_share is not None:
        rows.append(("Inliers", f"{100 * shown.result.inlier_share:.0f} %"))
    if shown.visible_share is not None:
        rows.append(("Visible", f"{100 * shown.visible_share:.0f} %"))
    cells = "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in rows)
    return f'<dl class="facts">{cells}</dl>' if cells else ""


def _course(shown: Shown, figure: Callable[[Truth], float | None], written: Callable[[float], str]) -> str:
    """A figure, after what it was before the corrector where that is known."""
    assert shown.errors is not None
    before = None if shown.errors_start is None else figure(shown.errors_start)
    after = figure(shown.errors)
    assert after is not None
    if before is None:
        return written(after)
    return f'<span class="was">{number_of(written(before))} →</span> {written(after)}'


def number_of(text: str) -> str:
    """Without the unit, which follows once."""
    return text.replace(" mm", "").replace("°", "")


SIDES = {
    "front": Side(azimuth_deg=-60.0, elevation_deg=28.0),
    "back": Side(azimuth_deg=120.0, elevation_deg=28.0),
}
TRUTH_COLOUR: Colour = (168, 176, 186)
WHITE: Colour = (255, 255, 255)
PAPER: Colour = (244, 245, 247)
QUANTILE = 0.98  # of the distances, where no certificate says another


def card(frame: Frame, shown: Shown) -> str:
    """The row of one object; all text that comes from outside is escaped."""
    columns = "" if shown.truth_mesh is None else " compared"
    return f"""<article class="card" id="object-{shown.number}">
{facts(shown)}
<div class="views{columns}">
{"".join(_views(frame, shown))}
</div>
</article>"""


def _views(frame: Frame, shown: Shown) -> list[str]:
    views = []
    if shown.result.box_px is not None:
        views.append(_figure("crop", photograph(crop_picture(frame, shown.result.box_px))))
    pnc = pnc_picture(shown.result)
    if pnc is not None:
        views.append(_figure("coordinates", drawing(pnc), kind="pixels"))
    views += _residuals(frame, shown)
    meshes = [mesh for mesh in (shown.mesh, shown.truth_mesh) if mesh is not None]
    if shown.mesh is None:
        return views
    extent = Extent.around(meshes)
    for side in SIDES:
        views.append(_side(f"estimate, {side}", shown.mesh, side, extent, colour=colour_of(shown.number)))
        if shown.truth_mesh is not None:
            views.append(_side(f"truth, {side}", shown.truth_mesh, side, extent, colour=TRUTH_COLOUR))
    return views


def _residuals(frame: Frame, shown: Shown) -> list[str]:
    """Where the measured points lie off the surface: of the network alone, then as corrected."""
    compared = shown.comparison
    if compared is None or shown.result.box_px is None:
        return []
    T, window = shown.result.T_camera_object, Window.around(shown.result.box_px)
    entries = [("corrected" if shown.corrected else "estimate", compared.distance_m, shown.mesh, T)]
    if compared.start is not None and compared.start_distance_m is not None:
        start = ("network alone", compared.start_distance_m, shown.start_mesh, compared.start.T_camera_object)
        entries.insert(0, start)
    certificate = shown.result.certificate
    quantile = QUANTILE if certificate is None else certificate.quantile
    views = []
    for name, distance_m, mesh, pose in entries:
        posed = None if mesh is None or pose is None else Posed(mesh, pose)
        image = residual_picture(distance_m, window, frame.camera, posed=posed, background=PAPER)
        views.append(_figure(name, drawing(image), detail=_within(distance_m, quantile)))
    return views


def _within(distance_m: Float[np.ndarray, "h w"], quantile: float) -> str:
    return f"{100 * quantile:.0f} % within {millimetres(float(np.nanquantile(distance_m, quantile)))}"


def _side(caption: str, mesh: ShadedMesh, side: str, extent: Extent, *, colour: Colour) -> str:
    truth = colour == TRUTH_COLOUR
    background = WHITE if truth else PAPER
    image = side_view(mesh, SIDES[side], extent, colour=colour, background=background, size_px=TILE_PX)
    return _figure(caption, drawing(image), kind="truth" if truth else "")


def _figure(caption: str, source: str, *, kind: str = "", detail: str = "") -> str:
    more = f"<br>{escape(detail)}" if detail else ""
    return (
        f'<figure class="{kind}"><img src="{source}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}{more}</figcaption></figure>\n"
    )


def tiles(shown: Sequence[Shown]) -> str:
    """The page in some figures. A failed object counts as infinitely wrong."""
    ok = sum(item.result.status == "ok" for item in shown)
    parts = [(f"{ok} <small>of {len(shown)}</small>", "objects estimated"), *_certified(shown)]
    if any(item.truth_mesh is not None for item in shown):
        arrow = ", before → after" if any(item.corrected for item in shown) else ""
        parts += [
            (_course_row(shown, lambda e: e.add_s_m, millimetres), f"median ADD-S (pose){arrow}"),
            (
                _course_row(shown, lambda e: e.rotation_deg, lambda deg: f"{deg:.1f}°"),
                f"median rotation error{arrow}",
            ),
            (_course_row(shown, lambda e: e.chamfer_m, millimetres), f"median chamfer (shape){arrow}"),
        ]
    seconds = _seconds([item.result for item in shown])
    parts.append((f"{seconds:.1f} <small>s</small>", "for all objects together"))
    cells = "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for value, name in parts)
    return f'<section class="tiles">{cells}</section>'


def _certified(shown: Sequence[Shown]) -> list[tuple[str, str]]:
    """How many are certified and, where the truth is known, how many of those rightly."""
    if all(item.result.certificate is None for item in shown):
        return []
    passed = [item for item in shown if item.result.certificate and item.result.certificate.certified]
    value = f"{len(passed)} <small>of {len(shown)}</small>"
    if not passed or any(item.right is None for item in passed):
        return [(value, "certified")]
    right = sum(bool(item.right) for item in passed)
    wrong = f', <em class="bad">{len(passed) - right} wrong</em>' if right < len(passed) else ""
    return [(value, f"certified: {right} right{wrong}")]


def _course_row(
    shown: Sequence[Shown], figure: Callable[[Truth], float | None], written: Callable[[float], str]
) -> str:
    """The median over the objects whose truth is known, after what it was before the corrector."""
    known = [item for item in shown if item.truth_mesh is not None]
    after = _median([None if item.errors is None else figure(item.errors) for item in known])
    if not np.isfinite(after):
        return "none <small>most failed</small>"
    text = written(after).replace(" mm", " <small>mm</small>")
    if not any(item.corrected for item in shown):
        return text
    before = _median([None if item.errors_start is None else figure(item.errors_start) for item in known])
    was = number_of(written(before)) if np.isfinite(before) else "none"
    return f"<small>{was} →</small> {text}"


def legend(shown: Sequence[Shown]) -> str:
    """What the colours of the measured points mean; nothing where none are shown."""
    if all(item.comparison is None for item in shown):
        return ""
    stops = ", ".join(f"rgb({r},{g},{b})" for r, g, b in residual_shades())
    return (
        '<p class="legend">Measured points, by their distance from the estimated surface: '
        f'<span>0<i style="background: linear-gradient(90deg, {stops})"></i>'
        f"{MM * LIMIT_M:.0f} mm</span> and more. Dark line: the outline of the estimate.</p>"
    )


def _seconds(results: Sequence[Result]) -> float:
    """Of all stages; timings are per object that came as far as the network, or of all if none did."""
    whole_ms = sum(next((result.timing_ms for result in results if result.timing_ms), {}).values())
    return whole_ms * max(1, sum(result.pnc is not None for result in results)) / 1000


def _median(errors: Sequence[float | None]) -> float:
    return float(np.median([np.inf if error is None else error for error in errors]))


def timing_table(results: Sequence[Result]) -> str:
    """Milliseconds per object of each stage, as the pipeline measured them."""
    timing = next((result.timing_ms for result in results if result.timing_ms), {})
    if not timing:
        return "<p>No stage ran.</p>"
    whole = sum(timing.values())
    rows = "".join(_timing_row(stage, ms, whole) for stage, ms in timing.items())
    head = '<tr><th>stage</th><th class="number">ms per object</th><th></th></tr>'
    total = f'<tr><td><b>together</b></td><td class="number"><b>{whole:.0f}</b></td><td></td></tr>'
    return f"<table>{head}{rows}{total}</table>"


def _timing_row(stage: str, ms: float, whole: float) -> str:
    share = 100 * ms / whole if whole > 0 else 0.0
    bar = f'<td class="bar"><div style="width:{share:.1f}%"></div></td>'
    return f'<tr><td>{escape(stage)}</td><td class="number">{ms:.0f}</td>{bar}</tr>'


def origin_table(frame: Frame, model_name: str, model_sha256: str, settings: Mapping[str, Any]) -> str:
    """Model, version, frame and settings, enough to make the page again."""
    camera = frame.camera
    rows = {
        "model": f"{escape(model_name)}, sha256 <code>{escape(model_sha256[:16])}</code>",
        "version": f"crisp {escape(crisp.__version__)}",
        "frame": f"{escape(frame.frame_id)}, {camera.width}x{camera.height} px, "
        f"focal length {camera.K[0, 0]:.0f} px",
    } | {escape(str(key)): escape(str(value)) for key, value in settings.items()}
    cells = (
        f'<tr><td class="key">{key}</td><td class="value">{value}</td></tr>' for key, value in rows.items()
    )
    return f"<table>{''.join(cells)}</table>"


def notes(shown: Sequence[Shown]) -> str:
    """What the figures mean."""
    lines = [
        "<b>Coordinates</b>: for each pixel the network predicts where on the object it lies; colour is "
        "position (x red, y green, z blue).",
        "<b>Inliers</b>: share of the measured points that agree with the estimated pose.",
        "<b>Front and back</b>: the reconstructed mesh in the object's own frame, from two opposite sides.",
    ]
    if any(item.corrected for item in shown):
        lines.append(
            "<b>Network alone, corrected</b>: how far the measured points lie from the surface that the "
            "network's word and the registration give, and from the one after the corrector. Points on the "
            "surface do not prove that what nobody sees is right."
        )
    if any(item.result.certificate is not None for item in shown):
        lines.append(
            "<b>Certified</b>: the measured points lie on the estimated surface, and the estimate passed "
            "every other check that this model's certificate makes. What is not certified may be right all "
            "the same; the reasons say which check it failed."
        )
    if any(item.truth_mesh is not None for item in shown):
        lines[1:1] = _notes_on_truth(any(item.result.certificate is not None for item in shown))
    return "".join(f'<p class="notes">{line}</p>' for line in lines)


def _notes_on_truth(certified: bool) -> list[str]:
    lines = [
        "<b>ADD-S</b>: mean distance from the true model's points, in their true pose, to the nearest "
        "in the estimated pose.",
        "<b>Rotation</b>: angle to the true rotation, or to the nearest one that looks the same where "
        "the object has a declared symmetry.",
        "<b>Chamfer</b>: mean distance between the estimated and the true surface, both ways, in the "
        "object's frame, so without the error of the pose.",
        "<b>Visible</b>: share of the object that nothing hides. Truth is drawn in grey, from the same "
        "side and at the same scale as the estimate.",
    ]
    if certified:
        lines.append("<b>Right</b>: ADD-S below 10 % and chamfer below 5 % of the object's true diameter.")
    return lines
