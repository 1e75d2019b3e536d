"""What the page says of each object, as records that the templates write out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crisp.output.drawing import Colour, Extent, Side, colour_of, side_view
from crisp.output.report.comparison import Comparison
from crisp.output.report.pictures import (
    PAPER,
    TILE_PX,
    Window,
    crop_picture,
    drawing,
    photograph,
    pnc_picture,
    residual_picture,
)
from crisp.output.sink import ObjectTruth, Truth
from crisp.shape.library import UNKNOWN
from crisp.shape.raster import Posed, ShadedMesh, bare, smooth
from crisp.types import Certificate, Frame, Result

MM = 1000.0
# What to add to (certified, right): a verdict is only worth what the truth says of it.
AGREES: dict[tuple[bool, bool], tuple[str, str]] = {
    (True, True): ("good", "and it is right"),
    (True, False): ("bad", "but it is wrong"),
    (False, False): ("", "and it is wrong"),
    (False, True): ("", "although it is right"),
}
NOTHING_CHANGED = ("unimproved", "unsolvable")
SIDES = {
    "front": Side(azimuth_deg=-60.0, elevation_deg=28.0),
    "back": Side(azimuth_deg=120.0, elevation_deg=28.0),
}
TRUTH_COLOUR: Colour = (168, 176, 186)
WHITE: Colour = (255, 255, 255)
QUANTILE = 0.98  # of the distances, where no certificate says another


@dataclass(frozen=True, eq=False)
class Shown:
    """A result with all that the page knows of it; what is unknown is None.

    Args:
        mesh, truth_mesh: with normals.
        start_mesh: of the estimate before the corrector, without normals.
        comparison: of the estimate before and after the corrector.
    """

    number: int
    result: Result
    truth: ObjectTruth | None = None
    comparison: Comparison | None = None
    mesh: ShadedMesh | None = None
    start_mesh: ShadedMesh | None = None
    truth_mesh: ShadedMesh | None = None

    @classmethod
    def of(
        cls, number: int, result: Result, truth: ObjectTruth | None, *, comparison: Comparison | None
    ) -> Shown:
        start = None if comparison is None else comparison.start
        return cls(
            number,
            result,
            truth,
            comparison,
            mesh=None if result.mesh is None else smooth(result.mesh),
            start_mesh=None if start is None or start.mesh is None else bare(start.mesh),
            truth_mesh=None if truth is None else smooth(truth.mesh),
        )

    @property
    def name(self) -> str:
        if self.truth is not None:
            return self.truth.name
        label = self.result.label
        return f"object {self.number}" if label is None or label == UNKNOWN else label

    @property
    def corrected(self) -> bool:
        """The estimate before the corrector is known."""
        return self.comparison is not None and self.comparison.start is not None

    @property
    def errors(self) -> Truth | None:
        return None if self.truth is None else self.truth.errors

    @property
    def errors_start(self) -> Truth | None:
        return None if self.truth is None else self.truth.errors_start

    @property
    def certificate(self) -> Certificate | None:
        """The verdict on the estimate; None where there is no estimate."""
        return self.result.certificate if self.result.status == "ok" else None


@dataclass(frozen=True)
class Words:
    """Some words and the style class that gives them their colour."""

    words: str
    kind: str = ""


@dataclass(frozen=True)
class Fact:
    """One figure of an object; `before` is what it was before the corrector."""

    name: str
    value: str
    before: str = ""
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture of an object; `source` is a data URI."""

    caption: str
    source: str
    kind: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Card:
    """The row of one object: its name, the verdict with reasons, its figures and its pictures."""

    number: int
    colour: str
    name: str
    verdict: Words
    agrees: Words | None
    sentences: tuple[str, ...]
    facts: tuple[Fact, ...]
    pictures: tuple[Picture, ...]
    compared: bool


def card(frame: Frame, shown: Shown) -> Card:
    """The row of one object."""
    agrees = None
    if shown.certificate is not None and shown.truth is not None and shown.truth.right is not None:
        kind, words = AGREES[shown.certificate.certified, shown.truth.right]
        agrees = Words(words, kind)
    return Card(
        number=shown.number,
        colour=css_colour(colour_of(shown.number)),
        name=shown.name.replace("_", " "),
        verdict=_verdict(shown),
        agrees=agrees,
        sentences=_sentences(shown),
        facts=_facts(shown),
        pictures=(*_inputs(frame, shown), *_residuals(frame, shown), *_sides(shown)),
        compared=shown.truth is not None,
    )


def css_colour(colour: Sequence[int]) -> str:
    """As a style sheet has it."""
    return f"rgb({','.join(map(str, colour))})"


def _verdict(shown: Shown) -> Words:
    """The certificate's word; the status where there is none or where there is no estimate to certify."""
    status = shown.result.status
    if shown.certificate is None:
        return Words(status.replace("_", " "), "good" if status == "ok" else "bad")
    return Words("certified", "good") if shown.certificate.certified else Words("not certified", "doubt")


