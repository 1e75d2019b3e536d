"""The command line within this process, and a good frame for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import CAMERA, CORNERS, Command, H, Said, W
from PIL import Image

from crisp.cli import main


@pytest.fixture
def crisp_command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str | Path) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return Said(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good frame of three flat squares: rgb.png, depth.png (mm), camera.json, mask_0.png to mask_2.png."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (H, W, 3), dtype=np.uint8)).save(tmp_path / "rgb.png")
    Image.fromarray(np.full((H, W), 600, np.uint16)).save(tmp_path / "depth.png")
    (tmp_path / "camera.json").write_text(json.dumps(CAMERA))
    for index, (left, top) in enumerate(CORNERS):
        mask = np.zeros((H, W), np.uint8)
        mask[top : top + 20, left : left + 20] = 255
        Image.fromarray(mask).save(tmp_path / f"mask_{index}.png")
    return tmp_path


@pytest.fixture
def estimate(folder: Path, flat_checkpoint: Path, crisp_command: Command) -> Command:
    def several(value: str | Path | tuple[str, ...]) -> tuple[str | Path, ...]:
        return value if isinstance(value, tuple) else (value,)

    def run(**changes: str | Path | tuple[str, ...]) -> Said:
        given: dict[str, Any] = {name: folder / f"{name}.png" for name in ("rgb", "depth")}
        given |= {
            "camera": folder / "camera.json",
            "weights": flat_checkpoint,
            "out": folder / "out",
        } | changes
        options = [text for name, value in given.items() for text in (f"--{name}", *several(value))]
        return crisp_command("estimate", *options, "--masks", *(folder / f"mask_{i}.png" for i in range(3)))

    return run


@pytest.fixture
def plain_estimate(estimate: Command) -> Command:
    """Without corrector and page, which take most of the time and have tests of their own."""
    return lambda **changes: estimate(**{"correct": "none", "sinks": ("json", "table")} | changes)
