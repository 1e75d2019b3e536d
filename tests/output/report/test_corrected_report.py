"""The page shows what the corrector did, what the certificate says, and whether the truth bears it out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from page_reader import CAMERA, ORIGIN, Page, box, picture, pose

from crisp.errors import InputError
from crisp.output.report import Comparison, ObjectTruth, write_report
from crisp.output.report.pictures import OUTLINE, residual_shades
from crisp.output.sink import Truth
from crisp.types import Certificate, CorrectionSummary, Frame, Result

BOX_PX = (40, 40, 80, 80)
COURSES = ((0.0123, 0.0045), (0.0203, 0.0055), (0.0303, 0.0065))
REASONS = ("too few <b>points</b> lie on it.", "other shapes explain them as well.")


def certified(passed: bool) -> Certificate:
    return Certificate(passed, 0.003, 0.01, 0.9, 400, 1.0, reasons=() if passed else REASONS)


def result(passed: bool, *, status: str = "converged") -> Result:
    start = pose(-0.2, 0.02, 1.0)
    code = np.zeros(3, dtype=np.float32)
    summary = CorrectionSummary(status, f"it {status}.", 2, 0.01, 0.001, start, code, 0.0, 1.0)
    return Result(
        status="ok",
        T_camera_object=pose(-0.2, 0.0, 1.0),
        shape_code=code,
        mesh=box((0.2, 0.2, 0.2)),
        box_px=BOX_PX,
        correction=summary,
        certificate=certified(passed),
    )


def comparison(found: Result, *, before_m: float = 0.02, after_m: float = 0.0) -> Comparison:
    """A square of 30 x 30 measured points, all equally far off, before and after."""
    maps = [np.full((CAMERA.height, CAMERA.width), np.nan) for _ in range(2)]
    for filled, value in zip(maps, (before_m, after_m), strict=True):
        filled[45:75, 45:75] = value
    start = replace(found, T_camera_object=pose(-0.2, 0.02, 1.0), correction=None, certificate=None)
    return Comparison(maps[1], start, maps[0])


def truth(right: bool | None, *, before_m: float = 0.0123, after_m: float = 0.0045) -> ObjectTruth:
    errors, start = Truth(after_m, 2.0, 0.0, 0.001), Truth(before_m, 31.0, 0.0, 0.006)
    return ObjectTruth("mug", box((0.2, 0.2, 0.21)), pose(-0.2, 0.0, 1.0), errors, start, right)


def page_of(
    folder: Path, frame: Frame, results: list[Result], truths: list[ObjectTruth | None] | None = None
) -> Page:
    comparisons = [comparison(item) for item in results]
    path = folder / "report.html"
    write_report(path, frame, results, origin=ORIGIN, truths=truths or (), comparisons=comparisons)
    return Page(path)


def test_both_answers_stand_side_by_side(tmp_path: Path, frame: Frame) -> None:
    page = page_of(tmp_path, frame, [result(True)], [truth(True)])
    views = [name.split(": ")[1] for name in page.images if name.startswith("object-0")]
    assert views[:3] == ["crop", "network alone", "corrected"]
    # 90 % as the certificate's quantile says; all points are as far off as each other.
    for words in (
        "90 % within 20.0 mm",
        "90 % within 0.0 mm",
        "12.3 → 4.5 mm",
        "31.0 → 2.0°",
        "6.0 → 1.0 mm",
    ):
        assert words in page.articles["object-0"]


def test_colours_and_outlines_are_those_of_their_answer(tmp_path: Path, frame: Frame) -> None:
    page = page_of(tmp_path, frame, [result(True)])
    before, after = (picture(page.images[f"object-0: {name}"]) for name in ("network alone", "corrected"))
    # The window is the box and 12 % of 40 px on each side, five times as large: 250 px.
    for image, shade in ((before, residual_shades()[-1]), (after, residual_shades()[0])):
        assert image.shape == (250, 250, 3)
        inside = (image == shade).all(axis=-1) | (image == OUTLINE).all(axis=-1)
        assert inside[51:199, 51:199].all()
    # The box's front face spans 46.7 to 73.3 px down; 2 cm lower, 120 * 0.02 / 0.9 = 2.7 px further down.
    lines = [np.nonzero((image == OUTLINE).all(axis=-1))[0] for image in (before, after)]
    assert lines[0].min() - lines[1].min() == pytest.approx(5 * 2.7, abs=1.5)


@pytest.mark.parametrize(
    ("passed", "right", "words"),
    [
        (True, True, "certified and it is right"),
        (True, False, "certified but it is wrong"),
        (False, False, "not certified and it is wrong"),
        (False, True, "not certified although it is right"),
    ],
)
def test_the_verdict_is_held_against_the_truth(
    tmp_path: Path, frame: Frame, passed: bool, right: bool, words: str
) -> None:
    page = page_of(tmp_path, frame, [result(passed)], [truth(right)])
    text = page.articles["object-0"]
    assert words in text
    assert ("not certified" in text) is not passed
    for reason in REASONS:
        assert (reason in text) is not passed
    assert ('<span class="truthful bad">' in page.source) is (passed and not right)


def test_without_truth_the_verdict_stands_alone(tmp_path: Path, frame: Frame) -> None:
    page = page_of(tmp_path, frame, [result(True), result(False)])
    assert "1 of 2certified" in page.text
    for words in ("it is right", "it is wrong", "before → after", "Right"):
        assert words not in page.text


def test_the_page_in_figures(tmp_path: Path, frame: Frame) -> None:
    """Medians of (12.3, 20.3, 30.3) and of (4.5, 5.5, 6.5) mm; three certified, one of them wrong."""
    results = [result(True), result(True), result(True)]
    truths = [truth(i != 1, before_m=b, after_m=a) for i, (b, a) in enumerate(COURSES)]
    page = page_of(tmp_path, frame, results, list(truths))
    assert "20.3 → 5.5 mmmedian ADD-S (pose), before → after" in page.text
    assert "31.0 → 2.0°median rotation error" in page.text
    assert "3 of 3certified: 2 right, 1 wrong" in page.text


def test_an_estimate_that_failed_is_not_called_certified(tmp_path: Path, frame: Frame) -> None:
    failed = replace(result(True), status="no_surface", message="there is no surface.", mesh=None)
    page = page_of(tmp_path, frame, [failed], [replace(truth(False), errors=None)])
    assert "no surface" in page.articles["object-0"] and "certified" not in page.articles["object-0"]


@pytest.mark.parametrize("status", ["unimproved", "unsolvable", "converged", "budget"])
def test_a_corrector_that_did_nothing_says_why(tmp_path: Path, frame: Frame, status: str) -> None:
    page = page_of(tmp_path, frame, [result(True, status=status)])
    said = f"corrector: it {status}." in page.articles["object-0"]
    assert said is (status in ("unimproved", "unsolvable"))


def test_the_network_alone_has_one_picture_and_no_verdict(tmp_path: Path, frame: Frame) -> None:
    plain = replace(result(True), correction=None, certificate=None)
    alone = replace(comparison(plain), start=None, start_distance_m=None)
    path = tmp_path / "report.html"
    write_report(path, frame, [plain], origin=ORIGIN, truths=[truth(None)], comparisons=[alone])
    page = Page(path)
    views = [name.split(": ")[1] for name in page.images if name.startswith("object-0")]
    assert views[:2] == ["crop", "estimate"]
    for words in ("ertified", "corrector", "before → after", "Network alone"):
        assert words not in page.text
    assert "10 mm and more" in page.text


def test_comparisons_must_line_up(tmp_path: Path, frame: Frame) -> None:
    found = result(True)
    with pytest.raises(InputError, match="2 comparisons for 1 results"):
        write_report(
            tmp_path / "report.html", frame, [found], origin=ORIGIN, comparisons=[comparison(found)] * 2
        )
