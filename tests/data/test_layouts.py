"""One door to all layouts: the reader follows from the files, and all readers give the same things."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from replicas import write_nocs, write_spe3r

from crisp.data.bop.reader import BopDataset
from crisp.data.dataset import Dataset
from crisp.data.layouts import layout_of, open_dataset, splits_of
from crisp.data.nocs.reader import NocsDataset
from crisp.data.spe3r.reader import Spe3rDataset
from crisp.errors import InputError


@pytest.fixture(scope="module")
def sets(bop_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    nocs, spe3r = tmp_path_factory.mktemp("nocs"), tmp_path_factory.mktemp("spe3r")
    write_nocs(nocs, "camera_val")
    write_spe3r(spe3r)
    return {
        "bop": open_dataset(bop_root, "train"),
        "nocs": open_dataset(nocs, "camera_val"),
        "spe3r": open_dataset(spe3r, "test"),
    }


@pytest.mark.parametrize("layout", ["bop", "nocs", "spe3r"])
def test_every_reader_gives_the_same_things(sets: dict[str, Dataset], layout: str) -> None:
    """The law of all layouts: a labelled object's surface, posed and measured, is where the depth says."""
    dataset = sets[layout]
    assert layout_of(dataset.root).name == layout
    assert isinstance(dataset, {"bop": BopDataset, "nocs": NocsDataset, "spe3r": Spe3rDataset}[layout])
    assert dataset.keys == tuple(sorted(dataset.keys)) and dataset.faults == ()
    assert len({dataset.digest(key) for key in dataset.keys}) == len(dataset.keys)
    for key in dataset.keys:
        frame = dataset.load_frame(key)
        assert frame.frame_id == key.frame_id
        for instance in dataset.instances(key):
            assert instance.object_id in dataset.object_ids
            model = dataset.object(instance.object_id).scaled(instance.scale)
            mask = dataset.mask(key, instance.index)
            points = frame.camera.backproject(frame.depth_m)[mask & (frame.depth_m > 0)]
            T = instance.T_camera_object
            seen = (points - T[:3, 3]) @ T[:3, :3]
            low, high = model.mesh.vertices.min(axis=0), model.mesh.vertices.max(axis=0)
            assert len(seen) and (seen > low - 2e-3).all() and (seen < high + 2e-3).all()
            assert model.diameter_m <= np.linalg.norm(high - low) * (1 + 1e-9)


def test_splits_are_listed(sets: dict[str, Dataset]) -> None:
    assert splits_of(sets["bop"].root) == ("train",)
    assert splits_of(sets["nocs"].root) == ("camera_val",)
    assert splits_of(sets["spe3r"].root) == ("train", "validation", "test")


def test_a_folder_that_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no data set folder"):
        open_dataset(tmp_path / "nowhere", "test")
    with pytest.raises(InputError, match=r"has the layout of no known data set: BOP has .*, NOCS has"):
        open_dataset(tmp_path, "test")


def test_scaled_models_scale_in_all_parts(sets: dict[str, Dataset]) -> None:
    dataset = sets["bop"]
    can = dataset.object(2)
    double = can.scaled(2.0)
    np.testing.assert_allclose(double.mesh.vertices, 2 * can.mesh.vertices)
    assert double.diameter_m == 2 * can.diameter_m and can.scaled(1.0) is can
