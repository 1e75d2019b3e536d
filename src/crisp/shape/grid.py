"""Known shapes on a regular grid: signed distances by look-up instead of by the network (method, section 12).

A known shape's decoder need not be asked again and again: its values on a grid over the cube, interpolated
trilinearly, satisfy `SignedDistance` at a small part of the cost, with the interpolant's own gradient.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from crisp.errors import InputError
from crisp.shape.sdf import SignedDistance, clamp_to_cube

NODES = 64
POINTS_AT_ONCE = 2**15  # nodes that go through the decoder in one call
# Stored distances are asinh(f / BEND_M) in steps of STEP: .1 mm apart at the surface, 1 mm at 5 cm.
BEND_M, STEP = 0.005, 0.02


@dataclass(frozen=True, eq=False)
class ShapeGrids:
    """K shapes as signed distances at the nodes of one grid; satisfies `SignedDistance`.

    The code of a shape is its index: a row of one number. Outside the cube a value continues as
    f(clamp(z)) + |z - clamp(z)| (method, section 6).

    Args:
        values_m: (K, G, G, G) metres, float32, at the nodes of the cube, x slowest.
        cube_half_m: half the cube's side, metres.

    Raises:
        InputError: fewer than two nodes a side, or values that are not finite.
    """

    values_m: Float[Tensor, "k g g g"]
    cube_half_m: float

    def __post_init__(self) -> None:
        if self.values_m.shape[-1] < 2:
            raise InputError("the grids of known shapes need at least two nodes a side.")
        if not torch.isfinite(self.values_m).all():
            raise InputError("the grids of known shapes must hold finite distances.")

    @classmethod
    @torch.no_grad()
    def of(cls, field: SignedDistance, codes: Float[Tensor, "k c"], *, nodes: int = NODES) -> ShapeGrids:
        """Ask a field for its values at all nodes.

        Args:
            field: whose shapes they are.
            codes: of the K shapes.
            nodes: G, of a side of the cube.
        """
        at = torch.linspace(-field.cube_half_m, field.cube_half_m, nodes, device=codes.device)
        points = torch.cartesian_prod(at, at, at).to(codes)
        rows = [
            torch.cat([field(part[None], code[None])[0] for part in points.split(POINTS_AT_ONCE)])
            for code in codes
        ]
        values = torch.stack(rows) if rows else points.new_zeros(0, len(points))
        return cls(values.float().view(-1, nodes, nodes, nodes), field.cube_half_m)

    def packed(self) -> UInt8[Tensor, " bytes"]:
        """As few bytes, some 60 kB a shape: fine steps near the surface, differences, LZMA."""
        steps = np.rint(np.arcsinh(self.values_m.cpu().numpy().astype(np.float64) / BEND_M) / STEP)
        steps = steps.astype("<i2")
        for axis in (1, 2, 3):
            steps = np.diff(steps, axis=axis, prepend=np.int16(0))
        return torch.frombuffer(bytearray(lzma.compress(steps.tobytes())), dtype=torch.uint8)

    @classmethod
    def unpacked(
        cls, packed: UInt8[Tensor, " bytes"], *, shapes: int, nodes: int, cube_half_m: float
    ) -> ShapeGrids:
        """The grids of `packed`, each value within half a step.

        Raises:
            InputError: the bytes are not those of so many grids of this size.
        """
        size = 2 * shapes * nodes**3
        try:
            reader = lzma.LZMADecompressor(memlimit=2**27)
            text = reader.decompress(packed.numpy().tobytes(), max_length=size + 1)
        except lzma.LZMAError as error:
            raise InputError(f"the grids of the known shapes are damaged: {error}.") from error
        if len(text) != size or not reader.eof:
            raise InputError(f"the grids of the known shapes are not {shapes} of {nodes} nodes a side.")
        steps = np.frombuffer(text, dtype="<i2").reshape(shapes, nodes, nodes, nodes)
        for axis in (1, 2, 3):
            steps = steps.cumsum(axis=axis, dtype=np.int16)
        values = BEND_M * np.sinh(STEP * steps.astype(np.float64))
        return cls(torch.from_numpy(values.astype(np.float32)), cube_half_m)

    def __len__(self) -> int:
        return len(self.values_m)

    @property
    def codes(self) -> Float[Tensor, "k 1"]:
        """The code of each shape: its index."""
        return torch.arange(len(self), device=self.values_m.device, dtype=torch.float32)[:, None]

    def __call__(
        self, points_object: Float[Tensor, "*batch n 3"], code: Float[Tensor, "*batch 1"]
    ) -> Float[Tensor, "*batch n"]:
        """f(z | h), metres; differentiable in z, not in the index.

        Raises:
            IndexError: no shape has this index.
        """
        inside, beyond = clamp_to_cube(points_object, self.cube_half_m)
        shape = code[..., 0].round().long()
        if shape.numel() and not 0 <= int(shape.min()) <= int(shape.max()) < len(self):
            raise IndexError(
                f"there are {len(self)} shapes, got an index from {shape.min()} to {shape.max()}"
            )
        return _Trilinear.apply(inside, self.values_m, shape, self.cube_half_m) + beyond


class _Trilinear(torch.autograd.Function):
    """Value and gradient in one look: the eight corners are read once and serve both."""

    @staticmethod
    def forward(
        ctx: Any,
        points: Float[Tensor, "*batch n 3"],
        values_m: Float[Tensor, "k g g g"],
        shape: Int[Tensor, "*batch"],
        cube_half_m: float,
    ) -> Float[Tensor, "*batch n"]:
        nodes = values_m.shape[-1]
        per_m = (nodes - 1) / (2 * cube_half_m)
        x = (points + cube_half_m) * per_m
        low = x.detach().floor().clamp(0, nodes - 2)
        u, v, w = (x - low).unbind(-1)
        i, j, k = low.long().unbind(-1)
        first = ((shape[..., None] * nodes + i) * nodes + j) * nodes + k
        corners = values_m.view(-1)[first[..., None] + _offsets(nodes, first.device)].to(points)
        # Along z, then y, then x; what is left over at each turn is the slope along that axis.
        near, step = corners[..., 0::2], corners[..., 1::2] - corners[..., 0::2]
        c = near + w[..., None] * step  # (.., 4): (x0 y0), (x0 y1), (x1 y0), (x1 y1)
        d0, d1 = c[..., 1] - c[..., 0], c[..., 3] - c[..., 2]
        e0, e1 = c[..., 0] + v * d0, c[..., 2] + v * d1
        if ctx.needs_input_grad[0]:
            s0 = step[..., 0] + v * (step[..., 1] - step[..., 0])
            s1 = step[..., 2] + v * (step[..., 3] - step[..., 2])
            slope = torch.stack([e1 - e0, d0 + u * (d1 - d0), s0 + u * (s1 - s0)], dim=-1)
            ctx.save_for_backward(slope * per_m)
        return e0 + u * (e1 - e0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, None]:
        (slope,) = ctx.saved_tensors
        return grads[0][..., None] * slope, None, None, None


def _offsets(nodes: int, device: torch.device) -> Int[Tensor, " 8"]:
    """From a cell's first corner to all eight, z fastest."""
    steps = [(a * nodes + b) * nodes + c for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    return torch.tensor(steps, device=device)
