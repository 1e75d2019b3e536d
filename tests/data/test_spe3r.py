"""SPE3R: what is written is read back, depth is that of model and pose, and each fault is one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replicas import SPE3R_CAMERA, satellites, write_spe3r

import crisp.data.spe3r.reader as rendered_depth
from crisp.data.bop.writer import BopFrame
from crisp.data.dataset import FrameKey
from crisp.data.spe3r.reader import Spe3rDataset, in_split
from crisp.data.spe3r.writer import image_numbers
from crisp.errors import InputError

FIRST = FrameKey(1, 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_spe3r(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[BopFrame]]]:
    root = tmp_path_factory.mktemp("spe3r")
    return root, write_spe3r(root)


@pytest.mark.parametrize(
    ("split", "keys"),
    [
        ("train", (FrameKey(1, 1),)),
        ("validation", (FrameKey(1, 401),)),
        ("test", (FrameKey(2, 1), FrameKey(2, 401))),
    ],
)
def test_splits_are_the_published_ones(
    replica: tuple[Path, dict[str, list[BopFrame]]], split: str, keys: tuple[FrameKey, ...]
) -> None:
    dataset = Spe3rDataset(replica[0], split)
    assert dataset.keys == keys and dataset.faults == ()
    assert dataset.object_ids == (keys[0].scene_id,)


def test_what_was_written_is_read_back_in_units_of_the_model(
    replica: tuple[Path, dict[str, list[BopFrame]]],
) -> None:
    root, frames = replica
    model, frame = satellites()["relay"], frames["relay"][1]
    size_m = float(np.ptp(model.mesh.vertices, axis=0).max())
    dataset = Spe3rDataset(root, "test")
    key = FrameKey(2, 401)
    found, (instance,) = dataset.load_frame(key), dataset.instances(key)
    truth = frame.instances[0]
    np.testing.assert_array_equal(dataset.mask(key, 0), truth.mask_visible)
    np.testing.assert_allclose(found.camera.K, SPE3R_CAMERA.K)
    np.testing.assert_allclose(found.depth_m, frame.depth_m / size_m, rtol=2e-6)
    assert np.abs(found.rgb.astype(float) - frame.rgb).mean() < 3  # JPEG
    mesh, T = dataset.object(2).mesh, instance.T_camera_object
    assert np.ptp(mesh.vertices, axis=0).max() == pytest.approx(1.0, abs=1e-8)
    points = mesh.vertices @ T[:3, :3].T + T[:3, 3]
    true = model.mesh.vertices @ truth.T_camera_object[:3, :3].T + truth.T_camera_object[:3, 3]
    np.testing.assert_allclose(points, true / size_m, atol=1e-6)
    assert dataset.unit == "model unit" and instance.visib_fract == 1.0


def test_depth_is_kept_on_disk_and_follows_the_label(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[int] = []
    render = rendered_depth.render_depth

    def counted(*given: Any) -> np.ndarray:
        rendered.append(1)
        return render(*given)

    monkeypatch.setattr(rendered_depth, "render_depth", counted)
    first = Spe3rDataset(root, "train").load_frame(FIRST).depth_m
    again = Spe3rDataset(root, "train").load_frame(FIRST).depth_m
    np.testing.assert_array_equal(first, again)
    assert len(rendered) == 1
    (kept,) = (root / "rendered_depth").rglob("*.npz")
    kept.write_bytes(kept.read_bytes()[:100])  # what is damaged is rendered again
    np.testing.assert_array_equal(Spe3rDataset(root, "train").load_frame(FIRST).depth_m, first)
    labels = root / "probe" / "labels.json"
    content = json.loads(labels.read_text())
    content[0]["r_Vo2To_vbs_true"][2] += 0.5  # corrected labels, such as those of v1.1
    labels.write_text(json.dumps(content))
    moved = Spe3rDataset(root, "train").load_frame(FIRST).depth_m
    assert len(rendered) == 3 and moved[moved > 0].mean() > first[first > 0].mean() + 0.4


def test_a_set_that_cannot_be_written_to_is_read_all_the_same(root: Path) -> None:
    (root / "rendered_depth").write_text("a file is in the way")
    assert (Spe3rDataset(root, "train").load_frame(FIRST).depth_m > 0).any()
    elsewhere = Spe3rDataset(root, "train", depth_cache=root / "elsewhere")
    elsewhere.load_frame(FIRST)
    assert list((root / "elsewhere").rglob("*.npz"))


def test_camera_matrix_counts_and_not_the_lens(root: Path) -> None:
    """`fx` in the file is 0.0175, a length in metres; K's is in pixels."""
    content = json.loads((root / "camera.json").read_text())
    assert content["fx"] < 0.1 < content["cameraMatrix"][0][0]
    assert Spe3rDataset(root, "train").load_frame(FIRST).camera.K[0, 0] == 100.0


