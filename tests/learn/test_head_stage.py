"""The head stage learns coordinates and codes from kept features, and goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from scipy.spatial.transform import Rotation

from crisp.learn.features import FeatureStore, compute_features
from crisp.learn.head_stage import KnownShapes, train_heads, validate
from crisp.learn.journal import Journal
from crisp.learn.losses import SymmetryTargets
from crisp.learn.problem import Problem
from crisp.learn.recipe import FeatureStage, HeadStage
from crisp.networks.config import DptHeadConfig
from crisp.networks.heads import TokenPncHead
from crisp.networks.model import CrispNetwork, build_network
from crisp.types import Symmetries

STAGE = HeadStage(steps=12, batch=6, tokens=8, learning_rate=3e-3, surface_weight=10.0, surface_every=2)
Metrics = dict[str, float]
Trainer = Callable[..., Metrics]


@pytest.fixture
def store(problem: Problem, tiny_network: CrispNetwork, tmp_path: Path) -> FeatureStore:
    return FeatureStore(
        compute_features(
            problem.dataset,
            problem.train[:2],
            network=tiny_network,
            object_ids=problem.object_ids,
            stage=FeatureStage(versions=1, tokens=12),
            seed=0,
            folder=tmp_path / "features",
        )
    )


@pytest.fixture
def shapes(problem: Problem, tiny_network: CrispNetwork) -> KnownShapes:
    generator = torch.Generator().manual_seed(4)
    codes = torch.randn(2, tiny_network.config.code_dim, generator=generator)
    return KnownShapes(codes, problem.samples, [SymmetryTargets.of(o.symmetries) for o in problem.objects])


@pytest.fixture
def train(tiny_network: CrispNetwork, store: FeatureStore, shapes: KnownShapes, fabric: Fabric) -> Trainer:
    def trained(
        run: Path, stage: HeadStage = STAGE, *, on: Fabric = fabric, every: int = 1000
    ) -> dict[str, float]:
        journal = Journal(run)
        try:
            return train_heads(
                tiny_network,
                store,
                store,
                shapes=shapes,
                stage=stage,
                seed=7,
                fabric=on,
                run=run,
                journal=journal,
                checkpoint_every=every,
            )
        finally:
            journal.close()

    return trained


def losses(run: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if line["stage"] == "heads" and name in line]


def test_a_few_crops_are_learnt_by_heart(
    train: Trainer, tiny_network: CrispNetwork, store: FeatureStore, shapes: KnownShapes, tmp_path: Path
) -> None:
    before = validate(tiny_network, store, shapes=shapes)
    after = train(tmp_path / "run", replace(STAGE, steps=200, surface_weight=0.0))
    # Objects are 60 to 120 mm wide: an untrained head is off by half of that.
    assert before["pnc_error_median_m"] > 0.02
    assert after["pnc_error_median_m"] < 0.005
    assert after["rotation_median_deg"] < 10 < before["rotation_median_deg"]
    for name in ("pnc", "code"):
        first, *_, last = losses(tmp_path / "run", name)
        assert last < 0.2 * first, name


def test_half_the_digits_learn_as_well(
    train: Trainer, tiny_network: CrispNetwork, store: FeatureStore, tmp_path: Path
) -> None:
    after = train(tmp_path / "run", replace(STAGE, steps=200, surface_weight=0.0, precision="bfloat16"))
    assert after["pnc_error_median_m"] < 0.005
    head = tiny_network.pnc_head
    assert isinstance(head, TokenPncHead) and head.out.weight.dtype == torch.float32
    # and the inputs were measured on the way
    batch = store.batch(np.arange(len(store)), tokens=None, device=torch.device("cpu"))
    seen = head.token_norm(batch.taps[batch.valid.any(-1)])
    assert torch.allclose(seen.mean(0), torch.zeros(seen.shape[1]), atol=1e-3)


def test_only_the_heads_move(train: Trainer, tiny_network: CrispNetwork, tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in tiny_network.state_dict().items()}
    train(tmp_path / "run")
    moved = {k.split(".")[0] for k, v in tiny_network.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"pnc_head", "shape_head"}


def test_the_distance_along_the_code_is_a_loss_every_so_many_steps(train: Trainer, tmp_path: Path) -> None:
    train(tmp_path / "with", replace(STAGE, steps=1))
    assert len(losses(tmp_path / "with", "surface")) == 1
    train(tmp_path / "without", replace(STAGE, steps=1, surface_weight=0.0))
    assert losses(tmp_path / "without", "surface") == []


def test_a_broken_run_ends_as_the_unbroken_one(
    train: Trainer, tiny_network: CrispNetwork, tmp_path: Path
) -> None:
    initial = {k: v.clone() for k, v in tiny_network.state_dict().items()}
    metrics = train(tmp_path / "whole", every=5)
    whole = {k: v.clone() for k, v in tiny_network.state_dict().items()}

    class Killed(Exception):
        pass

    broken, steps = Fabric(accelerator="cpu", devices=1), []

    def dies(loss: torch.Tensor) -> None:
        steps.append(1)
        if len(steps) == 9:  # four steps after the last state
            raise Killed
        loss.backward()

    broken.backward = dies  # type: ignore[method-assign,assignment]
    tiny_network.load_state_dict(initial)
    with pytest.raises(Killed):
        train(tmp_path / "broken", on=broken, every=5)
    tiny_network.load_state_dict(initial)
    assert train(tmp_path / "broken", every=5) == metrics
    for name, value in tiny_network.state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_a_finished_stage_is_not_done_again(train: Trainer, tmp_path: Path) -> None:
    first = train(tmp_path / "run")
    logged = losses(tmp_path / "run", "pnc")
    assert train(tmp_path / "run") == first
    assert losses(tmp_path / "run", "pnc") == logged


def test_a_turn_about_an_axis_of_symmetry_is_no_error(
    tiny_network: CrispNetwork, store: FeatureStore, shapes: KnownShapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head says the truth turned by 50 degrees about z."""
    turn = torch.tensor(Rotation.from_euler("z", 50, degrees=True).as_matrix(), dtype=torch.float32)
    batch = store.batch(np.arange(len(store)), tokens=None, device=torch.device("cpu"))
    monkeypatch.setattr(TokenPncHead, "forward_tokens", lambda *_: batch.target @ turn.T)
    about_z = Symmetries(continuous=((np.array([0.0, 0.0, 1.0]), np.zeros(3)),))
    turned = validate(
        tiny_network, store, shapes=replace(shapes, symmetries=[SymmetryTargets.of(about_z)] * 2)
    )
    assert turned["pnc_error_median_m"] < 1e-6 and turned["rotation_median_deg"] < 0.05
    angular = replace(shapes, symmetries=[SymmetryTargets.of(Symmetries())] * 2)
    errors = validate(tiny_network, store, shapes=angular)
    assert errors["pnc_error_median_m"] > 0.005
    assert errors["rotation_median_deg"] == pytest.approx(50, abs=0.1)


def test_an_image_head_is_refused(
    tiny_network: CrispNetwork,
    store: FeatureStore,
    shapes: KnownShapes,
    fabric: Fabric,
    tmp_path: Path,
    journal: Journal,
) -> None:
    head = DptHeadConfig(features=8, tap_channels=(4, 8, 12, 16), cnn_channels=(8, 4), groups=2)
    network = build_network(replace(tiny_network.config, head=head))
    with pytest.raises(TypeError, match="tokens"):
        train_heads(
            network,
            store,
            store,
            shapes=shapes,
            stage=STAGE,
            seed=0,
            fabric=fabric,
            run=tmp_path,
            journal=journal,
            checkpoint_every=1,
        )
