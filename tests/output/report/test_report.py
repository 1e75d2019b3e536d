"""The page says what is known, hides no failure, and needs nothing from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from page_reader import ORIGIN, SENTENCE, Page, picture

from crisp.errors import InputError, ObjectFailure
from crisp.model import Model
from crisp.output.report import ObjectTruth, write_report
from crisp.output.report.page import ReportSink
from crisp.output.report.pictures import depth_colours, pnc_colours
from crisp.output.sink import FrameResults, Run
from crisp.types import Frame, Result


def test_every_object_has_its_row_with_figures_or_the_sentence(
    tmp_path: Path, frame: Frame, results: list[Result], truths: list[ObjectTruth | None]
) -> None:
    page = Page(write_report(tmp_path / "report.html", frame, results, origin=ORIGIN, truths=truths))
    assert list(page.articles) == ["object-0", "object-1", "object-2"]
    for text in ("tall box", "3.2 mm", "4.3°", "1.5 mm", "88 %", "75 %", "346 mm", "ok"):
        assert text in page.articles["object-0"]
    assert SENTENCE in page.articles["object-1"]
    assert "registration failed" in page.articles["object-1"]
    assert "ADD-S" not in page.articles["object-1"]
    assert "the mask has no pixel." in page.articles["object-2"]
    views = [name.split(": ")[1] for name in page.images if name.startswith("object-0")]
    assert views == [
        "crop",
        "coordinates",
        "estimate, front",
        "truth, front",
        "estimate, back",
        "truth, back",
    ]
    assert [name for name in page.images if name.startswith("object-1")] == ["object-1: crop"]


def test_page_needs_nothing_from_elsewhere(
    tmp_path: Path, frame: Frame, results: list[Result], truths: list[ObjectTruth | None]
) -> None:
    page = Page(write_report(tmp_path / "report.html", frame, results, origin=ORIGIN, truths=truths))
    assert page.fetched
    assert all(re.match(r"data:image/(png|jpeg);base64,", source) for source in page.fetched)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "form"}
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"data:image[^\"]*", "", page.source))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_text_from_outside_is_escaped(tmp_path: Path, frame: Frame, results: list[Result]) -> None:
    labelled = [replace(results[0], label="<i>mug</i>"), *results[1:]]
    path = write_report(tmp_path / "report.html", frame, labelled, origin=ORIGIN, title="A < B & C")
    page = Page(path)
    for text in ("<i>mug</i>", "small <b>", "look & light", "A < B & C", SENTENCE):
        assert text in page.text


def test_a_run_of_many_frames_has_a_page_for_each(
    flat_model: Model, tmp_path: Path, frame: Frame, results: list[Result]
) -> None:
    lost = [replace(result, T_camera_object=None) for result in results]
    detections = [ObjectFailure("mask_empty", "the mask has no pixel.")] * 3
    sink = ReportSink()
    sink.open(Run(tmp_path, flat_model, origin={"data set": "a & b"}, frames=2))
    for name in ("000001/000002", "000001/000003"):
        sink.add(FrameResults(replace(frame, frame_id=name), detections, lost))
    assert sink.close() == (tmp_path / "reports",)
    pages = [Page(path) for path in sorted((tmp_path / "reports").iterdir())]
    assert ["000001/000002" in page.text for page in pages] == [True, False]
    assert all("a & b" in page.text and "flat" in page.text for page in pages)


def test_overlay_covers_the_estimate_and_leaves_the_rest(
    tmp_path: Path, frame: Frame, results: list[Result]
) -> None:
    page = Page(write_report(tmp_path / "report.html", frame, results, origin=ORIGIN))
    drawn = picture(next(source for name, source in page.images.items() if "axes" in name)).astype(int)
    assert drawn.shape == (242, 322, 3)
    changed = np.abs(drawn - 128).max(axis=-1) > 12
    # The box's front face, at 0.9 m: u = 80 + 120 * (-0.3 .. -0.1) / 0.9 = 40 .. 66.7, v = 46.7 .. 73.3.
    assert changed[2 * 48 : 2 * 72, 2 * 42 : 2 * 65].mean() > 0.99
    assert not changed[2 * 100 :].any()
    assert not changed[:, : 2 * 30].any()
    # The failed object's box is there too: its left edge at u = 90.
    assert changed[2 * 55 : 2 * 68, 2 * 90 : 2 * 90 + 3].mean() > 0.99


def test_without_truth_the_page_claims_no_errors(tmp_path: Path, frame: Frame, results: list[Result]) -> None:
    page = Page(write_report(tmp_path / "report.html", frame, results, origin=ORIGIN))
    for word in ("ADD-S", "Chamfer", "chamfer", "truth", "Rotation"):
        assert word not in page.text
    assert "1 of 3" in page.text
    assert "object 0" in page.articles["object-0"]


def test_failures_count_in_the_medians(
    tmp_path: Path, frame: Frame, results: list[Result], truths: list[ObjectTruth | None]
) -> None:
    # One of two scored objects failed: the median of (3.2 mm, infinity) is no number that could be shown.
    page = Page(write_report(tmp_path / "two.html", frame, results[:2], origin=ORIGIN, truths=truths[:2]))
    assert "none most failedmedian ADD-S" in page.text
    page = Page(write_report(tmp_path / "one.html", frame, results[:1], origin=ORIGIN, truths=truths[:1]))
    assert "3.2 mmmedian ADD-S" in page.text


def test_timings_and_origin_are_on_the_page(tmp_path: Path, frame: Frame, results: list[Result]) -> None:
    page = Page(write_report(tmp_path / "report.html", frame, results, origin=ORIGIN))
    # Only one object came as far as the network: 200 ms for all together.
    assert "0.2 sfor all objects together" in page.text
    for text in ("network90", "together200", "abababababababab", "000001/000007", "161x121 px"):
        assert text in page.text


def test_a_page_of_failures_only_is_still_a_page(tmp_path: Path, frame: Frame, results: list[Result]) -> None:
    page = Page(write_report(tmp_path / "report.html", frame, results[1:], origin=ORIGIN))
    assert "0 of 2" in page.text
    assert SENTENCE in page.articles["object-0"]


def test_truths_must_line_up_and_the_folder_must_be_there(
    tmp_path: Path, frame: Frame, results: list[Result], truths: list[ObjectTruth | None]
) -> None:
    with pytest.raises(InputError, match="2 truths for 3 results"):
        write_report(tmp_path / "report.html", frame, results, origin=ORIGIN, truths=truths[:2])
    with pytest.raises(InputError, match="cannot write the report"):
        write_report(tmp_path / "missing" / "report.html", frame, results, origin=ORIGIN)


def test_coordinates_are_coloured_by_axis_and_only_where_measured() -> None:
    pnc = np.zeros((3, 3, 3), dtype=np.float32)
    pnc[:, :, 0] = [-0.1, 0.0, 0.1]
    colours = pnc_colours(pnc, np.array([[True, True, False]] * 3))
    # 0.55 + 0.45 * (-1) = 0.1 of 255 is 25; the middle is 0.55 of 255 = 140.
    np.testing.assert_array_equal(colours[0], [[25, 140, 140], [140, 140, 140], [244, 245, 247]])


def test_depth_scale_spans_the_objects() -> None:
    depth_m = np.full((10, 10), 5.0)
    depth_m[2:8, 2:8] = 1.0
    depth_m[0, 0] = 0.0
    colours, near_m, far_m = depth_colours(depth_m, [(2, 2, 8, 8)])
    assert (near_m, far_m) == (1.0, 1.0)
    assert colours[5, 5].sum() > colours[9, 9].sum()  # near is light
    np.testing.assert_array_equal(colours[0, 0], [244, 245, 247])
