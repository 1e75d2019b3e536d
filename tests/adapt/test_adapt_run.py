"""`crisp adapt` on files: no label is opened, a broken run ends like an unbroken one, faults are named."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from crisp.adapt.options import AdaptOptions
from crisp.adapt.recipe import AdaptRecipe
from crisp.adapt.run import adapt, audit_path
from crisp.adapt.snapshot import claim, read_audit, read_snapshot
from crisp.certify.certificate import CertificateConfig
from crisp.data.bop.reader import BopDataset
from crisp.data.dataset import FrameKey
from crisp.errors import InputError
from crisp.model import load_model
from crisp.types import Frame


def options(root: Path, weights: Path, out: Path) -> AdaptOptions:
    return AdaptOptions(
        dataset=root, split="train", weights=str(weights), out=out, frames=4, snapshot_every=2
    )


@pytest.fixture(scope="module")
def unbroken(
    bop_root: Path, flat_checkpoint: Path, recipe: AdaptRecipe, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    adapt(recipe, options(bop_root, flat_checkpoint, out))
    return out


def weights(out: Path) -> dict[str, object]:
    return {k: v.tolist() for k, v in load_file(out / "checkpoint" / "heads.safetensors").items()}


def test_the_run_folder_tells_all(unbroken: Path, flat_checkpoint: Path) -> None:
    lines = read_audit(audit_path(unbroken))
    labels = [line for line in lines if line["event"] == "label"]
    # Two passes over four frames of two objects each.
    assert len(labels) == 16 and {line["fate"] for line in labels} <= {"queued", "guard", "not certified"}
    assert any(line["event"] == "step" for line in lines) and lines[-1]["event"] == "end"
    adapted, source = load_model(unbroken / "checkpoint"), load_model(flat_checkpoint)
    assert adapted.info.training["adapted"]["from_sha256"] == source.sha256
    assert adapted.certificate == source.certificate, "the bounds are taken over"
    assert sorted(p.name for p in unbroken.iterdir()) == ["audit.jsonl", "checkpoint", "run.json"]


@pytest.mark.parametrize("broken_at", [1, 5])
def test_a_broken_run_ends_like_an_unbroken_one(
    unbroken: Path,
    bop_root: Path,
    flat_checkpoint: Path,
    recipe: AdaptRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken_at: int,
) -> None:
    """Broken after some frames, with lines in the log that no snapshot knows."""
    todo = options(bop_root, flat_checkpoint, tmp_path / "run")
    load_frame, loaded = BopDataset.load_frame, []

    def breaks(self: BopDataset, key: FrameKey) -> Frame:
        loaded.append(key)
        if len(loaded) > broken_at + 1:
            raise KeyboardInterrupt
        return load_frame(self, key)

    with monkeypatch.context() as patch:
        patch.setattr(BopDataset, "load_frame", breaks)
        with pytest.raises(KeyboardInterrupt):
            adapt(recipe, todo)
    adapt(recipe, todo)
    assert weights(tmp_path / "run") == weights(unbroken)
    assert audit_path(tmp_path / "run").read_bytes() == audit_path(unbroken).read_bytes()


def test_labels_and_models_are_never_opened(
    unbroken: Path, bop_root: Path, flat_checkpoint: Path, recipe: AdaptRecipe, tmp_path: Path
) -> None:
    bare = tmp_path / "tiny"
    shutil.copytree(bop_root, bare)
    shutil.rmtree(bare / "models")
    for name in ("scene_gt.json", "scene_gt_info.json"):
        for path in bare.rglob(name):
            path.unlink()
    adapt(recipe, options(bare, flat_checkpoint, tmp_path / "run"))
    assert weights(tmp_path / "run") == weights(unbroken)
    assert audit_path(tmp_path / "run").read_bytes() == audit_path(unbroken).read_bytes()


def test_what_cannot_be_read_is_named_and_the_others_go_on(
    bop_root: Path, flat_checkpoint: Path, recipe: AdaptRecipe, tmp_path: Path
) -> None:
    broken = tmp_path / "tiny"
    shutil.copytree(bop_root, broken)
    scenes = sorted((broken / "train").iterdir())
    (scenes[0] / "depth" / "000000.png").write_bytes(b"no image")
    next((scenes[1] / "mask_visib").glob("000001_*.png")).write_bytes(b"no image")
    adapt(recipe, options(broken, flat_checkpoint, tmp_path / "run"))
    lines = read_audit(audit_path(tmp_path / "run"))
    named = [line for line in lines if line["event"] == "frame"]
    assert named and all(
        line["frame"] == "000000/000000" and "000000.png" in line["message"] for line in named
    )
    masks = [line for line in lines if line["event"] == "label" and line["status"] == "mask_unreadable"]
    assert len(masks) == 2 and all(line["frame"] == "000001/000001" for line in masks)  # once a pass


def test_another_run_in_its_folder_is_refused(
    unbroken: Path, bop_root: Path, flat_checkpoint: Path, recipe: AdaptRecipe
) -> None:
    other = AdaptRecipe(correct=recipe.correct, passes=3)
    with pytest.raises(InputError, match="another recipe"):
        adapt(other, options(bop_root, flat_checkpoint, unbroken))
    described = unbroken / "checkpoint" / "checkpoint.json"
    written = described.stat().st_mtime_ns
    adapt(recipe, options(bop_root, flat_checkpoint, unbroken))
    assert described.stat().st_mtime_ns == written, "it was finished"


def test_a_corrector_of_the_same_name_with_other_numbers_is_another_run(
    unbroken: Path, bop_root: Path, flat_checkpoint: Path, recipe: AdaptRecipe
) -> None:
    own = Path(recipe.correct)
    before = own.read_text()
    try:
        own.write_text(before.replace("iterations = 2", "iterations = 3"))
        with pytest.raises(InputError, match="another recipe, corrector"):
            adapt(recipe, options(bop_root, flat_checkpoint, unbroken))
    finally:
        own.write_text(before)


def test_a_model_that_was_calibrated_again_is_another_run_where_its_bounds_decide(
    bop_root: Path, flat_checkpoint: Path, recipe: AdaptRecipe, tmp_path: Path
) -> None:
    """Its weights, and so its digest, are the same; `recipe` has bounds of its own, `default` has none."""
    dataset, model = BopDataset(bop_root, "train"), load_model(flat_checkpoint)
    stricter = replace(model, certificate=CertificateConfig(eps_m=0.002))
    for number, (one, refused) in enumerate([(recipe, False), (AdaptRecipe(), True)]):
        todo = options(bop_root, flat_checkpoint, tmp_path / str(number))
        todo.out.mkdir()
        claim(one, todo, dataset, model=model)
        claim(one, todo, dataset, model=model)
        with pytest.raises(InputError, match="certificate") if refused else nullcontext():
            claim(one, todo, dataset, model=stricter)


def test_a_damaged_snapshot_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "s.safetensors").write_bytes(b"{}")
    with pytest.raises(InputError, match=r"s\.safetensors cannot be resumed from"):
        read_snapshot(tmp_path / "s.safetensors")


def test_masks_are_found_by_their_names(bop_root: Path) -> None:
    dataset = BopDataset(bop_root, "train")
    key = dataset.keys[0]
    found = dataset.given_masks(key)
    assert len(found) == len(dataset.instances(key)) == 2


def test_bad_options(bop_root: Path, recipe: AdaptRecipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="processes"):
        adapt(
            recipe,
            AdaptOptions(
                dataset=bop_root, split="train", weights="bundled", out=tmp_path / "run", processes=0
            ),
        )


def test_the_log_is_json_throughout(unbroken: Path) -> None:
    for line in audit_path(unbroken).read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