def _sentences(shown: Shown) -> tuple[str, ...]:
    result = shown.result
    sentences = [result.message] if result.message else []
    if shown.certificate is not None:
        sentences += shown.certificate.reasons
    if result.correction is not None and result.correction.status in NOTHING_CHANGED:
        sentences.append(f"corrector: {result.correction.reason}")
    return tuple(sentences)


@dataclass(frozen=True)
class Measure:
    """A kind of error: its figure, and how it is written."""

    name: str
    tile: str
    figure: Callable[[Truth], float | None]
    unit: str

    def number(self, value: float) -> str:
        return f"{value:.1f}"

    def written(self, value: float) -> str:
        return self.number(value) + self.unit


MEASURES = (
    Measure("ADD-S", "median ADD-S (pose)", lambda e: MM * e.add_s_m, " mm"),
    Measure("Rotation", "median rotation error", lambda e: e.rotation_deg, "°"),
    Measure(
        "Chamfer",
        "median chamfer (shape)",
        lambda e: None if e.chamfer_m is None else MM * e.chamfer_m,
        " mm",
    ),
)


def _facts(shown: Shown) -> tuple[Fact, ...]:
    facts = [] if shown.errors is None else _errors(shown, shown.errors)
    result, truth = shown.result, shown.truth
    if result.diameter_m is not None:
        facts.append(Fact("Diameter", f"{MM * result.diameter_m:.0f} mm"))
    if result.inlier_share is not None:
        facts.append(Fact("Inliers", f"{100 * result.inlier_share:.0f} %"))
    if truth is not None and truth.visible_share is not None:
        facts.append(Fact("Visible", f"{100 * truth.visible_share:.0f} %"))
    return tuple(facts)


def _errors(shown: Shown, errors: Truth) -> list[Fact]:
    facts = []
    for measure in MEASURES:
        if (after := measure.figure(errors)) is None:
            continue
        before = None if shown.errors_start is None else measure.figure(shown.errors_start)
        symmetric = measure.name == "Rotation" and shown.truth is not None and shown.truth.symmetric
        facts.append(
            Fact(
                measure.name,
                measure.written(after),
                before="" if before is None else measure.number(before),
                note="symmetric" if symmetric else "",
            )
        )
    return facts


def _inputs(frame: Frame, shown: Shown) -> list[Picture]:
    """The crop, and the coordinates that the network predicted."""
    pictures = []
    if shown.result.box_px is not None:
        pictures.append(Picture("crop", photograph(crop_picture(frame, shown.result.box_px))))
    if (pnc := pnc_picture(shown.result)) is not None:
        pictures.append(Picture("coordinates", drawing(pnc), kind="pixels"))
    return pictures


def _residuals(frame: Frame, shown: Shown) -> list[Picture]:
    """How far the measured points lie off the surface: before the corrector, then after."""
    compared = shown.comparison
    if compared is None or shown.result.box_px is None:
        return []
    T, window = shown.result.T_camera_object, Window.around(shown.result.box_px)
    entries = [("corrected" if shown.corrected else "estimate", compared.distance_m, shown.mesh, T)]
    if compared.start is not None and compared.start_distance_m is not None:
        start = ("network alone", compared.start_distance_m, shown.start_mesh, compared.start.T_camera_object)
        entries.insert(0, start)
    quantile = QUANTILE if shown.result.certificate is None else shown.result.certificate.quantile
    pictures = []
    for name, distance_m, mesh, pose in entries:
        posed = None if mesh is None or pose is None else Posed(mesh, pose)
        image = residual_picture(distance_m, window, frame.camera, posed=posed)
        pictures.append(Picture(name, drawing(image), detail=_within(distance_m, quantile)))
    return pictures


def _within(distance_m: Float[np.ndarray, "h w"], quantile: float) -> str:
    return f"{100 * quantile:.0f} % within {MM * float(np.nanquantile(distance_m, quantile)):.1f} mm"


def _sides(shown: Shown) -> list[Picture]:
    """The estimated mesh from two sides, and the true one beside it at the same scale."""
    if shown.mesh is None:
        return []
    extent = Extent.around([mesh for mesh in (shown.mesh, shown.truth_mesh) if mesh is not None])
    pictures = []
    for name, side in SIDES.items():
        colour = colour_of(shown.number)
        image = side_view(shown.mesh, side, extent, colour=colour, background=PAPER, size_px=TILE_PX)
        pictures.append(Picture(f"estimate, {name}", drawing(image)))
        if shown.truth_mesh is not None:
            image = side_view(
                shown.truth_mesh, side, extent, colour=TRUTH_COLOUR, background=WHITE, size_px=TILE_PX
            )
            pictures.append(Picture(f"truth, {name}", drawing(image), kind="truth"))
    return pictures
