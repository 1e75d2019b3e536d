"""The active shape decoder (9): known shapes seen by measured points, as one small Gram matrix per object.

f_a(z | c) = sum_k c_k d_k f_d(z | h_k) makes |f_a|^2 over the points a quadratic form c' D F'F D c, so that
all that the shape step, the degeneracy check and several views of one object need is F'F, which just adds up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from crisp.errors import InputError
from crisp.refine.problem import ShapeBasis
from crisp.shape.sdf import SignedDistance
from crisp.shape.surface import SurfacePoints, surface_points

# Per side of the grid that sizes are taken from. On the bundled library 12 are as good as 24 (at most 11 %
# and 14 % off the meshes' boxes) at an eighth of the work, which counts where every object needs it.
BOX_NODES, NETWORK_BOX_NODES = 24, 12
# Decoder evaluations at a time: more of them leave the processor's cache and are slower each.
POINTS_AT_ONCE, CODES_AT_ONCE = 512, 8
MATRIX_AT_ONCE = 1 << 22  # entries of F that exist at a time, in all objects


@dataclass(frozen=True, eq=False)
class ShapeGram:
    """F'F of a batch of objects, without D, and what belongs to it.

    Args:
        matrix: (B, J, J) float64, square metres; J = K known shapes, or K + 1 with h_0 first.
        diameters_m: (B, J), the same order: D = diag(1 / diameters_m).
        points: (B,) how many points were summed.
        has_network: whether the first row and column are h_0's.
    """

    matrix: Float[Tensor, "b j j"]
    diameters_m: Float[Tensor, "b j"]
    points: Float[Tensor, " b"]
    has_network: bool

    def __add__(self, other: ShapeGram) -> ShapeGram:
        """Both sets of points seen as one, for the same shapes (Remark 3).

        Raises:
            InputError: the shapes differ.
        """
        same = self.has_network == other.has_network and torch.equal(self.diameters_m, other.diameters_m)
        if not same:
            raise InputError("Gram matrices add up only over the same shapes: h_0 or the library differs.")
        return replace(self, matrix=self.matrix + other.matrix, points=self.points + other.points)

    def into(self, whole: ShapeGram | None, index: Int[Tensor, " b"], *, rows: int) -> ShapeGram:
        """A copy of `whole` with these rows at `index`; without it, of `rows` objects that saw no point."""
        if whole is None:
            shapes = self.matrix.shape[-1]
            whole = ShapeGram(
                self.matrix.new_zeros(rows, shapes, shapes),
                self.diameters_m.new_ones(rows, shapes),
                self.points.new_zeros(rows),
                self.has_network,
            )
        return ShapeGram(
            whole.matrix.index_copy(0, index, self.matrix),
            whole.diameters_m.index_copy(0, index, self.diameters_m),
            whole.points.index_copy(0, index, self.points),
            self.has_network,
        )

    def scaled(self) -> Float[Tensor, "b j j"]:
        """D F'F D: the quadratic form of (10)."""
        d = 1 / self.diameters_m.double()
        return d[:, :, None] * self.matrix * d[:, None, :]

    def library_only(self) -> ShapeGram:
        """The same without h_0."""
        if not self.has_network:
            return self
        return ShapeGram(self.matrix[:, 1:, 1:], self.diameters_m[:, 1:], self.points, False)


@dataclass(frozen=True, eq=False)
class ActiveShapes:
    """A library and the sizes of its shapes under one field: made once for both, by `of`.

    Args:
        library: S, (K, C).
        diameters_m: (K,), see `box_diameters_m`.
        surfaces: points on each of them, where a search compares them with what the camera saw.
    """

    library: Float[Tensor, "k c"]
    diameters_m: Float[Tensor, " k"]
    surfaces: SurfacePoints | None = None

    @classmethod
    def of(
        cls,
        field: SignedDistance,
        library: Float[Tensor, "k c"],
        *,
        nodes: int = BOX_NODES,
        surfaces: bool = False,
    ) -> ActiveShapes:
        """Measure every shape of a library, on a grid of `nodes` a side.

        Args:
            surfaces: sample points on the shapes, too.
        """
        sizes = box_diameters_m(field, library, nodes=nodes)
        return cls(library, sizes, surface_points(field, library) if surfaces else None)

    def basis(self, field: SignedDistance, network: Float[Tensor, "b c"]) -> ShapeBasis:
        """The basis for objects whose own codes h_0 are `network`, measured here once for all steps."""
        sizes = box_diameters_m(field, network, nodes=NETWORK_BOX_NODES)
        return ShapeBasis(self.library, self.diameters_m, network, network_diameters_m=sizes)


