"""One row of the report for each object: its figures and its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Float

from crisp.render.overlay import Colour, Extent, Side, colour_of, side_view
from crisp.render.shading import ShadedMesh
from crisp.report.pictures import TILE_PX, crop_picture, drawing, photograph, pnc_picture
from crisp.results import Truth
from crisp.types import Frame, Result

SIDES = {
    "front": Side(azimuth_deg=-60.0, elevation_deg=28.0),
    "back": Side(azimuth_deg=120.0, elevation_deg=28.0),
}
TRUTH_COLOUR: Colour = (168, 176, 186)
WHITE: Colour = (255, 255, 255)
PAPER: Colour = (244, 245, 247)
MM = 1000.0


@dataclass(frozen=True, eq=False)
class Shown:
    """A result with all that the page shows of it; what is unknown is None."""

    number: int
    result: Result
    name: str
    mesh: ShadedMesh | None = None
    truth_mesh: ShadedMesh | None = None
    T_camera_truth: Float[np.ndarray, "4 4"] | None = None
    errors: Truth | None = None
    symmetric: bool = False
    visible_share: float | None = None


def card(frame: Frame, shown: Shown) -> str:
    """The row of one object; all text that comes from outside is escaped."""
    red, green, blue = colour_of(shown.number)
    status = shown.result.status
    message = f'<p class="message">{escape(shown.result.message)}</p>' if shown.result.message else ""
    views = _views(frame, shown)
    few = " four" if shown.truth_mesh is None else ""
    return f"""<article class="card" id="object-{shown.number}">
<div>
<div class="name"><span class="chip" style="background:rgb({red},{green},{blue})">{shown.number}</span>
<span>{escape(shown.name.replace("_", " "))}</span></div>
<span class="status {"ok" if status == "ok" else "failed"}">{escape(status.replace("_", " "))}</span>
{message}
{_facts(shown)}
</div>
<div class="views{few}">
{"".join(views)}
</div>
</article>"""


def _facts(shown: Shown) -> str:
    facts: list[tuple[str, str]] = []
    if shown.errors is not None:
        facts.append(("ADD-S", millimetres(shown.errors.add_s_m)))
        fold = " <i>(symmetric)</i>" if shown.symmetric else ""
        facts.append((f"Rotation{fold}", f"{shown.errors.rotation_deg:.1f}°"))
        if shown.errors.chamfer_m is not None:
            facts.append(("Chamfer", millimetres(shown.errors.chamfer_m)))
    if shown.result.diameter_m is not None:
        facts.append(("Diameter", f"{MM * shown.result.diameter_m:.0f} mm"))
    if shown.result.inlier_share is not None:
        facts.append(("Inliers", f"{100 * shown.result.inlier_share:.0f} %"))
    if shown.visible_share is not None:
        facts.append(("Visible", f"{100 * shown.visible_share:.0f} %"))
    rows = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts)
    return f'<dl class="facts">{rows}</dl>' if rows else ""


def millimetres(length_m: float) -> str:
    """A length for people, with a digit that still means something."""
    return f"{MM * length_m:.1f} mm"


def _views(frame: Frame, shown: Shown) -> list[str]:
    views = []
    if shown.result.box_px is not None:
        views.append(_figure("crop", photograph(crop_picture(frame, shown.result.box_px))))
    pnc = pnc_picture(shown.result)
    if pnc is not None:
        views.append(_figure("coordinates", drawing(pnc), kind="pixels"))
    meshes = [mesh for mesh in (shown.mesh, shown.truth_mesh) if mesh is not None]
    if shown.mesh is None:
        return views
    extent = Extent.around(meshes)
    for side in SIDES:
        views.append(_side(f"estimate, {side}", shown.mesh, side, extent, colour=colour_of(shown.number)))
        if shown.truth_mesh is not None:
            views.append(_side(f"truth, {side}", shown.truth_mesh, side, extent, colour=TRUTH_COLOUR))
    return views


def _side(caption: str, mesh: ShadedMesh, side: str, extent: Extent, *, colour: Colour) -> str:
    truth = colour == TRUTH_COLOUR
    background = WHITE if truth else PAPER
    image = side_view(mesh, SIDES[side], extent, colour=colour, background=background, size_px=TILE_PX)
    return _figure(caption, drawing(image), kind="truth" if truth else "")


def _figure(caption: str, source: str, *, kind: str = "") -> str:
    return (
        f'<figure class="{kind}"><img src="{source}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )
