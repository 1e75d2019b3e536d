"""One row of the report for each object: what is said of it, and its pictures."""

from __future__ import annotations

from html import escape

import numpy as np
from jaxtyping import Float

from crisp.render.overlay import Colour, Extent, Side, colour_of, side_view
from crisp.render.raster import Posed
from crisp.render.residuals import Window, residual_picture
from crisp.render.shading import ShadedMesh
from crisp.report.facts import facts
from crisp.report.pictures import TILE_PX, crop_picture, drawing, photograph, pnc_picture
from crisp.report.shown import Shown, millimetres
from crisp.types import Frame

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
