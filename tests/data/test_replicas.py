"""Rendered replicas: real pictures in each layout, read back; the doctor finds nothing wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from replicas import nocs_models, satellites

from crisp.data.dataset import Dataset
from crisp.data.layouts import open_dataset
from crisp.data.nocs.files import CATEGORIES
from crisp.data.spe3r.writer import role_of
from crisp.doctor.sets import check_split
from crisp.errors import InputError
from crisp.synth.config import SynthesisConfig
from crisp.synth.procedural import default_models
from crisp.synth.procedural.satellites import spacecraft
from crisp.synth.synthesise import resized, synthesise, with_categories
from crisp.types import ObjectModel


def rendered(root: Path, models: tuple[ObjectModel, ...], **settings: object) -> Dataset:
    config = SynthesisConfig(scenes=1, views_per_scene=1, objects_per_scene=(3, 3), **settings)  # type: ignore[arg-type]
    synthesise(models, out=root, config=config, progress=False)
    return open_dataset(root, config.split)


@pytest.mark.parametrize("split", ["real_test", "camera_train"])
def test_a_nocs_replica_is_read_and_agrees_with_itself(tmp_path: Path, split: str) -> None:
    models = tuple(nocs_models().values())
    dataset = rendered(tmp_path, models, layout="nocs", split=split, width=160, height=120)
    (key,) = dataset.keys
    assert len(dataset.instances(key)) == 2  # the brick is of no category
    found = check_split(dataset)
    assert found.faults == () and len(found.checked) == 2
    for checked in found.checked:
        assert checked.agreement.depth_distance_m < 2e-3 and checked.agreement.covered_share > 0.97
    if split == "camera_train":
        diagonal = {m.name: np.linalg.norm(np.ptp(m.mesh.vertices, axis=0)) for m in models}
        for instance in dataset.instances(key):
            share = instance.scale / diagonal[dataset.object(instance.object_id).name]
            assert 0.75 < share < 1.3 and share != pytest.approx(1.0, abs=1e-3)  # of this image's own size


def test_a_spe3r_replica_lists_what_is_there(tmp_path: Path) -> None:
    models = tuple(satellites().values())
    train = rendered(tmp_path, models, layout="spe3r", split="train")
    assert (tmp_path / "splits.csv").read_text() == "probe,train\n"
    assert check_split(train).faults == () and len(train.keys) == 1
    test = rendered(tmp_path, models, layout="spe3r", split="test")
    assert (tmp_path / "splits.csv").read_text() == "probe,train\nrelay,test\n"
    frame = test.load_frame(test.keys[0])
    assert frame.rgb.shape == (256, 256, 3)
    mask = test.mask(test.keys[0], 0)
    np.testing.assert_array_equal(frame.depth_m > 0, mask)  # Mitsuba's silhouette and the drawing's are one
    assert frame.rgb[mask].mean() > 20  # lit


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    models = tuple(satellites().values())
    rendered(tmp_path, models, layout="spe3r", split="train")
    image = tmp_path / "probe" / "images" / "img000001.jpg"
    before = image.stat().st_mtime_ns
    rendered(tmp_path, models, layout="spe3r", split="train")
    assert image.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="was started with another configuration"):
        rendered(tmp_path, models, layout="spe3r", split="train", seed=1)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"layout": "nocs", "split": "train"}, "with layout nocs the split must be camera_train, .*'train'"),
        ({"layout": "spe3r", "split": "val"}, "with layout spe3r the split must be train or test"),
        ({"layout": "nocs", "split": "real_test", "width": 200, "height": 200}, "NOCS images are 640x480"),
    ],
)
def test_settings_that_contradict_the_layout_are_refused(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        SynthesisConfig(**settings)  # type: ignore[arg-type]


def test_of_64_satellites_seven_are_for_the_test() -> None:
    assert [role_of(n, 64) for n in (1, 57, 58, 64)] == ["train", "train", "test", "test"]
    assert [role_of(n, 2) for n in (1, 2)] == ["train", "test"] and role_of(1, 1) == "train"


def test_spacecraft_are_solid_and_unlike_each_other() -> None:
    fleet = [spacecraft(number) for number in range(4)]
    sizes = set()
    for model in fleet:
        corners = model.mesh.vertices[model.mesh.faces]
        volume = np.linalg.det(corners).sum() / 6
        edges = np.sort(model.mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        assert volume > 1e-5 and (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()  # watertight
        sizes.add(tuple(np.ptp(model.mesh.vertices, axis=0).round(4)))
    assert len(sizes) == 4
    np.testing.assert_array_equal(spacecraft(2).mesh.vertices, fleet[2].mesh.vertices)


def test_default_models_are_those_of_the_layout() -> None:
    kinds = {
        model.kind for model in default_models(SynthesisConfig(layout="nocs", split="real_test").writing)
    }
    assert kinds == {"bottle", "bowl", "camera", "can", "laptop", "mug"}
    box = nocs_models()[3]
    (named,) = with_categories(
        [ObjectModel("bottle_of_mine", "bottle_of_mine", box.mesh, box.surface)], CATEGORIES
    )
    assert named.kind == "bottle" and with_categories([box], CATEGORIES)[0].kind == "brick"
    np.testing.assert_allclose(resized(box, 2.0).surface.vertices, 2 * box.surface.vertices)
