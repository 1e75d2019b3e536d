from __future__ import annotations

import dataclasses

import pytest
import torch

from crisp.errors import InputError
from crisp.networks.backbone import Backbone
from crisp.networks.config import NetworkConfig, preset
from crisp.networks.model import CrispNetwork, build_network


def count(name: str) -> dict[str, int]:
    with torch.device("meta"):
        return build_network(preset(name)).parameter_counts()


def test_paper_has_the_published_parameters() -> None:
    # Method, section 2.
    assert count("paper") == {
        "backbone": 22_056_576,
        "shape_head": 2_825_216,
        "pnc_head": 13_968_147,
        "decoder": 264_449,
        "total": 39_114_388,
    }


def test_small_differs_in_the_pnc_head_alone() -> None:
    small, paper = count("small"), count("paper")
    assert {k for k in small if small[k] != paper[k]} == {"pnc_head", "total"}
    assert small["pnc_head"] <= 5_000_000


def test_prediction_has_one_map_and_one_code_per_crop(tiny_network: CrispNetwork) -> None:
    images = torch.randn(3, 3, 56, 56)
    prediction = tiny_network(images)
    assert prediction.pnc.shape == (3, 16, 16, 3)
    assert prediction.shape_code.shape == (3, 32)
    again = tiny_network.predict_from_features(tiny_network.backbone(images))
    assert torch.equal(again.pnc, prediction.pnc)
    assert torch.equal(again.shape_code, prediction.shape_code)


@pytest.mark.parametrize("kind", ["token", "dpt"])
def test_gradients_reach_every_head_and_never_the_backbone(
    kind: str, token_config: NetworkConfig, dpt_config: NetworkConfig
) -> None:
    network = build_network(token_config if kind == "token" else dpt_config).train()
    prediction = network(torch.randn(2, 3, 56, 56))
    distance = network.decoder(0.05 * torch.randn(2, 5, 3), prediction.shape_code)
    (prediction.pnc.square().sum() + distance.square().sum()).backward()
    for name, parameter in network.named_parameters():
        if name.startswith("backbone."):
            assert parameter.grad is None
        else:
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_a_backbone_of_another_size_is_refused(token_config: NetworkConfig) -> None:
    backbone = Backbone.random(token_config.backbone, image_px=70)
    with pytest.raises(InputError, match="70 px"):
        build_network(token_config, backbone)
    other = dataclasses.replace(token_config.backbone, taps=(1, 2, 3, 4), trained_px=84)
    with pytest.raises(InputError, match="the network wants"):
        build_network(token_config, Backbone.random(other, image_px=56))


@pytest.mark.slow
def test_paper_takes_a_training_step_at_420_px() -> None:
    torch.manual_seed(0)
    network = build_network(preset("paper")).train()
    heads = [p for p in network.parameters() if p.requires_grad]
    frozen = {k: v.clone() for k, v in network.backbone.state_dict().items()}
    image, target = torch.randn(1, 3, 420, 420), 0.05 * torch.randn(1, 420, 420, 3)
    points = 0.1 * torch.randn(1, 64, 3)

    def loss() -> torch.Tensor:
        prediction = network(image)
        assert prediction.pnc.shape == (1, 420, 420, 3)
        distance = network.decoder(points, prediction.shape_code)
        return (prediction.pnc - target).square().mean() + distance.square().mean()

    before = loss()
    before.backward()
    # A step of plain gradient descent that, to first order, takes 1 % off the loss.
    slope = sum(p.grad.square().sum() for p in heads)
    rate = float(0.01 * before.detach() / slope)
    torch.optim.SGD(heads, lr=rate).step()
    with torch.no_grad():
        fall = float((before - loss()) / before)
    assert fall == pytest.approx(0.01, rel=0.3)
    assert all(torch.equal(v, frozen[k]) for k, v in network.backbone.state_dict().items())
