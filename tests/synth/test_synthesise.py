"""Data sets: the same bytes however they came to be, and whole scenes only."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

import crisp.synth.synthesise as synthesise_module
from crisp.data.bop.writer import BopWriter
from crisp.errors import InputError
from crisp.geometry.camera import Camera
from crisp.synth.config import SynthesisConfig
from crisp.synth.synthesise import synthesise
from crisp.types import Mesh, ObjectModel, TexturedMesh

CONFIG = SynthesisConfig(
    scenes=3, views_per_scene=2, width=96, height=72, focal_px=(80.0, 95.0), objects_per_scene=(2, 3)
)


def blocks(count: int = 4) -> tuple[ObjectModel, ...]:
    models = []
    for index in range(count):
        solid = trimesh.creation.box((0.05 + 0.01 * index, 0.08, 0.12))
        vertices, faces = np.asarray(solid.vertices), np.asarray(solid.faces)
        texture = np.full((2, 2, 3), 40 + 50 * index, dtype=np.uint8)
        surface = TexturedMesh(vertices, faces, np.full((8, 2), 0.5), texture)
        models.append(ObjectModel(f"block_{index}", "block", Mesh(vertices, faces), surface))
    return tuple(models)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run(out: Path, config: SynthesisConfig = CONFIG, workers: int = 1) -> None:
    synthesise(blocks(), out=out, config=config, workers=workers, progress=False)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    run(out)
    return out


def test_a_data_set_is_complete_and_its_record_says_how_it_was_made(unbroken: Path) -> None:
    assert sorted(p.name for p in (unbroken / "train").iterdir()) == ["000000", "000001", "000002"]
    record = json.loads((unbroken / "synthesis.json").read_text())
    assert record["splits"]["train"]["config"]["focal_px"] == [80.0, 95.0]
    assert len(set(record["splits"]["train"]["scene_seeds"])) == 3
    assert [model["name"] for model in record["models"]] == [f"block_{k}" for k in range(4)]
    labels = json.loads((unbroken / "train/000001/scene_gt.json").read_text())
    assert {len(labels[key]) for key in ("0", "1")} <= {2, 3}


def test_labelled_depth_lies_on_the_labelled_objects(unbroken: Path) -> None:
    # The whole way to disk and back: 0.1 mm steps of depth, the pose in mm.
    scene = unbroken / "train" / "000000"
    labels = json.loads((scene / "scene_gt.json").read_text())["0"]
    intrinsics = json.loads((scene / "scene_camera.json").read_text())["0"]
    depth_m = np.asarray(Image.open(scene / "depth/000000.png")) * intrinsics["depth_scale"] / 1000
    camera = Camera(np.array(intrinsics["cam_K"]).reshape(3, 3), 96, 72)
    points = camera.backproject(depth_m)
    for index, label in enumerate(labels):
        visible = np.asarray(Image.open(scene / f"mask_visib/000000_{index:06d}.png")) > 0
        R, t = np.array(label["cam_R_m2c"]).reshape(3, 3), np.array(label["cam_t_m2c"]) / 1000
        half = np.array([0.05 + 0.01 * (label["obj_id"] - 1), 0.08, 0.12]) / 2
        residual = (np.abs((points[visible] - t) @ R) - half).max(axis=1)
        assert visible.sum() > 20
        assert np.abs(residual).max() < 2e-4


def test_the_views_of_a_table_share_one_world(unbroken: Path) -> None:
    # The tables stand still: an object's place in the world is the same from every camera.
    for scene in sorted((unbroken / "train").iterdir()):
        cameras, labels = (
            json.loads((scene / f"scene_{name}.json").read_text()) for name in ("camera", "gt")
        )
        places: dict[int, list[np.ndarray]] = {}
        for im_id, camera in cameras.items():
            R, t = np.array(camera["cam_R_w2c"]).reshape(3, 3), np.array(camera["cam_t_w2c"])
            for label in labels[im_id]:
                places.setdefault(label["obj_id"], []).append((np.array(label["cam_t_m2c"]) - t) @ R)
        pairs = [found for found in places.values() if len(found) == 2]
        assert pairs
        for first, second in pairs:
            np.testing.assert_allclose(first, second, atol=1e-6)  # millimetres


def test_a_run_that_was_broken_off_ends_with_the_same_bytes(unbroken: Path, tmp_path: Path) -> None:
    # Killed between two scenes and in the middle of a third: its partial folder lies about.
    calls = []

    def stop_at_the_second(writer: BopWriter, scene_id: int, frames: object) -> None:
        calls.append(scene_id)
        if len(calls) == 2:
            (writer.root / writer.split / ".000001.0a1b.part" / "rgb").mkdir(parents=True)
            raise KeyboardInterrupt
        original(writer, scene_id, frames)  # type: ignore[arg-type]

    original = BopWriter.write_scene
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BopWriter, "write_scene", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    assert not (tmp_path / "train/000001").exists()
    run(tmp_path)
    assert files(tmp_path) == files(unbroken)


def test_two_processes_killed_outright_leave_whole_scenes_and_resume(unbroken: Path, tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from test_synthesise import run
        if __name__ == "__main__":
            run(Path(sys.argv[1]), workers=2)
    """)
    script = tmp_path / "run.py"
    script.write_text(program)
    out = tmp_path / "out"
    here = str(Path(__file__).parent)
    process = subprocess.Popen([sys.executable, str(script), str(out), here], start_new_session=True)
    try:
        while process.poll() is None and not list(out.glob("train/0*")):
            time.sleep(0.02)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    scenes = list(out.glob("train/0*"))
    assert scenes
    for scene in scenes:
        assert files(scene) == files(unbroken / "train" / scene.name)
    run(out)
    assert files(out) == files(unbroken)


