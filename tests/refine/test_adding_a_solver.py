"""A solver of one's own is one file and one line of registration: a recipe names it, the pipeline runs it.

The flat model (conftest) knows a sphere of 3 cm radius and takes what it sees, a dome, for a flat square.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_stages import FRAME
from toy_solvers import NearestKnown, SlideStep, StartAtPoints

from crisp.documents import by_name
from crisp.errors import InputError
from crisp.model import Model
from crisp.output.sink import described
from crisp.recipes import KINDS, load_correction
from crisp.refine.corrector import StartSearch
from crisp.refine.pose_step import PoseStep
from crisp.refine.shape_step import ShapeStep
from crisp.types import Result

POSE_STEP = '[corrector]\nrounds = 1\n[corrector.pose_step]\nkind = "Se3Step"\n'
SQUARE = np.zeros((72, 96), bool)
SQUARE[26:46, 38:58] = True
ROW, COLUMN = np.mgrid[:72, :96]
DOME_M = 0.6 + 10 * (((ROW - 35.5) / 200) ** 2 + ((COLUMN - 47.5) / 200) ** 2)
SEEN = replace(FRAME, depth_m=DOME_M.astype(np.float32))
SOLVERS = [("pose_step", "SlideStep"), ("shape_step", "NearestKnown"), ("search", "StartAtPoints")]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch):
    """What a new solver's line in `recipes.KINDS` does."""
    return lambda protocol, kind: monkeypatch.setitem(KINDS, protocol, {**KINDS[protocol], **by_name(kind)})


def run(model: Model, path: Path, recipe: str) -> Result:
    path.write_text(recipe)
    (result,) = model.with_correction(str(path)).estimate(SEEN, [SQUARE])
    assert result.status == "ok" and result.correction is not None
    return result


def test_a_pose_step(flat_model: Model, tmp_path: Path, register) -> None:
    register(PoseStep, SlideStep)
    recipe = '[corrector]\nrounds = 1\n[corrector.pose_step]\nkind = "SlideStep"\nstep_m = 0.002\n'
    result = run(flat_model, tmp_path / "mine.toml", recipe)
    moved = result.T_camera_object - result.correction.T_camera_object_start
    assert moved[2, 3] == pytest.approx(0.002 * round(moved[2, 3] / 0.002), abs=1e-6)
    assert abs(moved[2, 3]) > 0.001 and np.allclose(np.delete(moved.ravel(), 11), 0, atol=1e-9)
    assert result.correction.rms_m < result.correction.rms_start_m


def test_a_shape_step(flat_model: Model, tmp_path: Path, register) -> None:
    register(ShapeStep, NearestKnown)
    recipe = POSE_STEP + '[corrector.shape_step]\nkind = "NearestKnown"\n'
    result = run(flat_model, tmp_path / "mine.toml", recipe)
    assert result.correction.rounds == 1
    np.testing.assert_array_equal(result.shape_code, flat_model.info.library.codes[0].numpy())


def test_a_start(flat_model: Model, tmp_path: Path, register) -> None:
    register(StartSearch, StartAtPoints)
    recipe = POSE_STEP + '[corrector.search]\nkind = "StartAtPoints"\ndepth_m = 0.03\n'
    path = tmp_path / "mine.toml"
    result = run(flat_model, path, recipe)
    assert result.correction.rms_m < result.correction.rms_start_m
    written = described(load_correction(str(path))[0])["search"]
    assert written == {"kind": "StartAtPoints", "depth_m": 0.03}


@pytest.mark.parametrize(
    ("part", "kind"),
    [("pose_step", "SlideStep"), ("shape_step", "NearestKnown"), ("search", "StartAtPoints")],
)
def test_what_is_not_registered_is_refused(tmp_path: Path, part: str, kind: str) -> None:
    path = tmp_path / "mine.toml"
    head = "[corrector]\n" if part == "pose_step" else POSE_STEP
    path.write_text(f'{head}[corrector.{part}]\nkind = "{kind}"\n')
    with pytest.raises(InputError, match=kind):
        load_correction(str(path))


def test_a_search_must_say_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(POSE_STEP + "[corrector.search]\nshapes = 3\n")
    with pytest.raises(InputError, match="KnownSearch"):
        load_correction(str(path))


@pytest.mark.parametrize(
    ("old", "new"), [("favour = 0.9", "registered_prior"), ("points = 150", "fine_points")]
)
def test_an_old_key_of_the_search_is_refused_with_its_new_name(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(POSE_STEP + f'[corrector.search]\nkind = "KnownSearch"\n{old}\n')
    with pytest.raises(InputError, match=new):
        load_correction(str(path))
