"""Files appear whole or not at all, follow no link and have the umask's mode; JSON gets null for NaN."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from crisp.documents import write_json
from crisp.files import finite, part_folder, whole_file, write_whole
from crisp.learn.journal import save_state
from crisp.shape.mesh import write_ply
from crisp.types import Mesh


def save_a_state(path: Path) -> None:
    module = nn.Linear(1, 1)
    save_state(path, 1, module=module, optimiser=torch.optim.SGD(module.parameters(), lr=0.1))


def save_a_mesh(path: Path) -> None:
    write_ply(Mesh(np.eye(3), np.array([[0, 1, 2]])), path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "results.json": lambda path: write_whole(path, "{}\n"),
    "run.json": lambda path: write_json(path, {"seed": 1}),
    "mesh.ply": save_a_mesh,
    "state.safetensors": save_a_state,
}


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "müde\n")
    assert path.read_bytes() == "müde\n".encode()
    write_whole(path, b"\x00")
    assert path.read_bytes() == b"\x00" and list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "old")
    with pytest.raises(OSError, match="no space"), whole_file(path) as file:
        file.write(b"new")
        raise OSError("no space")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_cannot_take_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "a", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", WRITERS)
def test_no_link_is_followed(tmp_path: Path, name: str) -> None:
    """Names that temporary files once had, and the file's own."""
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    out = tmp_path / "out"
    out.mkdir()
    path = out / name
    once = [f".{name}.tmp", f"{path.stem}.tmp", f".{name}.{os.getpid()}.part", f"{path.stem}.partial", name]
    for link in once:
        (out / link).symlink_to(precious)
    WRITERS[name](path)
    assert precious.read_text() == "keep me"
    assert path.is_file() and not path.is_symlink()
    assert sorted(entry.name for entry in out.iterdir()) == sorted(once)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_the_mode_follows_the_umask(tmp_path: Path, name: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        WRITERS[name](tmp_path / name)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


def test_a_folder_is_filled_and_moved_or_goes(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "scene"
    with pytest.raises(OSError, match="no space"), part_folder(target) as part:
        (part / "image").write_text("half")
        raise OSError("no space")
    assert list(target.parent.iterdir()) == []
    with part_folder(target) as part:
        (part / "image").write_text("whole")
        part.replace(target)
    assert list(target.parent.iterdir()) == [target] and (target / "image").read_text() == "whole"


def test_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_whole(path, "text")
    assert path.read_text() == "text"


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
