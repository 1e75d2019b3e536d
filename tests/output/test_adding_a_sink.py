"""A new form of output is one file and one line of registration; a frame and a whole split reach it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crisp.errors import InputError
from crisp.evaluate.options import ModelChoice, PredictOptions
from crisp.evaluate.predict import estimate_files, predict
from crisp.model import load_model
from crisp.output.registry import SINKS, sinks_named
from crisp.sources.frame_files import FrameFiles

TOY = '''
from crisp.output.sink import NullSink

class Depths(NullSink):
    """depths.txt: a line for each object, its frame and how far away it is, in metres."""

    def open(self, run):
        self.path, self.lines = run.folder / "depths.txt", []

    def add(self, found):
        self.lines += [f"{found.frame_id} {result.T_camera_object[2, 3]:.3f}" for result in found.results]

    def close(self, written=()):
        self.path.write_text("\\n".join(self.lines))
        return (self.path,)
'''


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_depths.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(SINKS, "depths", "toy_depths:Depths")


def test_it_takes_a_single_frame(flat_checkpoint: Path, tmp_path: Path, capsys) -> None:
    """A flat square of 0.1 m at 0.6 m, which is what the model makes of every crop."""
    rgb, mask = np.full((72, 96, 3), 90, np.uint8), np.zeros((72, 96), np.uint8)
    mask[26:46, 38:58] = 255
    rgb_path, depth_path, camera_path = (tmp_path / name for name in ("rgb.png", "depth.png", "camera.json"))
    Image.fromarray(rgb).save(rgb_path)
    Image.fromarray(np.full((72, 96), 600, np.uint16)).save(depth_path)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    camera_path.write_text(json.dumps({"cam_K": [120, 0, 48, 0, 120, 36, 0, 0, 1], "depth_scale": 1.0}))
    masks = (tmp_path / "mask.png",)
    files = FrameFiles(rgb=rgb_path, depth=depth_path, camera=camera_path, masks=masks)
    out = tmp_path / "out"
    choice = ModelChoice(str(flat_checkpoint), "none")
    (result,) = estimate_files(files, choice, out=out, sinks=("depths", "json", "table"))
    assert result.status == "ok"
    name, depth_m = (out / "depths.txt").read_text().split()
    assert name == "rgb" and float(depth_m) == pytest.approx(0.6, abs=3e-3)
    assert sorted(path.name for path in out.iterdir()) == ["depths.txt", "meshes", "results.json"]
    assert "1 of 1 objects estimated" in capsys.readouterr().out


def test_it_takes_a_whole_split(flat_checkpoint: Path, bop_root: Path, tmp_path: Path) -> None:
    model = load_model(flat_checkpoint, device="cpu").with_correction("none")
    predict(model, bop_root, PredictOptions("train", frames=2, sinks=("depths",)), out=tmp_path / "out")
    lines = (tmp_path / "out" / "depths.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["000000/000000"] * 2 + ["000000/000001"] * 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["depths.txt"]


def test_a_name_that_is_not_registered_is_refused() -> None:
    with pytest.raises(InputError, match="no output 'depth'"):
        sinks_named(["json", "depth"])
