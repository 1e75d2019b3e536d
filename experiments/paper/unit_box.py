"""NOCS-like coordinates for table 11: Z in a unit box, and a scale in the registration (method, section 7).

No second decoder is trained. A shape's field in its unit box is the metric decoder with input and output
divided by the shape's size: f_u(z | h) = f(r z | h) / r. To keep lengths comparable, a "unit" is the mean
size of the known objects, and r is an object's size over it; with r = 1 and no scale everything here is
PNC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from crisp.geometry.align import weighted_procrustes
from crisp.geometry.pose import from_rotation_translation
from crisp.learn.features import Batch, CropFeatures, FeatureStore
from crisp.learn.problem import Problem
from crisp.refine.problem import Observation, Squares, mean_rho, object_points
from crisp.shape.sdf import SignedDistance


@dataclass(frozen=True)
class SizedField:
    """f(r z | h) / r in units of the mean size; the code is h with r appended.

    Args:
        metric: the decoder.
    """

    metric: SignedDistance

    @property
    def cube_half_m(self) -> float:
        return self.metric.cube_half_m

    def __call__(
        self, points_object: Float[Tensor, "*batch n 3"], code: Float[Tensor, "*batch c"]
    ) -> Float[Tensor, "*batch n"]:
        ratio = code[..., -1:]
        return self.metric(points_object * ratio[..., None], code[..., :-1]) / ratio


def box_diagonal_m(vertices: np.ndarray) -> float:
    """Of an upright box around a mesh: what NOCS divides by."""
    return float(np.linalg.norm(np.ptp(vertices, axis=0)))


class UnitBoxStore(FeatureStore):
    """Kept features whose targets are those of unit boxes, times the mean size.

    Args:
        ratio: (K,) size of each object over the mean, in the order of the object ids.
    """

    def __init__(self, shards: Sequence[CropFeatures], ratio: Float[Tensor, " k"]) -> None:
        super().__init__(shards)
        self._ratio = ratio

    def batch(self, indices: np.ndarray, *, tokens: Tensor | None, device: torch.device) -> Batch:
        found = super().batch(indices, tokens=tokens, device=device)
        ratio = self._ratio.to(device)[found.object_index]
        return replace(found, target=found.target / ratio[:, None, None, None])


def unit_box_store(problem: Problem) -> Callable[[Sequence[CropFeatures]], FeatureStore]:
    """For `experiments.support.heads.train_new_heads`."""
    size = torch.tensor([box_diagonal_m(item.mesh.vertices) for item in problem.objects])
    return lambda shards: UnitBoxStore(shards, size / size.mean())


@dataclass(frozen=True, eq=False)
class SizedShapes:
    """The known shapes as both arms of table 11 use them.

    Args:
        field: of codes with r behind them.
        codes: (K, C + 1) of the library.
        size: (K,) of the shapes over their mean: 1 / d_k of (10) in PNC; in unit boxes all are of one size.
        scaled: unit boxes, with the scale of (24).
    """

    field: SizedField
    codes: Float[Tensor, "k c"]
    size: Float[Tensor, " k"]
    scaled: bool

    @classmethod
    def of(
        cls,
        decoder: SignedDistance,
        library: Float[Tensor, "k c"],
        diagonal_m: Float[Tensor, " k"],
        *,
        scaled: bool,
    ) -> SizedShapes:
        size = diagonal_m / diagonal_m.mean()
        ratio = size if scaled else torch.ones_like(size)
        return cls(SizedField(decoder), torch.cat([library, ratio[:, None]], 1), size, scaled)

    def own(self, shape_code: Float[Tensor, "b c"]) -> tuple[Float[Tensor, "b c"], Float[Tensor, " b"]]:
        """The network's codes with r, and their sizes: those of the known shape with the nearest code."""
        nearest = torch.cdist(shape_code, self.codes[:, :-1]).argmin(1)
        return torch.cat([shape_code, self.codes[nearest, -1:]], 1), self.size[nearest]


