"""The page of an adaptation: it tells what the log tells, and stands alone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from fake_stages import FRAME, TRIANGLE

from crisp.errors import InputError
from crisp.output.report.adaptation import (
    BeforeAfter,
    guard_course,
    running,
    window_of,
    write_adaptation_report,
)
from crisp.types import Result


def label(number: int, fate: str, *, certified: bool) -> dict[str, object]:
    residual = None if number == 3 else 0.001 * (number + 1)
    return {
        "event": "label",
        "frame": f"000001/{number // 2:06d}",
        "detection": number % 2,
        "fate": fate,
        "certified": certified,
        "own_residual_m": residual,
    }


def check(
    step: int, *, share: float, residual_m: float | None, share_start: float, residual_start_m: float
) -> dict[str, object]:
    return {
        "event": "guard",
        "step": step,
        "objects": 2,
        "certified_share": share,
        "median_residual_m": residual_m,
        "certified_share_start": share_start,
        "median_residual_m_start": residual_start_m,
    }


LINES = [
    *(
        label(n, "guard" if n < 2 else "queued" if n % 2 else "not certified", certified=n % 2 == 1)
        for n in range(8)
    ),
    {"event": "step", "step": 1, "pnc": 0.1, "code": 0.2, "labels": 2},
    {"event": "dropped", "frame": "000001/000000", "detection": 1},
    check(1, share=0.5, residual_m=None, share_start=0.75, residual_start_m=0.004),
    check(3, share=0.8, residual_m=0.003, share_start=0.7, residual_start_m=0.005),
    {"event": "roll-back", "step": 1, "reasons": ["the median residual rose <much>."], "stopped": False},
    {"event": "frame", "frame": "000002/000001", "message": "cannot read it."},
]


def test_it_tells_what_the_log_tells(tmp_path: Path) -> None:
    result = Result("ok", T_camera_object=np.eye(4), mesh=TRIANGLE)
    pictures = [BeforeAfter(FRAME, [result], [Result("mask_empty", "nothing there.")])]
    add_s = {"network alone": np.linspace(0.01, 0.02, 8), "corrected": np.full(8, np.inf)}
    path = write_adaptation_report(
        tmp_path / "report.html", LINES, pictures, origin={"from": "here & there"}, add_s_m=add_s
    )
    page = path.read_text()
    for row in (
        "frames</th><td>4",
        "pseudo-labels</th><td>3",
        "of these dropped from a full queue</th><td>1",
        "not certified</th><td>3",
        "roll-backs</th><td>1",
    ):
        assert row in page
    assert "the median residual rose &lt;much&gt;." in page and "000002/000001: cannot read it." in page
    assert "here &amp; there" in page and "Frame 000001/000003, never trained on" in page
    assert page.count("data:image/png") == 2 and page.count("data:image/jpeg") == 2
    assert "http" not in page.replace("http-equiv", ""), "it needs nothing from elsewhere"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_without_matplotlib_it_lacks_its_charts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    pictures = [BeforeAfter(FRAME, [], [])]
    page = write_adaptation_report(tmp_path / "report.html", LINES, pictures, origin={}).read_text()
    assert page.count("crisp-pose[report]") == 2
    assert page.count("data:image/png") == 0 and page.count("data:image/jpeg") == 2
    assert "pseudo-labels</th><td>3" in page


def test_a_short_stream_has_a_course_too() -> None:
    """Eight frames, so windows of two: frame 2 has no object, frame 3 only one of which nothing is known."""
    place = np.array([0, 1, 1, 3, 4, 5, 6, 7])
    values = np.array([1.0, 2.0, 3.0, np.nan, 4.0, 0.0, 1.0, 1.0])
    ends, found = running(place, values, np.mean)
    assert ends.tolist() == [2, 3, 4, 5, 6, 7, 8]
    np.testing.assert_allclose(found, [2.0, 2.5, np.nan, 4.0, 2.0, 0.5, 1.0])
    assert [window_of(frames) for frames in (1, 3, 16, 80, 300)] == [1, 1, 4, 20, 20]


def test_the_guards_chart_begins_with_the_weights_that_came_in() -> None:
    """At step 0 stands what they measured on the first check's objects; beside each check, on its own."""
    share, residual = (guard_course(LINES, name) for name in ("certified_share", "median_residual_m"))
    assert share.steps.tolist() == residual.steps.tolist() == [0, 1, 3]
    assert share.values.tolist() == [0.75, 0.5, 0.8] and share.source.tolist() == [0.75, 0.75, 0.7]
    assert residual.values.tolist() == [0.004, np.inf, 0.003]
    assert residual.source.tolist() == [0.004, 0.004, 0.005]
    assert share.undone.tolist() == [False, True, False]


def test_a_log_without_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tells of no object"):
        write_adaptation_report(tmp_path / "report.html", LINES[8:], [], origin={})
