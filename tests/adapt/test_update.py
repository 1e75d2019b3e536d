"""The step: equation (13) and plain SGD, equal to a plain twin; nothing else moves."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from lightning_fabric import Fabric

from crisp.adapt.recipe import AdaptRecipe
from crisp.adapt.update import PseudoLabel, Updater
from crisp.networks.backbone import Features
from crisp.networks.model import CrispNetwork

RECIPE = AdaptRecipe(shape_rate=1e-3, pnc_rate=2e-3, weight_decay=0.1, momentum=0.5)


@pytest.fixture
def network(tiny_network: CrispNetwork) -> CrispNetwork:
    return tiny_network


def labels(network: CrispNetwork, count: int, seed: int = 0) -> list[PseudoLabel]:
    g = torch.Generator().manual_seed(seed)
    config = network.config
    side, grid, width = config.tokens_per_side, config.pnc_px, config.backbone.width
    return [
        PseudoLabel(
            taps=torch.randn(4, side**2, width, generator=g).half(),
            cls=torch.randn(4, width, generator=g).half(),
            pnc=0.05 * torch.randn(grid, grid, 3, generator=g),
            valid=torch.rand(grid, grid, generator=g) < 0.1 * (number + 1),
            shape_code=torch.randn(network.config.code_dim, generator=g),
        )
        for number in range(count)
    ]


def updater(network: CrispNetwork, recipe: AdaptRecipe = RECIPE) -> Updater:
    return Updater(network, recipe, Fabric(accelerator="cpu", devices=1))


def plain_step(network: CrispNetwork, batch: Sequence[PseudoLabel], recipe: AdaptRecipe) -> None:
    """(13) label by label, and the first step of SGD by hand: w - rate (gradient + decay w)."""
    loss = torch.zeros(())
    for label in batch:
        found = network.predict_from_features(Features(label.taps[None].float(), label.cls[None].float()))
        points = (found.pnc[0] - label.pnc)[label.valid]
        loss = loss + 100.0 * points.square().sum() / len(points)
        loss = loss + (found.shape_code[0] - label.shape_code).square().sum()
    (loss / len(batch)).backward()
    with torch.no_grad():
        for head, rate in (
            (network.shape_head, recipe.shape_rate),
            (network.pnc_head, recipe.pnc_rate),
        ):
            for weight in head.parameters():
                if weight.grad is not None:
                    weight -= rate * (weight.grad + recipe.weight_decay * weight)


def test_a_step_is_that_of_the_plain_twin(network: CrispNetwork) -> None:
    twin = copy.deepcopy(network).eval()
    batch = labels(network, 3)
    before = copy.deepcopy(network.state_dict())
    updater(network).step(batch)
    plain_step(twin, batch, RECIPE)
    moved = 0
    for name, value in twin.state_dict().items():
        mine = network.state_dict()[name]
        torch.testing.assert_close(mine, value, rtol=1e-4, atol=1e-7, msg=name)
        moved += not torch.equal(mine, before[name])
        if name.startswith(("backbone", "decoder")):
            assert torch.equal(mine, before[name]), name
    assert moved > 10


def test_losses_are_means_over_labels(network: CrispNetwork) -> None:
    """Two labels give the mean of what each gives alone."""
    still = AdaptRecipe(shape_rate=0.0, pnc_rate=0.0)
    one, two = labels(network, 2)
    step = updater(network, still).step
    a, b, both = step([one]), step([two]), step([one, two])
    assert both.pnc == pytest.approx((a.pnc + b.pnc) / 2, rel=1e-5)
    assert both.code == pytest.approx((a.code + b.code) / 2, rel=1e-5)
    assert (a.labels, both.labels) == (1, 2)


def test_padding_has_no_part_in_the_loss(network: CrispNetwork) -> None:
    """Trap 5: what lies at pixels that are not valid changes nothing."""
    still = AdaptRecipe(shape_rate=0.0, pnc_rate=0.0)
    (label,) = labels(network, 1)
    stray = torch.where(label.valid[..., None], label.pnc, 1e3)
    other = PseudoLabel(label.taps, label.cls, stray, label.valid, label.shape_code)
    step = updater(network, still).step
    assert step([label]) == step([other])


def test_state_brings_everything_back(network: CrispNetwork) -> None:
    """Momenta included: the third step is the same after a detour."""
    mine = updater(network)
    for seed in (1, 2):
        mine.step(labels(network, 2, seed))
    kept, rates = mine.state(), mine.rates
    third = labels(network, 2, 3)
    mine.step(third)
    straight = mine.state()
    mine.slow_down(0.1)
    mine.step(labels(network, 2, 4))
    mine.restore(kept, rates)
    mine.step(third)
    after = mine.state()
    assert after.keys() == straight.keys() and any(k.startswith("momentum.") for k in after)
    assert all(torch.equal(after[k], straight[k]) for k in straight)


def test_slowing_down_scales_rates_and_forgets_momenta(network: CrispNetwork) -> None:
    mine = updater(network)
    mine.step(labels(network, 1))
    mine.slow_down(0.5)
    assert mine.rates == pytest.approx((5e-4, 1e-3))
    assert not any(k.startswith("momentum.") for k in mine.state())
