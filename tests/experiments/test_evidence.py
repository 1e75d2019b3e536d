import json
import math

import pytest
from experiments.support.evidence import Claim, write_evidence

from crisp.errors import InputError


@pytest.mark.parametrize(
    ("goal", "figure", "passed"),
    [
        (">= 0.70", 0.70, True),
        (">= 0.70", 0.69, False),
        ("> 0.70", 0.70, False),
        ("<= 1e-5", 1e-5, True),
        ("<= 1e-5", 2e-5, False),
        ("< 3", 3.0, False),
        (">= -2.5", -2.0, True),
        (">= 0.7", math.nan, False),
        ("report", 0.1, None),
    ],
)
def test_passed_compares_the_figure_with_the_goal(goal, figure, passed):
    assert Claim("it is so", goal, figure).passed is passed


def test_the_interval_is_judged_by_its_worse_end():
    # 0.75 is enough, but the interval reaches down to 0.68; for an upper bound its other end counts.
    assert Claim("x", ">= 0.7", 0.75, (0.68, 0.8)).passed is True
    assert Claim("x", ">= 0.7", 0.75, (0.68, 0.8), judge="interval").passed is False
    assert Claim("x", "<= 0.7", 0.65, (0.6, 0.69), judge="interval").passed is True
    assert Claim("x", "<= 0.7", 0.65, (0.6, 0.71), judge="interval").passed is False


def test_a_report_neither_passes_nor_fails():
    assert Claim("x", ">= 0.7", 0.1, kind="report").passed is None
    assert Claim("x", "report", 0.1).kind == "report"


@pytest.mark.parametrize("goal", ["", "0.7", "about 3", ">= much", ">= 0.7 m"])
def test_unreadable_goals_are_refused(goal):
    with pytest.raises(InputError):
        Claim("x", goal, 1.0)


def test_judging_by_a_missing_interval_is_refused():
    with pytest.raises(InputError):
        Claim("x", ">= 1", 1.0, judge="interval")


def test_the_file_says_all(tmp_path, capsys):
    folder = tmp_path / "benchmarks" / "results"
    claims = [
        Claim("fast enough", ">= 10", 12.0, (11.0, 13.0), "times"),
        Claim("endless", "report", math.inf),
    ]
    path = write_evidence("speed", claims, settings={"n": 3}, seconds=1.26, folder=folder)
    content = json.loads(path.read_text())
    assert path == folder / "speed.json"
    assert [p.name for p in folder.iterdir()] == ["speed.json"]
    assert content["command"] == "python -m benchmarks.speed"
    assert content["commit"] == "unknown"
    assert content["settings"] == {"n": 3}
    assert content["seconds"] == 1.3
    assert content["machine"]["cores"] >= 1
    first, second = content["claims"]
    assert (first["goal"], first["figure"], first["interval"]) == (">= 10", 12.0, [11.0, 13.0])
    assert (first["unit"], first["passed"], second["figure"]) == ("times", True, "inf")
    assert "fast enough" in capsys.readouterr().out


def test_a_module_in_a_group_is_named_whole_and_its_file_by_its_last_part(tmp_path):
    folder = tmp_path / "experiments" / "results"
    path = write_evidence("paper.held_out", [], settings={}, seconds=0.0, folder=folder)
    content = json.loads(path.read_text())
    assert path == folder / "held_out.json"
    assert (content["name"], content["command"]) == ("held_out", "python -m experiments.paper.held_out")


def test_a_quick_run_does_not_replace_the_full_one(tmp_path):
    full = write_evidence("a", [], settings={}, seconds=0.0, folder=tmp_path)
    quick = write_evidence("a", [], settings={}, seconds=0.0, folder=tmp_path, quick=True)
    assert full != quick
    assert json.loads(quick.read_text())["command"].endswith("--quick")
