"""The report's figures over all objects, its timings, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

import crisp
from crisp.render.residuals import LIMIT_M, residual_shades
from crisp.report.facts import number_of
from crisp.report.shown import MM, Shown, millimetres
from crisp.results import Truth
from crisp.types import Frame, Result


def tiles(shown: Sequence[Shown]) -> str:
    """The page in some figures. A failed object counts as infinitely wrong."""
    ok = sum(item.result.status == "ok" for item in shown)
    parts = [(f"{ok} <small>of {len(shown)}</small>", "objects estimated"), *_certified(shown)]
    if any(item.truth_mesh is not None for item in shown):
        arrow = ", before → after" if any(item.corrected for item in shown) else ""
        parts += [
            (_course(shown, lambda e: e.add_s_m, millimetres), f"median ADD-S (pose){arrow}"),
            (
                _course(shown, lambda e: e.rotation_deg, lambda deg: f"{deg:.1f}°"),
                f"median rotation error{arrow}",
            ),
            (_course(shown, lambda e: e.chamfer_m, millimetres), f"median chamfer (shape){arrow}"),
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


def _course(
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
