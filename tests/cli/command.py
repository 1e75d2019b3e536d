"""A frame on disk that the command line is tried on, ways to spoil it, and what a refusal looks like."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

W, H = 96, 72
CAMERA = {"cam_K": [120.0, 0, 48, 0, 120.0, 36, 0, 0, 1], "depth_scale": 1.0}
CORNERS = ((8, 6), (40, 30), (70, 48))  # of squares of 20 px: 0.1 m at 0.6 m


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def sentences(self) -> list[str]:
        return self.err.splitlines()


Command = Callable[..., Said]


def objects(folder: Path) -> list[dict[str, Any]]:
    (frame,) = json.loads((folder / "out" / "results.json").read_text())["frames"]
    return frame["objects"]


def refused(said: Said, *words: str) -> None:
    assert said.code == 2, said
    assert len(said.sentences) == 1 and said.err.startswith("crisp: ") and said.err.endswith(".\n"), said
    for word in words:
        assert word in said.err, said
    assert len(said.err) < 400


def spoil_camera(folder: Path, **changes: object) -> None:
    (folder / "camera.json").write_text(json.dumps(CAMERA | changes))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
