"""The published joint training: every crop once an epoch, and everything moves but the backbone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from crisp.data.bop.reader import FrameKey
from crisp.learn import features as crop_source
from crisp.learn.features import CropSource, Example, list_examples
from crisp.learn.joint_stage import (
    draw_distances,
    joint_losses,
    library_codes,
    pick,
    restart_factor,
    train_jointly,
)
from crisp.learn.journal import Journal
from crisp.learn.losses import SymmetryTargets
from crisp.learn.problem import Problem, SampleKind
from crisp.learn.recipe import JointStage, Recipe
from crisp.networks.config import DptHeadConfig
from crisp.networks.heads import neutral_code
from crisp.networks.model import CrispNetwork, build_network

STAGE = JointStage(epochs=2, batch=4, surface=20, near=20, volume=40, augment=False, learning_rate=1e-3)


def examples(count: int) -> list[Example]:
    return [Example(FrameKey(0, i), 0, 0) for i in range(count)]


def train(
    network: CrispNetwork, problem: Problem, fabric: Fabric, run: Path, stage: JointStage = STAGE
) -> tuple[torch.Tensor, dict[str, float]]:
    journal = Journal(run)
    try:
        return train_jointly(
            network,
            problem,
            Recipe("joint", seed=5, joint=stage, checkpoint_every=1),
            fabric=fabric,
            run=run,
            cache=run / "cache",
            journal=journal,
        )
    finally:
        journal.close()


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_an_epoch_shows_each_example_once(epoch: int) -> None:
    known = examples(12)
    seen = Counter(e for step in range(3 * epoch, 3 * epoch + 3) for e in pick(known, step, 4, seed=1))
    assert seen == Counter(known)


def test_a_remainder_waits_for_another_epoch() -> None:
    known = examples(10)
    epochs = [[e for step in (2 * n, 2 * n + 1) for e in pick(known, step, 4, seed=1)] for n in range(40)]
    assert all(len(set(seen)) == len(seen) == 8 for seen in epochs)
    assert set().union(*epochs) == set(known)
    assert len(pick(examples(3), 0, 4, seed=1)) == 3  # fewer than a batch are one batch


def test_picks_depend_on_seed_and_step_alone() -> None:
    known = examples(12)
    assert pick(known, 5, 4, seed=1) == pick(known, 5, 4, seed=1)
    assert pick(known, 5, 4, seed=1) != pick(known, 5, 4, seed=2)
    assert [pick(known, s, 4, seed=1) for s in range(3)] != [pick(known, s, 4, seed=1) for s in range(3, 6)]


def test_rates_restart() -> None:
    assert restart_factor(12345, STAGE) == 1.0
    # Periods of 10, 20, 40: a period starts at 1, is 1/2 in its middle and nearly 0 at its end.
    stage = replace(STAGE, restart_steps=10, restart_factor=2)
    assert [restart_factor(step, stage) for step in (0, 10, 30, 70)] == [1.0] * 4
    assert [restart_factor(step, stage) for step in (5, 20, 50)] == pytest.approx([0.5] * 3)
    assert restart_factor(9, stage) < 0.03 and restart_factor(69, stage) < 0.002
    steady = replace(STAGE, restart_steps=10, restart_factor=1)
    assert [restart_factor(step, steady) for step in (0, 10, 20, 990)] == [1.0] * 4


def test_examples_are_the_visible_objects(problem: Problem) -> None:
    found = list_examples(problem, problem.train)
    assert [(e.key, e.instance, e.object_index) for e in found] == [
        (key, i, i) for key in problem.train for i in (0, 1)
    ]
    assert list_examples(problem, problem.train, min_visible=1.1) == []


@pytest.mark.parametrize("augment", [False, True])
def test_all_parts_move_but_the_backbone(
    tiny_network: CrispNetwork, problem: Problem, fabric: Fabric, tmp_path: Path, augment: bool
) -> None:
    before = {k: v.clone() for k, v in tiny_network.state_dict().items()}
    codes, metrics = train(tiny_network, problem, fabric, tmp_path, replace(STAGE, epochs=1, augment=augment))
    moved = {k.split(".")[0] for k, v in tiny_network.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"pnc_head", "shape_head", "decoder"}
    assert codes.shape == (2, tiny_network.config.code_dim) and not torch.equal(codes[0], codes[1])
    assert 0 < metrics["pnc_error_mean_m"] < 1


def test_an_image_head_trains_too(
    tiny_network: CrispNetwork, problem: Problem, fabric: Fabric, tmp_path: Path
) -> None:
    head = DptHeadConfig(features=8, tap_channels=(4, 8, 12, 16), cnn_channels=(8, 4), groups=2)
    network = build_network(replace(tiny_network.config, head=head))
    before = {k: v.clone() for k, v in network.pnc_head.state_dict().items()}
    train(network, problem, fabric, tmp_path, replace(STAGE, epochs=1))
    assert any(not torch.equal(v, before[k]) for k, v in network.pnc_head.state_dict().items())


def test_a_broken_run_ends_as_the_unbroken_one(
    tiny_network: CrispNetwork, problem: Problem, fabric: Fabric, tmp_path: Path
) -> None:
    stage = replace(STAGE, augment=True)  # four steps: 8 examples, batches of 4, twice
    initial = {k: v.clone() for k, v in tiny_network.state_dict().items()}
    codes, metrics = train(tiny_network, problem, fabric, tmp_path / "whole", stage)

    broken, steps = Fabric(accelerator="cpu", devices=1), []

    def dies(loss: torch.Tensor) -> None:
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        loss.backward()

    broken.backward = dies  # type: ignore[method-assign,assignment]
    tiny_network.load_state_dict(initial)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_network, problem, broken, tmp_path / "broken", stage)
    tiny_network.load_state_dict(initial)
    again, found = train(tiny_network, problem, fabric, tmp_path / "broken", stage)
    assert torch.equal(again, codes) and found == metrics


def test_losses_are_weighted_as_the_equation_says(
    tiny_network: CrispNetwork, problem: Problem, tmp_path: Path
) -> None:
    source = CropSource(tiny_network, problem, STAGE, seed=0, cache=tmp_path)
    batch = source.plain(list_examples(problem, problem.train)[:3])
    symmetries = [SymmetryTargets.of(o.symmetries) for o in problem.objects]

    def losses(stage: JointStage) -> list[float]:
        torch.manual_seed(0)
        tiny_network.eval()
        found = joint_losses(tiny_network, batch, problem.samples, symmetries=symmetries, stage=stage)
        return [float(found["pnc"].detach()), float(found["sdf"].detach())]

    one = losses(replace(STAGE, alpha=1.0, beta=1.0))
    assert losses(replace(STAGE, alpha=5e3, beta=0.1)) == pytest.approx([5e3 * one[0], 0.1 * one[1]])


def test_distances_are_drawn_of_each_crops_object_in_the_published_mix(problem: Problem) -> None:
    stage = replace(STAGE, surface=3, near=4, volume=5)
    at, truth, off = draw_distances(problem.samples, [1, 0], stage, device=torch.device("cpu"))
    assert at.shape == (2, 12, 3)
    assert torch.equal(off, torch.tensor([False] * 3 + [True] * 9).expand(2, 12))
    assert not truth[:, :3].any()
    for row, index in enumerate((1, 0)):
        samples = problem.samples[index]
        for kind, part in zip(SampleKind, at[row].split([3, 4, 5]), strict=True):
            pool = {tuple(p) for p in samples.of(kind).points_object.tolist()}
            assert {tuple(p) for p in part.tolist()} <= pool


def test_plain_crops_are_encoded_once(
    tiny_network: CrispNetwork, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = list_examples(problem, problem.train)[:2]
    first = CropSource(tiny_network, problem, STAGE, seed=0, cache=tmp_path).plain(chosen)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a frame was cropped again")

    monkeypatch.setattr(crop_source, "cut_view", never)
    again = CropSource(tiny_network, problem, STAGE, seed=0, cache=tmp_path).plain(chosen)
    assert torch.equal(first.features.taps, again.features.taps)
    assert torch.equal(first.target, again.target) and torch.equal(first.valid, again.valid)
    next(tiny_network.backbone.parameters()).data.view(-1)[0] += 1
    with pytest.raises(AssertionError, match="cropped again"):
        CropSource(tiny_network, problem, STAGE, seed=0, cache=tmp_path).plain(chosen)


def test_an_object_that_no_frame_shows_has_the_neutral_code(
    tiny_network: CrispNetwork, problem: Problem, tmp_path: Path
) -> None:
    source = CropSource(tiny_network, problem, STAGE, seed=0, cache=tmp_path)
    bricks = [e for e in list_examples(problem, problem.train) if e.object_index == 0]
    codes = library_codes(tiny_network, source, bricks, objects=2)
    with torch.no_grad():
        seen = [tiny_network.shape_head(source.plain([e]).features)[0] for e in bricks]
    assert torch.allclose(codes[0], torch.stack(seen).mean(0), atol=1e-6)
    assert torch.equal(codes[1], neutral_code(3, 48))
    assert np.isfinite(codes.numpy()).all()
