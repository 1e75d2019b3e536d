"""The published rows, ours beside them, and the figures drawn from score files."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scored_set import failed, truth, write_predictions, write_set

from crisp.data.bop.reader import BopDataset
from crisp.errors import InputError
from crisp.evaluate.metrics import METRICS
from crisp.evaluate.options import ScoreOptions
from crisp.evaluate.paper.curves import draw_curves
from crisp.evaluate.paper.gallery import draw_gallery
from crisp.evaluate.paper.tables import (
    ScoreFile,
    markdown,
    our_rows,
    paper_table,
    read_named,
    read_scores,
    write_table,
)
from crisp.evaluate.predictions import read_predictions
from crisp.evaluate.score import score

NUMBERS = (8, 9, 10, 11, 12, 13, 14)
FIRST = "000001/000000"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def scored(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Under all protocols; the first of five objects failed."""
    frames = truth()
    frames[FIRST][0] = failed(0)
    folder = write_predictions(tmp_path_factory.mktemp("ours"), frames)
    score(ScoreOptions(folder, root, "test", protocols=tuple(METRICS)))
    return folder


@pytest.fixture
def ours(scored: Path) -> ScoreFile:
    return read_scores(scored, name="ours")


def test_the_published_rows_are_as_printed() -> None:
    # Spot checks against the paper's pages, one of each table.
    def row(number: int, name: str) -> tuple[float, ...]:
        return next(r.values for r in paper_table(number).rows if r.name == name)

    assert row(8, "CRISP") == (0.55, 0.31, 0.37, 0.18, 0.51, 0.16, 0.35)
    assert row(9, "FSD") == (80.9, 77.4, 61.9, 28.1, 34.4, 61.5, 72.6)
    assert row(10, "CRISP with corrector") == (0.139, 0.120, 0.191, 0.176)
    assert row(11, "CRISP, PNC") == (0.22, 0.42, 0.54)
    assert row(12, "CRISP, DINOv2") == (0.42, 0.39)
    assert row(13, "CRISP, with")[:3] == row(14, "CRISP, with") == (0.25, 0.43, 0.65)
    assert [math.isnan(v) for v in row(9, "SGPA")] == [True, False, False, False, True, False, True]


def test_averages_of_table_8_are_the_means_of_their_rows_except_one() -> None:
    apart = {r.name: abs(np.mean(r.values[:-1]) - r.values[-1]) for r in paper_table(8).rows}
    assert apart.pop("SGPA") > 0.1
    assert max(apart.values()) <= 0.0051


@pytest.mark.parametrize("number", NUMBERS)
def test_every_table_has_ours_beside_it(number: int, ours: ScoreFile) -> None:
    table = paper_table(number)
    rows = our_rows(table, [ours])
    assert rows[0].name == "ours" and len(rows[0].values) == len(table.columns)
    known = {"bottle", "can", "all"}  # of NOCS' categories the set has these
    for column, value in zip(table.columns, rows[0].values, strict=True):
        assert math.isnan(value) == (column.group not in known and column.group != "all"), column
    text = markdown(table, rows)
    assert "| **ours** |" in text and text.count("\n| CRISP") == sum("CRISP" in r.name for r in table.rows)
    assert ("secondary source" in text) == any(row.secondary for row in table.rows)


def test_a_row_of_ours_is_what_was_scored(ours: ScoreFile) -> None:
    # Four of five objects are right: the AUC of ADD-S is 4/5 at each bound.
    (row,) = our_rows(paper_table(11), [ours])
    assert row.values == pytest.approx([0.8] * 3)
    assert row.intervals[0] is not None and row.intervals[0][0] < 0.8
    # The mean of errors of which one is infinite is infinite; the floor is not.
    table10, floor = our_rows(paper_table(10), [ours])
    assert table10.values[0] == np.inf and floor.source == "floor" and 0 < floor.values[0] < 0.1
    assert "∞" in markdown(paper_table(10), [table10, floor])


