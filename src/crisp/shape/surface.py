"""Points on the surface of a shape, for many codes at once and without a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import sqrt

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crisp.errors import InputError
from crisp.shape.sdf import SignedDistance, valid_distances

FLAT_SLOPE = 1e-6  # lower bound of |grad f| in a Newton step


@dataclass(frozen=True)
class SurfaceConfig:
    """Settings of `surface_points`.

    Args:
        blocks: n; the cube is cut into n^3 blocks, and those near the surface into eight cells each.
        points: largest number per object, spread over the cells near its surface.
        reach_m: the field must change its sign between this far inside and this far outside a point.
    """

    blocks: int = 10
    points: int = 256
    reach_m: float = 0.002

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.points < 1 or not self.reach_m > 0:
            raise InputError("blocks and points must be at least 1, and reach_m positive.")


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Points on the surfaces of a batch of shapes; rows are padded to one length.

    Args:
        points_object: (B, M, 3) metres, object frame.
        normal: (B, M, 3) outward unit normals.
        valid: (B, M); a shape without a zero crossing has no valid point.
    """

    points_object: Float[Tensor, "b m 3"]
    normal: Float[Tensor, "b m 3"]
    valid: Bool[Tensor, "b m"]

    def take(self, index: Tensor) -> SurfacePoints:
        """The shapes at `index`."""
        return SurfacePoints(self.points_object[index], self.normal[index], self.valid[index])

    def diameter_m(self) -> Float[Tensor, " b"]:
        """Largest distance between two valid points, metres; 0 without any. A slight underestimate."""
        pairs = torch.cdist(self.points_object, self.points_object)
        both = self.valid[:, :, None] & self.valid[:, None, :]
        return torch.where(both, pairs, 0.0).amax((1, 2))


def cell_centres(cube_half_m: float, cells: int) -> Float[Tensor, "n 3"]:
    """Centres of the cells^3 equal cells of the cube |z|_inf <= cube_half_m, metres, x slowest."""
    axis = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells * 2 - 1
    grid = torch.meshgrid(axis, axis, axis, indexing="ij")
    return cube_half_m * torch.stack(grid, dim=-1).reshape(-1, 3)


def surface_points(
    field: SignedDistance, codes: Float[Tensor, "b c"], config: SurfaceConfig | None = None
) -> SurfacePoints:
    """Points on each shape's zero level set inside the field's cube; without gradient, deterministic.

    From the centre of each cell that lies within half its diagonal of the surface, one Newton step
    z - f g / |g|^2 leads to the surface. A point is valid only if the field changes its sign between
    `reach_m` inside and `reach_m` outside it, so a field without a zero crossing has no points. Cells need no
    sign change at their corners, so walls thinner than a cell are found.
    """
    config = config or SurfaceConfig()
    # Under the caller's inference mode no gradient could be computed.
    with torch.inference_mode(False), torch.no_grad():
        codes = codes.detach().clone()
        starts, near = _spread(*_cells_at_surface(field, codes, config), count=config.points)
        value, slope = _value_and_slope(field, starts, codes)
        size = slope.norm(dim=-1, keepdim=True).clamp(min=FLAT_SLOPE)
        normal = slope / size
        landed = starts - value[..., None] / size * normal
        ends = torch.cat([landed - config.reach_m * normal, landed + config.reach_m * normal], dim=1)
        inner, outer = valid_distances(field, ends, near.repeat(1, 2), codes=codes).chunk(2, dim=1)
        crossed = near & (inner < 0) & (outer > 0)
        share = torch.where(crossed, inner / (inner - outer), 0.5)
        points = landed + (2 * share - 1)[..., None] * config.reach_m * normal
        crossed = crossed & (points.abs() <= field.cube_half_m).all(-1)
        return SurfacePoints(torch.where(crossed[..., None], points, 0.0), normal, crossed)


@torch.enable_grad()
def _value_and_slope(
    field: SignedDistance, points_object: Float[Tensor, "b m 3"], codes: Float[Tensor, "b c"]
) -> tuple[Float[Tensor, "b m"], Float[Tensor, "b m 3"]]:
    leaf = points_object.detach().requires_grad_()
    value = field(leaf, codes)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), slope


def _cells_at_surface(
    field: SignedDistance, codes: Float[Tensor, "b c"], config: SurfaceConfig
) -> tuple[Float[Tensor, "b k 3"], Bool[Tensor, "b k"]]:
    """Centres of the cells that the surface may pass through, padded."""
    half_m = field.cube_half_m / config.blocks
    blocks = cell_centres(field.cube_half_m, config.blocks).to(codes)
    everywhere = blocks.expand(len(codes), -1, 3)
    all_of_them = torch.ones_like(everywhere[..., 0], dtype=torch.bool)
    value = valid_distances(field, everywhere, all_of_them, codes=codes)
    first, there = _front(value.abs() <= sqrt(3) * half_m)
    offsets = half_m / 2 * torch.tensor(list(product((-1, 1), repeat=3))).to(codes)
    cells = (blocks[first][:, :, None] + offsets).flatten(1, 2)
    inside = there.repeat_interleave(8, dim=1)
    value = valid_distances(field, cells, inside, codes=codes)
    return cells, inside & (value.abs() <= sqrt(3) * half_m / 2)


def _spread(
    points: Float[Tensor, "b k 3"], valid: Bool[Tensor, "b k"], *, count: int
) -> tuple[Float[Tensor, "b m 3"], Bool[Tensor, "b m"]]:
    """At most `count` of each row's valid points, drawn uniformly with a fixed seed."""
    order = torch.randperm(valid.shape[1], generator=torch.Generator().manual_seed(0)).to(valid.device)
    chosen, there = _front(valid[:, order])
    chosen, there = order[chosen[:, :count]], there[:, :count]
    return points.gather(1, chosen[..., None].expand(-1, -1, 3)), there


def _front(chosen: Bool[Tensor, "b n"]) -> tuple[Tensor, Bool[Tensor, "b m"]]:
    """Indices of the chosen entries of each row, first to last, padded to the longest row (at least 1)."""
    longest = max(1, int(chosen.sum(-1).max())) if len(chosen) else 1
    index = chosen.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[:, :longest]
    return index, chosen.gather(1, index)
