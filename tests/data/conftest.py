"""The small BOP set on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_set import AXIS, HALF_TURN, bop_frame, box_model

from crisp.data.bop.writer import BopWriter
from crisp.types import Symmetries


@pytest.fixture
def root(tmp_path: Path) -> Path:
    writer = BopWriter(tmp_path / "set", "train")
    writer.write_models(
        [box_model("red_box", Symmetries((HALF_TURN,), (AXIS,))), box_model("odd_box", Symmetries())]
    )
    writer.write_scene(7, [bop_frame(4), bop_frame(0)])
    writer.write_scene(2, (bop_frame(i) for i in (11,)))
    return tmp_path / "set"


@pytest.fixture
def scene(root: Path) -> Path:
    return root / "train" / "000002"