def test_table_files(ours: ScoreFile, tmp_path: Path) -> None:
    table = paper_table(13)
    write_table(table, our_rows(table, [ours]), tmp_path)
    with (tmp_path / "table13.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == ["published"] * 2 + ["secondary"] * 3 + ["ours", "floor"]
    content = json.loads((tmp_path / "table13.json").read_text())
    assert content["rows"][0]["values"] == [0.21, 0.35, 0.55, None]
    assert content["rows"][-2]["intervals"][0] is not None
    assert (tmp_path / "table13.md").read_text() == markdown(table, our_rows(table, [ours]))
    assert not list(tmp_path.glob(".*"))


def test_what_cannot_be_shown_is_refused(scored: Path, root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table 7"):
        paper_table(7)
    score(ScoreOptions(scored, root, "test", protocols=("add-s",), out=tmp_path / "add-s"))
    few = read_scores(tmp_path / "add-s")
    with pytest.raises(InputError, match="not by crisp-shape"):
        our_rows(paper_table(12), [few])
    with pytest.raises(InputError, match="not by crisp-shape"):
        draw_curves(11, [few], tmp_path / "a.png")
    with pytest.raises(InputError, match="one name for each"):
        read_named([tmp_path / "add-s"], ["a", "b"])
    (tmp_path / "scores.json").write_text('{"summaries": 3}')
    with pytest.raises(InputError, match="not of the form"):
        read_scores(tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        read_scores(tmp_path / "nowhere.json")


def test_failed_objects_are_infinite_when_read_again(ours: ScoreFile) -> None:
    assert ours.columns["add_s_m"][0] == np.inf and ours.columns["add_s_m"][1:] == pytest.approx(0, abs=1e-9)
    assert ours.columns["e_shape"][0] == np.inf
    assert "name" not in ours.columns
    whole = ours.summaries["all"].figure("e_shape L1 mean")
    assert whole is not None and whole.value == np.inf


@pytest.mark.parametrize("number", [11, 12])
def test_curves_are_drawn(ours: ScoreFile, tmp_path: Path, number: int) -> None:
    path = tmp_path / "new" / "curves.png"
    draw_curves(number, [ours, ours], path)
    once = path.read_bytes()
    with Image.open(path) as image:
        picture = np.asarray(image.convert("RGB"))
    # A curve's colour is on the paper, which is white otherwise.
    assert (picture == (255, 127, 14)).all(axis=-1).sum() > 200
    draw_curves(number, [ours, ours], path)
    assert path.read_bytes() == once and [p.name for p in path.parent.iterdir()] == ["curves.png"]


def test_curves_that_cannot_be_drawn(ours: ScoreFile, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one score file"):
        draw_curves(11, [], tmp_path / "a.png")
    with pytest.raises(InputError, match="figure 14 is not"):
        draw_curves(14, [ours], tmp_path / "a.png")
    with pytest.raises(InputError, match=r"must end in \.png"):
        draw_curves(11, [ours], tmp_path / "a.pdf")


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_the_gallery_shows_estimated_objects(scored: Path, root: Path, tmp_path: Path) -> None:
    predictions, dataset = read_predictions(scored), BopDataset(root, "test")
    path = tmp_path / "grid.png"
    draw_gallery(predictions, dataset, path, rows=2)
    two = size(path)
    draw_gallery(predictions, dataset, path, rows=9)  # four of five have an estimate
    assert size(path) == (two[0], 2 * two[1])
    with pytest.raises(InputError, match="at least one row"):
        draw_gallery(predictions, dataset, path, rows=0)


def test_a_gallery_of_nothing_is_refused(root: Path, tmp_path: Path) -> None:
    folder = write_predictions(tmp_path, {FIRST: [failed(0)]})
    with pytest.raises(InputError, match="no object with a pose"):
        draw_gallery(read_predictions(folder), BopDataset(root, "test"), tmp_path / "a.png")
    folder = write_predictions(tmp_path / "other", {"000009/000000": [failed(0)]})
    with pytest.raises(InputError, match="another data set"):
        draw_gallery(read_predictions(folder), BopDataset(root, "test"), tmp_path / "a.png")
