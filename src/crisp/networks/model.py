"""The network: frozen backbone, shape head, PNC head and shape decoder (method, section 2).

The decoder f_d(z | h) is a SIREN that the shape code modulates by FiLM.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crisp.errors import InputError
from crisp.networks.backbone import Backbone, Features
from crisp.networks.config import NetworkConfig
from crisp.networks.heads import ShapeHead, build_pnc_head
from crisp.shape.sdf import clamp_to_cube
from crisp.types import Prediction

_FIRST_LAYER_BOUND = 30.0


class FilmSirenDecoder(nn.Module):
    """Signed distance in metres; satisfies `crisp.shape.sdf.SignedDistance`. 264,449 parameters.

    Points are divided by `cube_half_m` and the output is multiplied by it: the network works in units of the
    cube, and |grad f| = 1 holds in metres too. Code: one block per layer, gammas then betas.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.cube_half_m = config.cube_half_m
        self.width = config.hidden
        sizes = [3] + [config.hidden] * config.film_layers
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.out = nn.Linear(config.hidden, 1)
        self._initialise()

    def _initialise(self) -> None:
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            bound = _FIRST_LAYER_BOUND / layer.in_features
            if number > 0:
                bound = math.sqrt(6.0 / layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound)

    def forward(
        self, points_object: Float[Tensor, "*#batch n 3"], code: Float[Tensor, "*#batch c"]
    ) -> Float[Tensor, "*#batch n"]:
        """Signed distances (..., N), metres, negative inside, of points under codes.

        Batch axes broadcast: points (1, N, 3) or (N, 3) under codes (K, C) give (K, N). Outside the trained
        cube the field continues as f(clamp(z)) + |z - clamp(z)| (method, section 6).

        Args:
            points_object: (..., N, 3) metres.
            code: (..., C).
        """
        inside, outside_m = clamp_to_cube(points_object, self.cube_half_m)
        batch = torch.broadcast_shapes(points_object.shape[:-2], code.shape[:-1])
        n = points_object.shape[-2]
        x = (inside / self.cube_half_m).expand(*batch, n, 3).reshape(-1, n, 3)
        codes = code.expand(*batch, code.shape[-1]).reshape(-1, code.shape[-1])
        distance = self._unit_distance(x, codes).reshape(*batch, n)
        return self.cube_half_m * distance + outside_m

    def _unit_distance(self, x: Float[Tensor, "b n 3"], codes: Float[Tensor, "b c"]) -> Float[Tensor, "b n"]:
        """gamma (W x + b) + beta = (gamma W) x + (gamma b + beta): modulate each object's weights, which are
        few, instead of the activations of all its points."""
        blocks = codes.unflatten(-1, (len(self.layers), 2, self.width))
        for number, layer in enumerate(self.layers):
            gamma, beta = blocks[:, number, 0], blocks[:, number, 1]
            weight = gamma[:, :, None] * layer.weight
            bias = gamma * layer.bias + beta
            x = torch.sin(torch.baddbmm(bias[:, None], x, weight.transpose(1, 2)))
        return self.out(x).squeeze(-1)


class CrispNetwork(nn.Module):
    """Crops -> PNC maps and shape codes; `decoder` turns a code into a signed distance field.

    Raises:
        InputError: the backbone does not match the configuration.
    """

    def __init__(self, config: NetworkConfig, backbone: Backbone) -> None:
        super().__init__()
        if backbone.config != config.backbone or backbone.image_px != config.image_px:
            raise InputError(
                f"the backbone is {backbone.config} at {backbone.image_px} px, "
                f"the network wants {config.backbone} at {config.image_px} px."
            )
        self.config = config
        self.backbone = backbone
        self.shape_head = ShapeHead(config)
        self.pnc_head = build_pnc_head(config)
        self.decoder = FilmSirenDecoder(config)

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> Prediction:
        """Predict from crops (B, 3, S, S), normalised as `Crop.image` is; S = config.image_px."""
        return self.predict_from_features(self.backbone(images))

    def predict_from_features(self, features: Features) -> Prediction:
        """Predict from the backbone's features, which may be cached."""
        return Prediction(pnc=self.pnc_head(features), shape_code=self.shape_head(features))

    def parameter_counts(self) -> dict[str, int]:
        """Number of parameters of each part, and their "total"."""
        counts = {
            name: sum(p.numel() for p in part.parameters())
            for name, part in (
                ("backbone", self.backbone),
                ("shape_head", self.shape_head),
                ("pnc_head", self.pnc_head),
                ("decoder", self.decoder),
            )
        }
        return {**counts, "total": sum(counts.values())}


def build_network(config: NetworkConfig, backbone: Backbone | None = None) -> CrispNetwork:
    """A network with untrained heads on a given backbone; without one, on a random backbone.

    `crisp.networks.backbone.load_backbone` loads a backbone from a folder or the hub.
    """
    if backbone is None:
        backbone = Backbone.random(config.backbone, image_px=config.image_px)
    return CrispNetwork(config, backbone)
