"""Several sinks at once, BOP's CSV, and the table of poses."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_stages import FRAME, detections
from rich.console import Console
from scipy.spatial.transform import Rotation

from crisp.errors import InputError, ObjectFailure
from crisp.evaluate.options import PredictOptions
from crisp.evaluate.predict import predict
from crisp.model import Model
from crisp.output.bop_csv import BopCsv
from crisp.output.console import PoseTable
from crisp.output.sink import FrameResults, NullSink, Run, Sink, Sinks, write_results
from crisp.types import Certificate, Detection, Result


class Kept(NullSink):
    """Keeps some frames of an earlier run, and writes down what it is told."""

    def __init__(self, name: str, kept: frozenset[str] | None) -> None:
        self.name, self.kept = name, kept
        self.told: list[object] = []

    def open(self, run: Run) -> frozenset[str] | None:
        return self.kept

    def forget(self, frame_ids: Iterable[str]) -> None:
        self.told.append(tuple(frame_ids))

    def add(self, found: FrameResults) -> None:
        self.told.append(found.frame_id)

    def close(self, written: Sequence[Path] = ()) -> Sequence[Path]:
        self.told.append(tuple(written))
        return (Path(self.name),)


def frame_of(results: list[Result], frame_id: str = "000001/000003") -> FrameResults:
    return FrameResults(replace(FRAME, frame_id=frame_id), detections(len(results)), results)


def test_a_frame_is_done_when_every_sink_that_cares_has_it(flat_model: Model, tmp_path: Path) -> None:
    sinks = [Kept("a", frozenset({"1", "2"})), Kept("b", None), Kept("c", frozenset({"2", "3"}))]
    together = Sinks(sinks)
    assert isinstance(together, Sink) and isinstance(NullSink(), Sink)
    assert together.open(Run(tmp_path, flat_model)) == {"2"}
    together.forget(iter(["1", "3"]))
    together.add(frame_of([], "1"))
    assert together.close() == (Path("a"), Path("b"), Path("c"))
    for number, sink in enumerate(sinks):
        assert sink.told == [("1", "3"), "1", tuple(Path(n) for n in "abc"[:number])]


def test_no_sink_is_the_null_sink(flat_model: Model, tmp_path: Path) -> None:
    assert write_results(Sinks(()), Run(tmp_path / "out", flat_model), frame_of([])) == ()
    assert not (tmp_path / "out").exists()


def test_lists_of_a_frame_must_line_up() -> None:
    for lists in ({"detections": detections(2)}, {"truths": [None] * 2}, {"starts": [None] * 2}):
        with pytest.raises(ValueError, match="for 1 results"):
            FrameResults(**({"frame": FRAME, "detections": detections(1), "results": [Result("ok")]} | lists))


def pose(rotvec_deg: tuple[float, float, float], t_m: tuple[float, float, float]) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotvec_deg, degrees=True).as_matrix()
    T[:3, 3] = t_m
    return T


def test_bop_csv_has_millimetres_and_leaves_out_what_has_no_estimate_or_no_id(
    flat_model: Model, tmp_path: Path
) -> None:
    T = pose((0, 0, 90), (0.1, -0.2, 0.5))
    mask = detections(1)[0].mask

    def estimated(label: str, ms: float, share: float | None = None) -> Result:
        return Result("ok", label=label, T_camera_object=T, inlier_share=share, timing_ms={"a": ms})

    # Known by the detection; by the label, which the library has as 1; by neither; not estimated.
    rows: list[tuple[Detection | ObjectFailure, Result]] = [
        (Detection(mask, object_id=7), estimated("square", 200.0, 0.5)),
        (Detection(mask), estimated("square", 300.0)),
        (Detection(mask), estimated("unknown", 0.0)),
        (ObjectFailure("mask_empty", "none."), Result("mask_empty", "none.")),
    ]
    found = FrameResults(FRAME, [row[0] for row in rows], [row[1] for row in rows])
    run = Run(tmp_path, flat_model, {"dataset": "my_set", "split": "test"})
    (path,) = write_results(BopCsv(), run, found)
    assert path.name == "crisp_my-set-test.csv"
    with path.open() as file:
        first, second = csv.DictReader(file)
    assert (first["scene_id"], first["im_id"], first["obj_id"], first["score"]) == ("1", "3", "7", "0.5")
    assert (second["obj_id"], second["score"]) == ("1", "1")
    assert float(first["time"]) == float(second["time"]) == 0.5
    np.testing.assert_allclose(np.fromstring(first["t"], sep=" "), [100, -200, 500])
    np.testing.assert_allclose(np.fromstring(first["R"], sep=" "), T[:3, :3].ravel())


def test_bop_csv_is_gone_on_with(flat_model: Model, bop_root: Path, tmp_path: Path) -> None:
    model = flat_model.with_correction("none")
    out = tmp_path / "out"
    path = out / "crisp_tiny-train.csv"
    predict(model, bop_root, PredictOptions("train", frames=1, sinks=("json", "bop-csv")), out=out)
    first = path.read_text().splitlines()
    assert [line.split(",")[:3] for line in first[1:]] == [["0", "0", "1"], ["0", "0", "2"]]
    predict(model, bop_root, PredictOptions("train", frames=2, sinks=("json", "bop-csv")), out=out)
    assert path.read_text().splitlines()[:3] == first
    assert len(path.read_text().splitlines()) == 5
    path.write_text("x,y\n")
    with pytest.raises(InputError, match=r"crisp_tiny-train\.csv"):
        predict(model, bop_root, PredictOptions("train", frames=2, sinks=("json", "bop-csv")), out=out)


def test_bop_csv_needs_numbered_frames(flat_model: Model, tmp_path: Path) -> None:
    sink = BopCsv()
    sink.open(Run(tmp_path, flat_model))
    with pytest.raises(InputError, match="rgb"):
        sink.add(frame_of([Result("ok")], "rgb"))


def test_the_table_says_where_each_object_is_and_whether_to_trust_it(
    flat_model: Model, tmp_path: Path
) -> None:
    console = Console(file=io.StringIO(), width=100)
    T = pose((0, 30, 0), (0.1, -0.0204, 0.7))
    passed = Certificate(True, 0.001, 0.01, 0.98, 100, 1.0)
    failed = replace(passed, certified=False, reasons=("it is off.",))
    results = [
        Result("ok", label="[b]mug", T_camera_object=T, certificate=passed),
        Result("ok", T_camera_object=T, certificate=failed),
        Result("no_surface", "none.", T_camera_object=T, certificate=passed),
    ]
    run = Run(tmp_path, flat_model)
    sink = Sinks([Kept("report.html", None), PoseTable(console)])
    write_results(sink, run, frame_of(results))
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert "0 [b]mug 100.0 -20.4 700.0 0.0 30.0 0.0 yes" in lines
    assert "1 - 100.0 -20.4 700.0 0.0 30.0 0.0 no: it is off." in lines
    assert "2 - - - no_surface" in lines
    assert lines[-1] == "2 of 3 objects estimated, 1 certified; see report.html"
