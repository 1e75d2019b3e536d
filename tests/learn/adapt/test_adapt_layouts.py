"""Adaptation reads every layout, and of each the frames and masks alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from replicas import write_nocs, write_spe3r

from crisp.data.layouts import open_dataset
from crisp.data.nocs import NocsDataset
from crisp.data.spe3r import Spe3rDataset
from crisp.errors import InputError
from crisp.evaluate.stream import stream_scores
from crisp.learn.adapt.audit import read_audit
from crisp.learn.adapt.recipe import AdaptRecipe
from crisp.learn.adapt.run import AdaptOptions, adapt, audit_path
from crisp.model import load_model


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sets")
    write_nocs(folder / "nocs", "real_test")
    write_spe3r(folder / "spe3r")
    return {"real_test": folder / "nocs", "test": folder / "spe3r"}


@pytest.fixture(scope="module")
def run_on(flat_checkpoint: Path, recipe: AdaptRecipe) -> Callable[[Path, str, Path], Path]:
    def run(root: Path, split: str, out: Path) -> Path:
        adapt(recipe, AdaptOptions(root, split, str(flat_checkpoint), out))
        return out

    return run


@pytest.mark.parametrize(("split", "frames", "masks"), [("real_test", 2, 3), ("test", 2, 1)])
def test_each_layout_is_adapted_to(
    sets: dict[str, Path],
    run_on: Callable[[Path, str, Path], Path],
    tmp_path: Path,
    split: str,
    frames: int,
    masks: int,
) -> None:
    """Two passes over every mask: with NOCS also over that of the thing of no category."""
    out = run_on(sets[split], split, tmp_path / "run")
    lines = [line for line in read_audit(audit_path(out)) if line["event"] == "label"]
    assert len(lines) == 2 * frames * masks
    assert {line["detection"] for line in lines} == set(range(masks))
    assert load_model(out / "checkpoint").info.training["adapted"]["split"] == split
    found = stream_scores(open_dataset(sets[split], split), lines)["corrected"]
    # What has no label has no score; what has one and an estimate has a finite one.
    labelled = np.array([line["detection"] < (2 if split == "real_test" else 1) for line in lines])
    ok = np.array([line["status"] == "ok" for line in lines])
    assert ok.any() or split == "test", "no flat square comes near the satellite"
    assert np.isnan(found[~labelled]).all()
    assert np.isfinite(found[labelled & ok]).all() and np.isinf(found[labelled & ~ok]).all()


def test_no_label_of_nocs_is_opened(
    sets: dict[str, Path], run_on: Callable[[Path, str, Path], Path], tmp_path: Path
) -> None:
    """Without meta files, coordinates, released poses and models: the same log and the same weights."""
    bare = tmp_path / "nocs"
    shutil.copytree(sets["real_test"], bare)
    kept = run_on(bare, "real_test", tmp_path / "with")
    labels = [*bare.rglob("*_meta.txt"), *bare.rglob("*_coord.png"), *(bare / "gts").rglob("*.pkl")]
    assert len(labels) == 6  # of each of two frames: meta, coordinates, poses
    for path in labels:
        path.unlink()
    shutil.rmtree(bare / "obj_models")
    without = run_on(bare, "real_test", tmp_path / "without")
    assert audit_path(kept).read_bytes() == audit_path(without).read_bytes()
    heads = [out / "checkpoint" / "heads.safetensors" for out in (kept, without)]
    assert heads[0].read_bytes() == heads[1].read_bytes()
    with pytest.raises(InputError, match="meta"):
        stream_scores(open_dataset(bare, "real_test"), read_audit(audit_path(without)))


def test_poses_of_spe3r_serve_its_depth_alone(
    sets: dict[str, Path],
    run_on: Callable[[Path, str, Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its depth is rendered from them, so that the set cannot be read without; nothing else asks for them."""

    def asked(*_: object) -> NoReturn:
        raise AssertionError("a label was asked for")

    for name in ("instances", "label_faults", "labels_of_given_masks", "digest"):
        monkeypatch.setattr(Spe3rDataset, name, asked)
    run_on(sets["test"], "test", tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint" / "checkpoint.json").is_file()


def test_given_masks_are_those_of_the_labels(sets: dict[str, Path]) -> None:
    for split, root in sets.items():
        dataset = open_dataset(root, split)
        for key in dataset.keys:
            given, labels = dataset.given_masks(key), dataset.labels_of_given_masks(key)
            assert len(given) == len(labels)
            assert [x for x in labels if x is not None] == [i.index for i in dataset.instances(key)]
            for item, index in zip(given, labels, strict=True):
                if index is not None:
                    np.testing.assert_array_equal(item.mask, dataset.mask(key, index))


def test_a_mask_picture_that_is_gone_is_the_trouble_of_its_frame(
    sets: dict[str, Path], run_on: Callable[[Path, str, Path], Path], tmp_path: Path
) -> None:
    broken = tmp_path / "nocs"
    shutil.copytree(sets["real_test"], broken)
    next(iter(sorted(broken.rglob("*_mask.png")))).unlink()
    assert len(NocsDataset(broken, "real_test").bare_keys) == 2
    lines = read_audit(audit_path(run_on(broken, "real_test", tmp_path / "run")))
    named = [line for line in lines if line["event"] == "frame"]
    assert len(named) == 2 and all("0000_mask.png" in line["message"] for line in named)  # once a pass
    assert {line["frame"] for line in lines if line["event"] == "label"} == {"000001/000001"}
