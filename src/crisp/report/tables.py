"""The report's figures over all objects, its timings, and where they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

import crisp
from crisp.report.cards import Shown, millimetres
from crisp.types import Frame, Result


def tiles(shown: Sequence[Shown]) -> str:
    """The page in five figures. A failed object counts as infinitely wrong."""
    ok = sum(item.result.status == "ok" for item in shown)
    parts = [(f"{ok} <small>of {len(shown)}</small>", "objects estimated")]
    if any(item.truth_mesh is not None for item in shown):
        errors = [item.errors for item in shown if item.truth_mesh is not None]
        add_s = _median(None if e is None else e.add_s_m for e in errors)
        rotation = _median(None if e is None else e.rotation_deg for e in errors)
        chamfer = _median(None if e is None else e.chamfer_m for e in errors)
        parts.append((_small_unit(add_s, millimetres(add_s)), "median ADD-S (pose)"))
        parts.append((_small_unit(rotation, f"{rotation:.1f}°"), "median rotation error"))
        parts.append((_small_unit(chamfer, millimetres(chamfer)), "median chamfer (shape)"))
    seconds = _seconds([item.result for item in shown])
    parts.append((f"{seconds:.1f} <small>s</small>", "for all objects together"))
    cells = "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for value, name in parts)
    return f'<section class="tiles">{cells}</section>'


def _seconds(results: Sequence[Result]) -> float:
    """Of all stages; timings are per object that came as far as the network, or of all if none did."""
    whole_ms = sum(next((result.timing_ms for result in results if result.timing_ms), {}).values())
    return whole_ms * max(1, sum(result.pnc is not None for result in results)) / 1000


def _median(errors: Iterable[float | None]) -> float:
    return float(np.median([np.inf if error is None else error for error in errors]))


def _small_unit(value: float, text: str) -> str:
    if not np.isfinite(value):
        return "none <small>most failed</small>"
    return text.replace(" mm", " <small>mm</small>")


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


def notes(with_truth: bool) -> str:
    """What the figures mean."""
    lines = [
        "<b>Coordinates</b>: for each pixel the network predicts where on the object it lies; colour is "
        "position (x red, y green, z blue).",
        "<b>Inliers</b>: share of the measured points that agree with the estimated pose.",
        "<b>Front and back</b>: the reconstructed mesh in the object's own frame, from two opposite sides.",
    ]
    if with_truth:
        lines[1:1] = [
            "<b>ADD-S</b>: mean distance from the true model's points, in their true pose, to the nearest "
            "in the estimated pose.",
            "<b>Rotation</b>: angle to the true rotation, or to the nearest one that looks the same where "
            "the object has a declared symmetry.",
            "<b>Chamfer</b>: mean distance between the estimated and the true surface, both ways, in the "
            "object's frame, so without the error of the pose.",
            "<b>Visible</b>: share of the object that nothing hides. Truth is drawn in grey, from the same "
            "side and at the same scale as the estimate.",
        ]
    return "".join(f'<p class="notes">{line}</p>' for line in lines)
