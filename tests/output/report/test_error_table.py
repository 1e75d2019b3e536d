"""The table for the terminal: figures before and after, verdicts beside the truth, no failure left out."""

from __future__ import annotations

import io

from page_reader import box, pose
from rich.console import Console

from crisp.output.console import error_table
from crisp.output.report import ObjectTruth
from crisp.output.sink import Truth
from crisp.types import Certificate, Result


def truth(name: str, after_mm: float, before_mm: float | None, *, right: bool | None) -> ObjectTruth:
    def errors(mm: float) -> Truth:
        return Truth(0.001 * mm, 10 * mm, 0.0, 0.0005 * mm)

    start = None if before_mm is None else errors(before_mm)
    return ObjectTruth(name, box((0.1, 0.1, 0.1)), pose(0, 0, 1), errors(after_mm), start, right)


def judged(passed: bool) -> Result:
    reasons = () if passed else ("it does not fit.",)
    return Result("ok", certificate=Certificate(passed, 0.001, 0.01, 0.98, 100, 1.0, reasons=reasons))


def printed(results: list[Result], truths: list[ObjectTruth]) -> list[str]:
    """Its lines as a terminal of 80 columns shows them, with one space between words."""
    console = Console(file=io.StringIO(), width=80)
    console.print(error_table(results, truths))
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


LOST = ObjectTruth("lost", box((0.1, 0.1, 0.1)), pose(0, 0, 1), None, None, False)


def test_before_and_after_and_the_verdict_beside_the_truth() -> None:
    names = (("satellite_relay", True), ("mug", False), ("can", True))
    truths = [truth(name, 1.0 + i, 5.0 + i, right=right) for i, (name, right) in enumerate(names)]
    lines = printed(
        [judged(True), judged(True), judged(False), Result("no_surface", "none.")], [*truths, LOST]
    )
    assert "0 satellite_relay 5.0 → 1.0 50.0 → 10.0 2.5 → 0.5 yes, right" in lines
    assert "1 mug 6.0 → 2.0 60.0 → 20.0 3.0 → 1.0 yes, wrong" in lines
    assert "2 can 7.0 → 3.0 70.0 → 30.0 3.5 → 1.5 no, right" in lines
    assert "3 lost - → - - → - - → - no_surface" in lines
    # Of (1, 2, 3, infinity) mm the median lies between 2 and 3; two are certified, one of them rightly.
    assert "median 6.5 → 2.5 65.0 → 25.0 3.2 → 1.2 2, 1 right" in lines


def test_without_a_corrector_and_a_certificate_there_is_nothing_more_to_say() -> None:
    truths = [truth(name, 1.0, None, right=None) for name in ("a", "b")]
    lines = printed([Result("ok"), Result("ok")], truths)
    assert "# object ADD-S mm rotation ° chamfer mm status" in lines
    assert "0 a 1.0 10.0 0.5 ok" in lines
    assert "median 1.0 10.0 0.5" in lines
    assert not any("→" in line or "certified" in line for line in lines)
