"""`crisp demo --adapt`: rendered, adapted and shown for real, with fewer frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crisp.cli.demo import Demo, adapt_demo


@pytest.mark.slow
def test_the_demo_adapts(tmp_path: Path) -> None:
    assert adapt_demo(Demo(out=tmp_path / "demo", objects=7), frames=4) == 0
    run = tmp_path / "demo" / "adaptation"
    page = (run / "report.html").read_text()
    assert page.count("data:image/jpeg") == 2 * page.count(", never trained on") > 0
    lines = [json.loads(line) for line in (run / "audit.jsonl").read_text().splitlines()]
    assert len({line["frame"] for line in lines if line["event"] == "label"}) == 4
    assert (run / "checkpoint" / "checkpoint.json").is_file()