def aligned(
    pnc: Float[Tensor, "b n 3"], observation: Observation, *, scaled: bool
) -> tuple[Float[Tensor, "b 4 4"], Float[Tensor, " b"]]:
    """(24), or the registration of (7) without its scale: z ~ s T^-1 x; differentiable with respect to Z.

    Returns:
        T_camera_object, and s in units per metre, 1 where not scaled. Both problems have the same rotation.
    """
    weights = observation.valid.to(pnc)
    T = weighted_procrustes(pnc, observation.points_camera, weights)
    if not scaled:
        return T, torch.ones_like(T[:, 0, 0])
    share = (weights / weights.sum(1, keepdim=True).clamp(min=1))[..., None]
    mean = (share * pnc).sum(1)
    about = object_points(T, observation) - mean[:, None]  # both sets have the same mean here
    s = (share * about * (pnc - mean[:, None])).sum((1, 2)) / (share * about.square()).sum((1, 2))
    R, t = T[:, :3, :3], T[:, :3, 3]
    # z = mean + s (R'(x - t) - mean) = s R'(x - t_s)
    t_s = t + (1 - 1 / s)[:, None] * (R @ mean[..., None])[..., 0]
    return from_rotation_translation(R, t_s), s


@dataclass(frozen=True, eq=False)
class Answer:
    """Where the descent stands: row by row of the observation."""

    T: Float[Tensor, "b 4 4"]
    s: Float[Tensor, " b"]
    code: Float[Tensor, "b c"]
    objective: Float[Tensor, " b"]

    def where(self, chosen: Tensor, other: Answer) -> Answer:
        return Answer(
            torch.where(chosen[:, None, None], self.T, other.T),
            torch.where(chosen, self.s, other.s),
            torch.where(chosen[:, None], self.code, other.code),
            torch.where(chosen, self.objective, other.objective),
        )


def descend(
    shapes: SizedShapes,
    observation: Observation,
    pnc: Float[Tensor, "b n 3"],
    code: Float[Tensor, "b c"],
    *,
    iterations: int,
    rate: float,
) -> tuple[Float[Tensor, "b n 3"], Answer]:
    """The published Z step: Adam on Z through the registration; the last Z, and the best answer met."""
    z = pnc.detach().clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=rate)
    best: Answer | None = None
    for number in range(iterations + 1):
        T, s = aligned(z, observation, scaled=shapes.scaled)
        points = s[:, None, None] * object_points(T, observation)
        value = mean_rho(shapes.field(points, code), observation.valid, Squares())
        here = Answer(T.detach().double(), s.detach(), code, value.detach())
        best = here if best is None else here.where(here.objective < best.objective, best)
        if number < iterations:
            adam.zero_grad()
            (value * observation.counts()).sum().backward()
            adam.step()
    assert best is not None
    return z.detach(), best


@torch.no_grad()
def choose_shape(
    shapes: SizedShapes, observation: Observation, answer: Answer, own: tuple[Tensor, Tensor]
) -> Answer:
    """The exact one-hot answer of (10): the least d_k^2 |F_k|^2, the network's own shape among them."""
    points = answer.s[:, None, None] * object_points(answer.T, observation).float()
    own_code, own_size = own
    codes = torch.cat([own_code[:, None], shapes.codes.expand(len(points), -1, -1)], 1)
    sizes = torch.cat([own_size[:, None], shapes.size.expand(len(points), -1)], 1)
    expense = torch.ones_like(sizes) if shapes.scaled else sizes
    columns = [
        mean_rho(shapes.field(points, codes[:, k]), observation.valid, Squares())
        for k in range(codes.shape[1])
    ]
    values = torch.stack(columns, 1)
    chosen = (values / expense.square()).argmin(1)
    rows = torch.arange(len(chosen))
    return replace(answer, code=codes[rows, chosen], objective=values[rows, chosen])
