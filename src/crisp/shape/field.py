"""Signed distance fields: the protocol that decoders satisfy, and analytic twins for tests.

Every consumer of a learned shape (meshing, correctors, certificate) sees only `SignedDistance`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class SignedDistance(Protocol):
    """f(z | h): metres, negative inside, batched over objects; defined everywhere.

    Outside the trained cube |z|_inf <= cube_half_m it continues as f(clamp(z)) + |z - clamp(z)|
    (method, section 6), so no consumer meets an untrained region.
    """

    @property
    def cube_half_m(self) -> float: ...

    def __call__(
        self, points_object: Float[Tensor, "*batch n 3"], code: Float[Tensor, "*batch c"]
    ) -> Float[Tensor, "*batch n"]: ...


def clamp_to_cube(
    points_object: Float[Tensor, "*n 3"], cube_half_m: float
) -> tuple[Float[Tensor, "*n 3"], Float[Tensor, "*n"]]:
    """The nearest point of the cube and the distance to it (0 inside, with a finite gradient there)."""
    inside = points_object.clamp(-cube_half_m, cube_half_m)
    excess = points_object - inside
    squared = (excess * excess).sum(-1)
    outside = squared > 0
    distance = torch.where(outside, torch.where(outside, squared, 1.0).sqrt(), 0.0)
    return inside, distance


@dataclass(frozen=True)
class AnalyticSphere:
    """Sphere at the origin; the code's first number is its radius in metres."""

    cube_half_m: float = 0.2

    def __call__(
        self, points_object: Float[Tensor, "*batch n 3"], code: Float[Tensor, "*batch c"]
    ) -> Float[Tensor, "*batch n"]:
        return points_object.norm(dim=-1) - code[..., None, 0]


@dataclass(frozen=True)
class AnalyticBox:
    """Axis-aligned box at the origin; the code's first three numbers are its half extents in metres."""

    cube_half_m: float = 0.2

    def __call__(
        self, points_object: Float[Tensor, "*batch n 3"], code: Float[Tensor, "*batch c"]
    ) -> Float[Tensor, "*batch n"]:
        q = points_object.abs() - code[..., None, :3]
        outside = q.clamp(min=0).square().sum(-1)
        safe = torch.where(outside > 0, outside, 1.0)
        return torch.where(outside > 0, safe.sqrt(), 0.0) + q.amax(-1).clamp(max=0)


@dataclass(frozen=True)
class AnalyticEllipsoid:
    """Ellipsoid at the origin; the code's first three numbers are its semi-axes in metres.

    First-order distance k1 (k1 - 1) / k2: exact zero set, exact sign, unit gradient at the surface.
    """

    cube_half_m: float = 0.2

    def __call__(
        self, points_object: Float[Tensor, "*batch n 3"], code: Float[Tensor, "*batch c"]
    ) -> Float[Tensor, "*batch n"]:
        axes = code[..., None, :3]
        k1 = (points_object / axes).norm(dim=-1)
        k2 = (points_object / axes.square()).norm(dim=-1).clamp(min=1e-9)
        return k1 * (k1 - 1) / k2


@dataclass(frozen=True)
class AnalyticUnion:
    """Two bodies as one: the smaller of their distances; exact outside where theirs are, a bound inside.

    Code: the first body's `split` numbers, then the second's centre (3, metres), then the second's numbers.

    Args:
        first, second: fields about their own origins; the second's is at its centre.
        split: how many numbers of the code belong to the first body.
    """

    first: SignedDistance
    second: SignedDistance
    split: int
    cube_half_m: float = 0.2

    def __call__(
        self, points_object: Float[Tensor, "*batch n 3"], code: Float[Tensor, "*batch c"]
    ) -> Float[Tensor, "*batch n"]:
        own, centre, other = code.tensor_split((self.split, self.split + 3), dim=-1)
        return torch.minimum(
            self.first(points_object, own), self.second(points_object - centre[..., None, :], other)
        )
