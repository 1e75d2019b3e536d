"""What is trained on and what is kept aside."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crisp.data.bop.writer import BopFrame, BopWriter
from crisp.errors import InputError
from crisp.geometry.camera import Camera
from crisp.learn.problem import Problem, open_problem
from crisp.learn.recipe import JointStage, Recipe

RECIPE = Recipe("mine", joint=JointStage())
SMALL_CAMERA = Camera(np.array([[110.0, 0, 48], [0, 110.0, 36], [0, 0, 1]]), width=96, height=72)


def test_validation_is_made_of_whole_scenes(problem: Problem) -> None:
    trained, held = ({key.scene_id for key in keys} for keys in (problem.train, problem.validation))
    assert len(held) == 1 and not held & trained
    assert len(problem.train) == 4 and len(problem.validation) == 2


def test_the_cube_holds_every_object_with_its_margin(problem: Problem) -> None:
    # The brick's half length, 50 mm, is the largest reach of the two; the margin is 1.1.
    assert problem.cube_half_m == pytest.approx(0.055)
    assert [o.name for o in problem.objects] == ["brick", "can"] and problem.object_ids == [1, 2]
    for known, samples in zip(problem.objects, problem.samples, strict=True):
        assert np.abs(samples.points_object).max() <= np.float32(problem.cube_half_m)
        assert samples.distance_m.min() < -0.015, known.name  # both are more than 30 mm thick


def test_of_a_single_scene_the_last_frame_is_kept_aside(bop_root: Path, tmp_path: Path) -> None:
    found = open_problem(RECIPE, bop_root, "train", cache=tmp_path, most_frames=2)
    assert [key.frame_id for key in found.train] == ["000000/000000"]
    assert [key.frame_id for key in found.validation] == ["000000/000001"]


def test_no_object_is_lost_to_validation(bop_root: Path, tmp_path: Path) -> None:
    """As in SPE3R, where a scene is an object: held aside whole, it would never be trained on."""
    root = tmp_path / "one_each"
    shutil.copytree(bop_root, root)
    for scene_id in range(3):
        for name in ("scene_gt.json", "scene_gt_info.json"):
            labels = root / "train" / f"{scene_id:06d}" / name
            found = json.loads(labels.read_text())
            labels.write_text(json.dumps({im_id: [both[min(scene_id, 1)]] for im_id, both in found.items()}))
    # Scene 0 shows the brick alone, 1 and 2 the can: only 1 or 2 may be spared, or else a single image.
    for seed in range(8):
        found = open_problem(replace(RECIPE, seed=seed), root, "train", cache=tmp_path / "cache")
        held = {key.scene_id for key in found.validation}
        trained = {i.object_id for key in found.train for i in found.dataset.instances(key)}
        assert trained == {1, 2} and not set(found.train) & set(found.validation)
        assert len(found.validation) == (1 if held & {key.scene_id for key in found.train} else 2)


def test_a_set_without_frames_is_refused(tmp_path: Path) -> None:
    BopWriter(tmp_path, "train").write_scene(0, [])
    with pytest.raises(InputError, match=r"train has no frame: .*scene_camera\.json"):
        open_problem(RECIPE, tmp_path, "train", cache=tmp_path / "cache")


def test_a_set_without_objects_is_refused(tmp_path: Path) -> None:
    bare = BopFrame(0, np.zeros((72, 96, 3), np.uint8), np.ones((72, 96), np.float32), SMALL_CAMERA, ())
    BopWriter(tmp_path, "train").write_scene(0, [bare])
    with pytest.raises(InputError, match="no annotated object"):
        open_problem(RECIPE, tmp_path, "train", cache=tmp_path / "cache")
