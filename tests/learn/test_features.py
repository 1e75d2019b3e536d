"""Kept features: computed once, named by all that they depend on, and true to the views they came from."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crisp.crop import normalise
from crisp.data.bop.reader import BopDataset, FrameKey
from crisp.learn import features
from crisp.learn.features import CropFeatures, FeatureStore, compute_features
from crisp.learn.recipe import Augmentation, FeatureStage
from crisp.learn.views import Scenery, cut_view
from crisp.networks.heads import ShapeHead, grid_to_tokens
from crisp.networks.model import CrispNetwork

STAGE = FeatureStage(versions=2, tokens=8, min_visible=0.3)


@pytest.fixture(autouse=True)
def two_frames_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "FRAMES_PER_SHARD", 2)


def compute(
    root: Path,
    network: CrispNetwork,
    folder: Path,
    *,
    stage: FeatureStage = STAGE,
    seed: int = 0,
    keys: Sequence[FrameKey] | None = None,
) -> list[CropFeatures]:
    dataset = BopDataset(root, "train")
    return compute_features(
        dataset,
        dataset.keys if keys is None else keys,
        network=network,
        object_ids=[1, 2],
        stage=stage,
        seed=seed,
        folder=folder,
    )


def files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_the_second_call_computes_nothing(
    bop_root: Path, tiny_network: CrispNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compute(bop_root, tiny_network, tmp_path)
    before = files(tmp_path)
    assert len(before) == 3  # six frames, two a shard

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a frame was cropped again")

    monkeypatch.setattr(features, "cut_view", never)
    again = compute(bop_root, tiny_network, tmp_path)
    assert files(tmp_path) == before
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.taps, b.taps) and torch.equal(a.target, b.target)


def test_a_killed_run_keeps_its_whole_shards(
    bop_root: Path, tiny_network: CrispNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = compute(bop_root, tiny_network, tmp_path / "unbroken")
    true_encode, calls = features._encode, []

    def dies_in_the_second(*arguments: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return true_encode(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(features, "_encode", dies_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        compute(bop_root, tiny_network, tmp_path / "broken")
    kept = files(tmp_path / "broken")
    assert len(kept) == 1 and next(iter(kept)).endswith(".safetensors")

    found = compute(bop_root, tiny_network, tmp_path / "broken")
    assert len(calls) == 4  # one, the broken one, and the two that were missing
    assert files(tmp_path / "broken").items() >= kept.items()
    for a, b in zip(unbroken, found, strict=True):
        assert torch.equal(a.taps, b.taps) and torch.equal(a.token_index, b.token_index)


def test_a_set_that_grows_keeps_its_shards(
    bop_root: Path, tiny_network: CrispNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three frames a shard would fit across scenes of two; a shard never does that."""
    monkeypatch.setattr(features, "FRAMES_PER_SHARD", 3)
    dataset = BopDataset(bop_root, "train")
    compute(bop_root, tiny_network, tmp_path, keys=dataset.keys[2:4])
    before = files(tmp_path)
    compute(bop_root, tiny_network, tmp_path)
    assert len(before) == 1 and len(files(tmp_path)) == 3
    assert files(tmp_path).items() >= before.items()


def test_half_the_digits_tell_nearly_the_same(
    bop_root: Path, tiny_network: CrispNetwork, tmp_path: Path
) -> None:
    """bfloat16 has 8 bits of mantissa: a relative error of up to 2^-9 a product, which averages out."""
    single = compute(bop_root, tiny_network, tmp_path)
    half = compute(bop_root, tiny_network, tmp_path, stage=replace(STAGE, precision="bfloat16"))
    for a, b in zip(single, half, strict=True):
        assert torch.equal(a.token_index, b.token_index) and not torch.equal(a.taps, b.taps)
        cosine = torch.nn.functional.cosine_similarity(a.taps.float(), b.taps.float(), dim=-1)
        assert cosine.mean() > 0.999


def names(
    root: Path, network: CrispNetwork, folder: Path, stage: FeatureStage = STAGE, seed: int = 0
) -> set[str]:
    dataset = BopDataset(root, "train")
    compute(root, network, folder, stage=stage, seed=seed, keys=dataset.keys[:1])
    found = {path.name for path in folder.iterdir()}
    shutil.rmtree(folder)
    return found


@pytest.mark.parametrize(
    "stage",
    [
        replace(STAGE, versions=1),
        replace(STAGE, tokens=7),
        replace(STAGE, min_visible=0.4),
        replace(STAGE, precision="bfloat16"),
        replace(STAGE, augmentation=Augmentation(hue=0.03)),
    ],
)
def test_names_change_with_every_setting(
    bop_root: Path, tiny_network: CrispNetwork, tmp_path: Path, stage: FeatureStage
) -> None:
    folder = tmp_path / "features"
    plain = names(bop_root, tiny_network, folder)
    assert names(bop_root, tiny_network, folder) == plain
    assert names(bop_root, tiny_network, folder, stage) != plain
    assert names(bop_root, tiny_network, folder, seed=1) != plain