def test_another_configuration_is_refused_and_another_split_is_not(unbroken: Path) -> None:
    with pytest.raises(InputError, match="another configuration"):
        run(unbroken, dataclasses.replace(CONFIG, seed=1))
    with pytest.raises(InputError, match="other models"):
        synthesise(blocks(3), out=unbroken, config=CONFIG, workers=1, progress=False)
    run(unbroken)  # complete: nothing to do


def test_a_second_split_joins_the_first_with_other_pictures(unbroken: Path, tmp_path: Path) -> None:
    run(tmp_path, dataclasses.replace(CONFIG, split="test", scenes=1, look="hard"))
    other = dataclasses.replace(CONFIG, split="val", scenes=1, look="direct", first_scene=7)
    run(tmp_path, dataclasses.replace(other, any_pose_share=0.5))
    assert [p.name for p in (tmp_path / "val").iterdir()] == ["000007"]
    record = json.loads((tmp_path / "synthesis.json").read_text())
    seeds = {record["splits"][split]["scene_seeds"][0] for split in ("test", "val")}
    assert len(seeds) == 2
    assert files(tmp_path / "models") == files(unbroken / "models")


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "is not JSON"), ("[]", "must hold a JSON object"), ("{}", "has no splits")]
)
def test_a_damaged_record_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "synthesis.json").write_text(text)
    with pytest.raises(InputError, match=rf"synthesis\.json .*{sentence}"):
        run(tmp_path)


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(InputError, match="did not make"):
        run(tmp_path)


def test_a_scene_that_fails_is_named_and_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = synthesise_module._render

    def fail_on_one(task: synthesise_module._SceneTask) -> None:
        if task.scene_id == 1:
            raise ArithmeticError("no light")
        render(task)

    monkeypatch.setattr(synthesise_module, "_render", fail_on_one)
    with pytest.raises(RuntimeError, match=r"scene\(s\) 1 .*no light"):
        run(tmp_path)
    assert sorted(p.name for p in (tmp_path / "train").iterdir()) == ["000000", "000002"]


def test_objects_take_turns_and_no_table_has_one_twice() -> None:
    config = dataclasses.replace(CONFIG, scenes=40, objects_per_scene=(3, 5))
    tables = list(synthesise_module._deal(7, config))
    assert all(len(set(table)) == len(table) and 3 <= len(table) <= 5 for table in tables)
    turns = np.bincount(np.concatenate(tables), minlength=7)
    assert turns.max() - turns.min() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "a/b"}, "plain folder name"),
        ({"scenes": 0}, "scenes must be at least 1"),
        ({"distance_m": (0.9, 0.5)}, "distance_m must be a range"),
        ({"elevation_deg": (15.0, 90.0)}, "below 90"),
        ({"seed": -1}, "must not be negative"),
        ({"first_scene": -1}, "first_scene must not be negative"),
        ({"first_scene": 1, "layout": "spe3r"}, "first_scene"),
        ({"any_pose_share": 1.5}, "any_pose_share must be a share"),
        ({"usual_pose_share": -0.1}, "usual_pose_share must be a share"),
    ],
)
def test_senseless_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG, **change)  # type: ignore[arg-type]


def test_nothing_to_render_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one object"):
        synthesise((), out=tmp_path, config=CONFIG, workers=1, progress=False)