@pytest.mark.parametrize(
    ("number", "split"),
    [(1, "train"), (400, "train"), (401, "validation"), (500, "validation"), (501, "train"), (900, "train"),
     (901, "validation"), (1000, "validation")],
)  # fmt: skip
def test_the_ends_of_the_published_ranges(number: int, split: str) -> None:
    assert in_split(number, split)
    assert not in_split(number, {"train": "validation", "validation": "train"}[split])


def test_a_replicas_numbers_hold_a_fifth_for_validation() -> None:
    assert image_numbers(1000, "train") == list(range(1, 1001))
    assert image_numbers(10, "train") == [1, 2, 3, 4, 5, 6, 7, 8, 401, 402]
    assert image_numbers(3, "test") == [1, 2, 3]


def spoil_label(folder: Path, **entries: Any) -> None:
    content = json.loads((folder / "labels.json").read_text())
    content[0].update(entries)
    (folder / "labels.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda r: (r / "camera.json").unlink(), "cannot read .*camera.json: No such file"),
        (lambda r: (r / "camera.json").write_text("{}"), "camera.json has no cameraMatrix"),
        (
            lambda r: (r / "probe/images/img000001.jpg").unlink(),
            "no image .*img000001.jpg, though",
        ),
        (
            lambda r: (r / "probe/models/model_normalized.obj").unlink(),
            "there is no model .*model_norm",
        ),
        (lambda r: (r / "probe/models/model_normalized.obj").write_text("v 0 0 0\n"), "model_normalized.obj"),
        (lambda r: spoil_label(r / "probe", r_Vo2To_vbs_true=[0, 0, -3]), "depth is zero everywhere"),
    ],
)
def test_a_spoilt_frame_is_refused(root: Path, spoil: Callable[[Path], object], sentence: str) -> None:
    spoil(root)
    with pytest.raises(InputError, match=sentence):
        Spe3rDataset(root, "train").load_frame(FIRST)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"q_vbs2tango_true": [1, 1, 0, 0]}, "q_vbs2tango_true of label 0 .* is no unit quaternion"),
        ({"q_vbs2tango_true": [1, 0, 0]}, "q_vbs2tango_true of label 0 .* must be 4 finite numbers, got 3"),
        ({"filename": "picture"}, "names the file 'picture': it must be img and a number"),
    ],
)
def test_spoilt_labels_are_refused_and_the_other_satellites_are_read(
    tmp_path: Path, entries: dict[str, Any], sentence: str
) -> None:
    write_spe3r(tmp_path, roles=("train", "train"))
    spoil_label(tmp_path / "probe", **entries)
    dataset = Spe3rDataset(tmp_path, "train")
    assert dataset.keys == (FrameKey(2, 1),)
    (fault,) = dataset.faults
    assert re.search(sentence, fault)
    assert dataset.load_frame(dataset.keys[0]).rgb.shape == (64, 64, 3)


def test_images_of_another_size_than_the_cameras_are_refused(root: Path) -> None:
    content = json.loads((root / "camera.json").read_text()) | {"Nu": 1920, "Nv": 1200}
    (root / "camera.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="is for images of 1920x1200 pixels, but they have 64x64"):
        Spe3rDataset(root, "train").load_frame(FIRST)


def test_roots_and_splits_that_are_none(root: Path) -> None:
    with pytest.raises(InputError, match="SPE3R has the splits train, validation, test, got 'val'"):
        Spe3rDataset(root, "val")
    (root / "splits.csv").write_text("probe,train\n")
    with pytest.raises(InputError, match=r"splits.csv names no satellite for 'test'"):
        Spe3rDataset(root, "test")
    (root / "splits.csv").write_text("probe\n")
    with pytest.raises(InputError, match="has the line 'probe': it must name a satellite and train or test"):
        Spe3rDataset(root, "train")
    (root / "splits.csv").write_text("aquarius_ud,train\nprobe,train\n")
    assert {key.scene_id for key in Spe3rDataset(root, "train").keys} == {2}