def test_names_change_with_weights_and_files(
    bop_root: Path, tiny_network: CrispNetwork, tmp_path: Path
) -> None:
    folder, root = tmp_path / "features", tmp_path / "set"
    shutil.copytree(bop_root, root)
    plain = names(bop_root, tiny_network, folder)
    assert names(root, tiny_network, folder) == plain  # not with the place
    scene = root / "train" / "000000"
    for path in (
        scene / "rgb" / "000000.png",
        scene / "depth" / "000000.png",
        scene / "mask_visib" / "000000_000001.png",
    ):
        kept = path.read_bytes()
        pixels = np.array(Image.open(path))
        pixels[0, 0] = 7
        Image.fromarray(pixels).save(path)
        assert names(root, tiny_network, folder) != plain, path.name
        path.write_bytes(kept)
    labels = scene / "scene_gt.json"
    labels.write_text(labels.read_text().replace('"cam_t_m2c": [-', '"cam_t_m2c": [-1', 1))
    assert names(root, tiny_network, folder) != plain
    next(tiny_network.backbone.parameters()).data.view(-1)[0] += 1
    assert names(bop_root, tiny_network, folder) != plain


def test_what_is_kept_is_what_the_view_shows(
    bop_root: Path, tiny_network: CrispNetwork, tmp_path: Path
) -> None:
    dataset = BopDataset(bop_root, "train")
    key = dataset.keys[0]
    (shard,) = compute(bop_root, tiny_network, tmp_path, keys=[key])
    assert shard.plain.tolist() == [True, False, True, False]
    assert shard.object_index.tolist() == [0, 0, 1, 1]

    frame, instance = dataset.load_frame(key), dataset.instances(key)[1]
    view = cut_view(
        Scenery(frame.rgb, frame.depth_m, frame.camera.backproject(frame.depth_m)),
        dataset.mask(key, 1),
        instance.T_camera_object,
        image_px=56,
        pnc_px=16,
    )
    assert view is not None
    with torch.inference_mode():
        seen = tiny_network.backbone(normalise(view.image[None]))
    row = 2  # the can, plain
    index = shard.token_index[row].long()
    assert torch.allclose(shard.taps[row].float(), seen.concatenated_taps()[0][index], atol=5e-3)
    assert torch.allclose(shard.cls[row].float(), seen.concatenated_cls()[0], atol=5e-3)
    assert torch.allclose(shard.shape_input[row].float(), ShapeHead.shape_input(seen)[0], atol=5e-3)
    real = shard.valid[row].any(-1)
    assert len(set(index[real].tolist())) == int(real.sum()) == 8  # no token twice
    wanted = grid_to_tokens(view.target[None], 4)[0][index]
    assert torch.equal(shard.valid[row], grid_to_tokens(view.valid[None], 4)[0][index])
    assert torch.allclose(shard.target[row].float(), wanted, atol=1e-4)


def test_missing_tokens_are_padded_and_invalid(
    bop_root: Path, tiny_network: CrispNetwork, tmp_path: Path
) -> None:
    shards = compute(bop_root, tiny_network, tmp_path, stage=replace(STAGE, tokens=16))
    for shard in shards:
        assert shard.token_index.shape[1] == 16
        for index, valid in zip(shard.token_index, shard.valid, strict=True):
            real = valid.any(-1)
            assert len(set(index[real].tolist())) == int(real.sum()) > 0
            assert not valid[~real].any()


def test_hardly_visible_objects_are_left_out(
    bop_root: Path, tiny_network: CrispNetwork, tmp_path: Path
) -> None:
    root, kept = tmp_path / "data", tmp_path / "kept"
    shutil.copytree(bop_root, root)
    for path in root.glob("train/*/scene_gt_info.json"):
        path.write_text(re.sub(r'"visib_fract": [0-9.]+', '"visib_fract": 0.3', path.read_text()))
    assert compute(root, tiny_network, kept, stage=replace(STAGE, min_visible=0.4)) == []
    assert len(FeatureStore([])) == 0
    # and that is remembered, too
    assert len(files(kept)) == 3


def test_a_store_joins_the_shards(bop_root: Path, tiny_network: CrispNetwork, tmp_path: Path) -> None:
    shards = compute(bop_root, tiny_network, tmp_path)
    store = FeatureStore(shards)
    assert len(store) == sum(map(len, shards)) == 24
    last = len(shards[0])  # the first row of the second shard
    tokens = torch.tensor([3, 0])
    batch = store.batch(np.array([0, last]), tokens=tokens, device=torch.device("cpu"))
    assert torch.equal(batch.taps[1], shards[1].taps[0][tokens].float())
    assert torch.equal(batch.target[0], shards[0].target[0][tokens].float())
    assert torch.equal(batch.shape_input[1], shards[1].shape_input[0].float())
    assert len(store.first(5)) == 5 and len(store) == 24
