"""Sets of other layouts go through prediction, scoring and judging as BOP's do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from replicas import nocs_models, write_nocs, write_spe3r

from crisp.data.layouts import open_dataset
from crisp.errors import InputError
from crisp.evaluate.calibrate import judge
from crisp.evaluate.cases import TrueModel
from crisp.evaluate.metrics.add_s import pose_error
from crisp.evaluate.options import PredictOptions, ScoreOptions
from crisp.evaluate.predict import predict
from crisp.evaluate.score import score
from crisp.learn.problem import open_problem
from crisp.learn.recipe import JointStage, Recipe
from crisp.model import Model


def test_a_camera_set_is_predicted_and_scored_with_each_images_own_sizes(
    tmp_path: Path, flat_model: Model
) -> None:
    write_nocs(tmp_path / "set", "camera_val", frames=1)
    model = replace(flat_model, corrector=None, certificate=None)
    assert predict(model, tmp_path / "set", PredictOptions("camera_val"), out=tmp_path / "out") == []
    rows = score(ScoreOptions(tmp_path / "out", tmp_path / "set", "camera_val", protocols=("add-s",))).objects
    assert [(row.name, row.kind) for row in rows] == [("mug_square", "mug"), ("tin", "can")]
    assert all(np.isfinite(row.errors["add-s"].add_s_m) for row in rows if row.status == "ok")
    # The judge knows the true size: the mug's diameter, not that of a box with a diagonal of 1.
    judged = judge(model, open_dataset(tmp_path / "set", "camera_val"), min_visib_fract=0.0)
    largest = [np.linalg.norm(np.ptp(m.mesh.vertices, axis=0)) for m in nocs_models().values()][:2]
    for row, bound in zip(judged, largest, strict=True):
        assert 0.5 * bound < row.diameter_m <= bound * (1 + 1e-6)


@pytest.mark.parametrize("layout", ["nocs", "spe3r"])
def test_the_truth_is_perfect_in_every_layout(tmp_path: Path, layout: str) -> None:
    """ADD-S of the true pose is 0, and of one that is moved by 10 mm it is at most 10 mm."""
    split = "camera_val" if layout == "nocs" else "test"
    write_nocs(tmp_path, "camera_val") if layout == "nocs" else write_spe3r(tmp_path)
    dataset = open_dataset(tmp_path, split)
    for key in dataset.keys:
        for instance in dataset.instances(key):
            truth = TrueModel(dataset.object(instance.object_id).scaled(instance.scale))
            T = instance.T_camera_object
            assert pose_error(truth, T, T).add_s_m == 0.0
            moved = T.copy()
            moved[:3, 3] += [0.01, 0.0, 0.0]
            error = pose_error(truth, moved, T)
            assert 0 < error.add_s_m <= 0.01 + 1e-9
            assert error.translation_m == pytest.approx(0.01)


def test_models_of_many_sizes_are_not_trained_on(tmp_path: Path) -> None:
    write_nocs(tmp_path, "camera_train", frames=1)
    with pytest.raises(InputError, match="size differs from image to image: train on a split with models"):
        open_problem(Recipe("mine", joint=JointStage()), tmp_path, "camera_train", cache=tmp_path / "cache")
