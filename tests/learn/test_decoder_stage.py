"""The decoder stage learns shapes from distances, and goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import trimesh
from lightning_fabric import Fabric

from crisp.learn.decoder_stage import CodedDecoder, cosine, field_gradient, train_decoder
from crisp.learn.journal import Journal
from crisp.learn.losses import SdfWeights
from crisp.learn.problem import SdfSampleConfig, SdfSamples, sdf_samples
from crisp.learn.recipe import DecoderStage
from crisp.networks.model import CrispNetwork
from crisp.shape.sdf import AnalyticBox, AnalyticSphere
from crisp.types import Mesh

STAGE = DecoderStage(
    steps=400,
    points=256,
    eikonal_points=32,
    eikonal_every=2,
    learning_rate=2e-2,
    weights=SdfWeights(off_surface=0.0, eikonal=2.0),
)
RADIUS_M, HALF_M = 0.06, (0.05, 0.03, 0.04)


@pytest.fixture(scope="module")
def samples() -> list[SdfSamples]:
    """Of a sphere and a box."""
    config = SdfSampleConfig(surface=2000, near=6000, volume=4000, cube_half_m=0.1)
    ball = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS_M)
    box = trimesh.creation.box([2 * h for h in HALF_M])
    return [sdf_samples(Mesh(s.vertices.copy(), s.faces.copy()), config) for s in (ball, box)]


def train(
    network: CrispNetwork,
    samples: list[SdfSamples],
    run: Path,
    fabric: Fabric,
    *,
    stage: DecoderStage = STAGE,
    every: int = 1000,
) -> torch.Tensor:
    journal = Journal(run)
    try:
        return train_decoder(
            network.decoder,
            samples,
            stage=stage,
            seed=3,
            fabric=fabric,
            run=run,
            journal=journal,
            checkpoint_every=every,
        )
    finally:
        journal.close()


def test_one_decoder_learns_a_sphere_and_a_box(
    tiny_network: CrispNetwork, samples: list[SdfSamples], tmp_path: Path, fabric: Fabric
) -> None:
    codes = train(tiny_network, samples, tmp_path, fabric)
    assert codes.shape == (2, tiny_network.config.code_dim)
    points = 0.08 * (2 * torch.rand(2000, 3, generator=torch.Generator().manual_seed(9)) - 1)
    truth = torch.stack(
        [
            AnalyticSphere()(points, torch.tensor([RADIUS_M])),
            AnalyticBox()(points, torch.tensor(HALF_M)),
        ]
    )
    with torch.no_grad():
        error = (tiny_network.decoder(points, codes) - truth).abs().mean(1)
    # A decoder that has learnt nothing is 20 mm off; this one is 48 wide and had 400 steps.
    assert (error < 0.003).all(), error


def test_a_broken_run_ends_as_the_unbroken_one(
    samples: list[SdfSamples], tmp_path: Path, fabric: Fabric, tiny_network: CrispNetwork
) -> None:
    stage = replace(STAGE, steps=12)
    initial = {k: v.clone() for k, v in tiny_network.state_dict().items()}
    whole_codes = train(tiny_network, samples, tmp_path / "whole", fabric, stage=stage)
    whole = {k: v.clone() for k, v in tiny_network.decoder.state_dict().items()}

    class Killed(Exception):
        pass

    tiny_network.load_state_dict(initial)
    backward, steps = fabric.backward, []

    def dies(loss: torch.Tensor) -> None:
        steps.append(1)
        if len(steps) == 8:
            raise Killed
        backward(loss)

    broken = Fabric(accelerator="cpu", devices=1)
    broken.backward = dies  # type: ignore[method-assign,assignment]
    with pytest.raises(Killed):
        train(tiny_network, samples, tmp_path / "broken", broken, stage=stage, every=5)
    tiny_network.load_state_dict(initial)
    codes = train(tiny_network, samples, tmp_path / "broken", fabric, stage=stage, every=5)
    assert torch.equal(codes, whole_codes)
    for name, value in tiny_network.decoder.state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_codes_start_near_the_neutral_one(tiny_network: CrispNetwork) -> None:
    torch.manual_seed(0)
    codes = CodedDecoder(tiny_network.decoder, 3).codes.detach().view(3, 3, 2, 48)
    assert (codes[:, :, 0] - 1).abs().max() < 0.1 and codes[:, :, 1].abs().max() < 0.1
    assert not torch.equal(codes[0], codes[1])


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    # 3 % of 100 steps: the first step has a third of the rate, then half a cosine from 1 to 0.
    rates = [cosine(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 3)
    assert max(rates) == pytest.approx(1) and rates[-1] == pytest.approx(0, abs=1e-9)
    assert all(a >= b for a, b in pairwise(rates[3:]))
    assert cosine(0, 0) == pytest.approx(0, abs=1e-9)  # no step at all is no division by zero


def test_the_field_gradient_can_be_differentiated_again() -> None:
    class Bowl:
        cube_half_m = 1.0

        def __call__(self, points_object: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
            return code[..., None, 0] * points_object.square().sum(-1)

    points, codes = torch.rand(2, 5, 3), torch.tensor([[1.0], [3.0]])
    codes.requires_grad_()
    gradient = field_gradient(Bowl(), points, codes)  # of c |z|^2: 2 c z
    assert torch.allclose(gradient, 2 * codes.detach()[..., None] * points)
    (through,) = torch.autograd.grad(gradient.sum(), codes)
    assert torch.allclose(through[:, 0], 2 * points.sum((1, 2)))