@torch.no_grad()
def box_diameters_m(
    field: SignedDistance, codes: Float[Tensor, "k c"], *, nodes: int = BOX_NODES
) -> Float[Tensor, " k"]:
    """Diagonals of the bounding boxes of {f(. | h_k) <= 0}, metres: 1 / d_k.

    A wall thinner than the grid would fall between its nodes. So the box is that of {f <= l}, which is larger
    by l on every side, with l half the diagonal of a cell: no part of a shape is farther from a node. Sides
    are interpolated along the grid's lines. A shape without a surface counts as one cell: a small size makes
    it expensive in (10), so that it is never chosen for being empty.

    Raises:
        InputError: fewer than 4 nodes a side.
    """
    if nodes < 4:
        raise InputError(f"sizes need a grid of at least 4 nodes a side, got {nodes}.")
    line = torch.linspace(
        -field.cube_half_m, field.cube_half_m, nodes, dtype=codes.dtype, device=codes.device
    )
    step = float(line[1] - line[0])
    level = 0.5 * 3**0.5 * step
    grid = torch.cartesian_prod(line, line, line)
    values = torch.cat([_evaluate(field, grid, code[None]) for code in codes]) - level
    cubes = values.unflatten(-1, (nodes, nodes, nodes))
    sides = []
    for axis in (-3, -2, -1):
        lines = cubes.movedim(axis, -1).flatten(1, 2)
        side = step * (_last_inside(lines) + _last_inside(lines.flip(-1)) - (nodes - 1)) - 2 * level
        sides.append(side.clamp(min=step))
    return torch.stack(sides).norm(dim=0)


def _last_inside(lines: Float[Tensor, "k m n"]) -> Float[Tensor, " k"]:
    """The largest place along any line, in nodes, where values turn positive; 0 where none is negative."""
    place = torch.arange(lines.shape[-1], dtype=lines.dtype, device=lines.device)
    inside = lines <= 0
    here, following = lines[..., :-1], lines[..., 1:]
    share = here / torch.where(inside[..., :-1] & ~inside[..., 1:], here - following, 1.0)
    leaves = torch.where(inside[..., :-1] & ~inside[..., 1:], place[:-1] + share, 0.0)
    within = torch.where(inside, place, 0.0)
    return torch.maximum(leaves.amax((-1, -2)), within.amax((-1, -2)))


@torch.no_grad()
def shape_gram(
    field: SignedDistance,
    pnc: Float[Tensor, "b n 3"],
    valid: Bool[Tensor, "b n"],
    *,
    basis: ShapeBasis,
    with_network: bool = True,
) -> ShapeGram:
    """F(Z)'F(Z) with F(Z)_ik = f(z_i | h_k), for every object; points that are not valid are rows of zeros.

    The known codes are evaluated at the points of all objects together, and memory stays bounded for any
    number of codes and points. Differences between columns matter, so products are summed in float64.

    Args:
        pnc: Z, metres, object frame.
        with_network: h_0 becomes the first column.
    """
    objects, count = valid.shape
    columns = len(basis.library) + int(with_network)
    matrix = torch.zeros(objects, columns, columns, dtype=torch.float64, device=pnc.device)
    for chosen in _portions(count, MATRIX_AT_ONCE // (objects * columns)):
        F = distance_matrix(field, pnc[:, chosen], valid[:, chosen], basis=basis, with_network=with_network)
        matrix += F.double().mT @ F.double()
    sizes = basis.diameters_m.expand(objects, -1)
    if with_network:
        sizes = torch.cat([_network_diameters_m(field, basis)[:, None], sizes], dim=1)
    return ShapeGram(matrix, sizes, valid.sum(-1).double(), with_network)


def _network_diameters_m(field: SignedDistance, basis: ShapeBasis) -> Float[Tensor, " b"]:
    if basis.network_diameters_m is not None:
        return basis.network_diameters_m
    return box_diameters_m(field, basis.network, nodes=NETWORK_BOX_NODES)


@torch.no_grad()
def distance_matrix(
    field: SignedDistance,
    pnc: Float[Tensor, "b n 3"],
    valid: Bool[Tensor, "b n"],
    *,
    basis: ShapeBasis,
    with_network: bool = True,
) -> Float[Tensor, "b n j"]:
    """F(Z), (B, N, J) metres: see `shape_gram`, which never needs it whole."""
    points = torch.where(valid[..., None], pnc, 0.0)
    objects, count = valid.shape
    columns = (
        _evaluate(field, points.flatten(0, 1), basis.library).unflatten(1, (objects, count)).permute(1, 2, 0)
    )
    if with_network:
        columns = torch.cat([field(points, basis.network)[..., None], columns], dim=-1)
    return torch.where(valid[..., None], columns, 0.0)


def _evaluate(
    field: SignedDistance, points: Float[Tensor, "n 3"], codes: Float[Tensor, "k c"]
) -> Float[Tensor, "k n"]:
    """Every point under every code, in portions that suit the processor's cache."""
    rows = []
    for some in _portions(len(codes), CODES_AT_ONCE):
        parts = [
            field(points[chosen].expand(len(codes[some]), -1, -1), codes[some])
            for chosen in _portions(len(points), POINTS_AT_ONCE)
        ]
        rows.append(torch.cat(parts, dim=1))
    return torch.cat(rows)


def _portions(count: int, size: int) -> Iterator[slice]:
    size = max(size, 1)
    return (slice(start, start + size) for start in range(0, count, size))
