"""A new kind of data set is one file with its `Layout` and one line that registers it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from crisp.data import layouts
from crisp.data.layouts import layout_of, open_dataset, splits_of
from crisp.data.mesh_files import read_models
from crisp.errors import InputError
from crisp.evaluate.options import PredictOptions, ScoreOptions
from crisp.evaluate.predict import predict
from crisp.evaluate.score import score
from crisp.model import Model
from crisp.synth.config import SynthesisConfig

# All that a user writes: frames lie as arrays in one file a split, each with a box that everyone knows.
FILE = '''
"""A data set of arrays."""

from pathlib import Path

import numpy as np
import trimesh

from crisp.data.dataset import Dataset, FrameKey, Instance, KnownObject
from crisp.data.layout import Conventions, Layout
from crisp.geometry.camera import Camera
from crisp.types import Detection, Frame, Mesh, Symmetries

CAMERA = Camera(np.array([[110.0, 0, 48], [0, 110.0, 36], [0, 0, 1]]), width=96, height=72)


class ArrayDataset(Dataset):
    faults = ()
    object_ids = (1,)
    labels_digest = "0"

    def __init__(self, root, split):
        self.root, self.split = Path(root), split
        self._data = np.load(self.root / f"{split}.npz")

    @property
    def keys(self):
        return tuple(FrameKey(0, i) for i in range(len(self._data["depth_m"])))

    def load_frame(self, key):
        depth_m = self._data["depth_m"][key.im_id]
        return Frame(np.zeros((*depth_m.shape, 3), np.uint8), depth_m, CAMERA, key.frame_id)

    def instances(self, key):
        return (Instance(1, self._data["T"][key.im_id], visib_fract=1.0, index=0),)

    def mask(self, key, index, visible=True):
        return self._data["mask"][key.im_id]

    def given_masks(self, key):
        return (Detection(self.mask(key, 0)),)

    def labels_of_given_masks(self, key):
        return (0,)

    def object(self, object_id):
        box = trimesh.creation.box((0.1, 0.06, 0.04))
        mesh = Mesh(np.array(box.vertices), np.array(box.faces))
        return KnownObject(1, "box", "box", mesh, 0.1233, Symmetries())

    def digest(self, key):
        return str(key.im_id)


LAYOUT = Layout(
    name="arrays",
    title="Arrays",
    marks="arrays.txt",
    recognises=lambda root: (root / "arrays.txt").is_file(),
    splits=lambda root: tuple(sorted(path.stem for path in root.glob("*.npz"))),
    reader=ArrayDataset,
    conventions=Conventions(unit="metre"),
)
'''


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of two frames, each of a flat wall with a square of it masked; its layout is registered."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "arrays_layout.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.setitem(layouts.LAYOUTS, "arrays", "arrays_layout")
    root = tmp_path / "set"
    root.mkdir()
    (root / "arrays.txt").write_text("")
    depth_m, mask = np.full((2, 72, 96), 0.6, np.float32), np.zeros((2, 72, 96), bool)
    mask[:, 20:50, 30:60] = True
    T = np.tile(np.eye(4), (2, 1, 1))
    T[:, 2, 3] = 0.62
    np.savez(root / "test.npz", depth_m=depth_m, mask=mask, T=T)
    return root


def test_its_folders_are_told_from_others(root: Path, bop_root: Path) -> None:
    assert layout_of(root).name == "arrays" and splits_of(root) == ("test",)
    assert layout_of(bop_root).name == "bop"


def test_it_is_predicted_and_scored(root: Path, tmp_path: Path, flat_model: Model) -> None:
    assert len(open_dataset(root, "test").keys) == 2
    assert predict(flat_model, root, PredictOptions("test"), out=tmp_path / "out") == []
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [len(frame["objects"]) for frame in results["frames"]] == [1, 1]
    score(ScoreOptions(tmp_path / "out", root, "test"))
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["settings"]["unit"] == "metre"
    assert (tmp_path / "out" / "scores.csv").read_text().count("\n") == 3  # a head and two objects


def test_nothing_is_rendered_into_it_by_somebody_elses_writer(root: Path) -> None:
    with pytest.raises(InputError):
        SynthesisConfig(layout="arrays")
    with pytest.raises(InputError):
        SynthesisConfig(layout="unheard-of")


def test_it_may_bring_its_own_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crisp.synth.synthesise import synthesise

    (tmp_path / "crates_layout.py").write_text(
        "from dataclasses import replace\n"
        "from crisp.data.bop.layout import LAYOUT as BOP\n"
        "from crisp.data.bop.writer import BopWriter\n"
        "from crisp.data.layout import Writing\n"
        "writing = Writing(lambda root, split, models: BopWriter(root / 'crates', split))\n"
        "LAYOUT = replace(BOP, name='crates', writing=writing)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(layouts.LAYOUTS, "crates", "crates_layout")
    (tmp_path / "meshes").mkdir()
    trimesh.creation.box((0.1, 0.08, 0.06)).export(tmp_path / "meshes" / "crate.ply")
    config = SynthesisConfig(
        layout="crates", scenes=1, views_per_scene=1, width=64, height=48, objects_per_scene=(1, 1)
    )
    models = read_models(tmp_path / "meshes")
    synthesise(models, out=tmp_path / "rendered", config=config, workers=1, progress=False)
    assert len(open_dataset(tmp_path / "rendered" / "crates", "train").keys) == 1
