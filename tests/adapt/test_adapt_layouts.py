"""Adaptation reads every layout, and of each the frames and masks alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from detections_file import true_detections, write_detections
from replicas import write_nocs, write_spe3r

from crisp.adapt.options import AdaptOptions
from crisp.adapt.recipe import AdaptRecipe
from crisp.adapt.run import adapt, audit_path
from crisp.adapt.snapshot import read_audit
from crisp.data.layouts import open_dataset
from crisp.data.nocs.reader import NocsDataset
from crisp.data.spe3r.reader import Spe3rDataset
from crisp.errors import InputError
from crisp.evaluate.stream import stream_scores
from crisp.model import load_model

Run = Callable[..., Path]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sets")
    write_nocs(folder / "nocs", "real_test")
    write_spe3r(folder / "spe3r")
    return {"real_test": folder / "nocs", "test": folder / "spe3r"}


@pytest.fixture(scope="module")
def run_on(flat_checkpoint: Path, recipe: AdaptRecipe) -> Run:
    """One pass; a step for every certified object, and a guard that looks but seldom."""
    guard = replace(recipe.guard, every=9, check_every=99)
    recipe = replace(recipe, passes=1, batch=1, guard=guard)

    def run(root: Path, split: str, out: Path, **options: object) -> Path:
        adapt(
            recipe, AdaptOptions(dataset=root, split=split, weights=str(flat_checkpoint), out=out, **options)
        )  # type: ignore[arg-type]
        return out

    return run


@pytest.mark.parametrize(("split", "frames", "masks"), [("real_test", 2, 3), ("test", 2, 1)])
def test_each_layout_is_adapted_to(
    sets: dict[str, Path],
    run_on: Run,
    tmp_path: Path,
    split: str,
    frames: int,
    masks: int,
) -> None:
    """Every mask is looked at: with NOCS also that of the thing of no category."""
    out = run_on(sets[split], split, tmp_path / "run")
    lines = [line for line in read_audit(audit_path(out)) if line["event"] == "label"]
    assert len(lines) == frames * masks
    assert {line["detection"] for line in lines} == set(range(masks))
    assert load_model(out / "checkpoint").info.training["adapted"]["split"] == split
    found = stream_scores(open_dataset(sets[split], split), lines)["corrected"]
    # What has no label has no score; what has one and an estimate has a finite one.
    labelled = np.array([line["detection"] < (2 if split == "real_test" else 1) for line in lines])
    ok = np.array([line["status"] == "ok" for line in lines])
    assert ok.any() or split == "test", "no flat square comes near the satellite"
    assert np.isnan(found[~labelled]).all()
    assert np.isfinite(found[labelled & ok]).all() and np.isinf(found[labelled & ~ok]).all()


def test_no_label_of_nocs_is_opened(sets: dict[str, Path], run_on: Run, tmp_path: Path) -> None:
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
    run_on: Run,
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
    sets: dict[str, Path], run_on: Run, tmp_path: Path
) -> None:
    broken = tmp_path / "nocs"
    shutil.copytree(sets["real_test"], broken)
    next(iter(sorted(broken.rglob("*_mask.png")))).unlink()
    assert len(NocsDataset(broken, "real_test").bare_keys) == 2
    lines = read_audit(audit_path(run_on(broken, "real_test", tmp_path / "run")))
    named = [line for line in lines if line["event"] == "frame"]
    assert len(named) == 1 and all("0000_mask.png" in line["message"] for line in named)
    assert {line["frame"] for line in lines if line["event"] == "label"} == {"000001/000001"}


def test_detections_are_masks_like_others(bop_root: Path, run_on: Run, tmp_path: Path) -> None:
    """The same masks from a file, in the same order: the same log and weights. What has no frame is said."""
    dataset = open_dataset(bop_root, "train")
    beside = run_on(bop_root, "train", tmp_path / "beside", frames=3)
    file = write_detections(tmp_path / "found.json", [*true_detections(dataset), {"score": 1.0}])
    found = run_on(bop_root, "train", tmp_path / "found", frames=3, detections=file)
    first, rest = audit_path(found).read_bytes().split(b"\n", 1)
    fault = json.loads(first)
    assert fault["event"] == "fault" and "has no scene_id" in fault["message"]
    assert rest == audit_path(beside).read_bytes()
    assert b'"event": "step"' in rest
    heads = [out / "checkpoint" / "heads.safetensors" for out in (beside, found)]
    assert heads[0].read_bytes() == heads[1].read_bytes()
    said = json.loads((found / "run.json").read_text())["detections"]
    assert said["file"] == "found.json" and "detections" not in json.loads((beside / "run.json").read_text())
    with pytest.raises(InputError, match="masks"):
        run_on(bop_root, "train", found, frames=3, detections=file, min_score=0.5)


def test_only_sure_detections_of_nocs_are_looked_at(
    sets: dict[str, Path], run_on: Run, tmp_path: Path
) -> None:
    """The frame whose file is damaged is named, the other goes on; the detector's scores are all 1."""
    folder = tmp_path / "found"
    shutil.copytree(sets["real_test"] / "segmentation_results" / "REAL275", folder)
    (folder / "results_test_scene_1_0000.pkl").write_bytes(b"no pickle")
    out = run_on(sets["real_test"], "real_test", tmp_path / "run", detections=folder, min_score=0.5)
    lines = read_audit(audit_path(out))
    assert {line["frame"] for line in lines if line["event"] == "frame"} == {"000001/000000"}
    labels = [line for line in lines if line["event"] == "label"]
    assert {line["frame"] for line in labels} == {"000001/000001"} and len(labels) == 2
    none = run_on(sets["real_test"], "real_test", tmp_path / "none", detections=folder, min_score=1.5)
    assert [line["event"] for line in read_audit(audit_path(none))] == ["frame", "end"]
