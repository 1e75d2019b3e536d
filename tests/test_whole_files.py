"""Files appear whole or not at all; JSON gets null for what it cannot say."""

import json
from pathlib import Path

import numpy as np
import pytest

from crisp.files import finite, write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "müde\n")
    assert path.read_bytes() == "müde\n".encode()
    write_whole(path, b"\x00")
    assert path.read_bytes() == b"\x00" and list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "old")

    def full(self: Path, content: bytes) -> int:
        raise OSError("no space")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, "new")
    assert path.read_text() == "old"


def test_what_json_cannot_say_becomes_null_however_deep() -> None:
    said = {
        "a": float("inf"),
        "b": [1, float("nan"), {"c": (-float("inf"), 2.5)}],
        "d": "x",
        "e": None,
        "f": True,
    }
    assert finite(said) == {"a": None, "b": [1, None, {"c": [None, 2.5]}], "d": "x", "e": None, "f": True}
    assert json.dumps(finite({"n": np.float64(0.5)}), allow_nan=False) == '{"n": 0.5}'
