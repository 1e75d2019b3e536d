"""The shape decoder f_d(z | h): a SIREN that the shape code modulates by FiLM (method, section 2)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crisp.networks.config import NetworkConfig
from crisp.shape.sdf import clamp_to_cube

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
