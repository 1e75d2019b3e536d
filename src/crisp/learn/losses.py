"""Losses of supervised training (method, section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from crisp.types import Symmetries


def soft_l1(error: Float[Tensor, "*n"], zeta: float) -> Float[Tensor, "*n"]:
    """Equation (20): e^2 / (2 zeta) for |e| <= zeta, |e| - zeta / 2 above; smooth at zeta."""
    size = error.abs()
    return torch.where(size <= zeta, size.square() / (2 * zeta), size - zeta / 2)


def pnc_loss(
    pnc: Float[Tensor, "b n 3"], target: Float[Tensor, "b n 3"], valid: Bool[Tensor, "b n"], *, zeta: float
) -> Float[Tensor, ""]:
    """Soft-L1 summed over xyz, mean over the batch's valid points (equation 20)."""
    per_point = soft_l1(pnc - target, zeta).sum(-1) * valid
    return per_point.sum() / valid.sum().clamp(min=1)


@dataclass(frozen=True, eq=False)
class SymmetryTargets:
    """Symmetries of one object as tensors, for choosing among equivalent targets.

    Args:
        discrete: (S, 4, 4), the identity first.
        axis, offset: of the continuous symmetry, or None.
    """

    discrete: Float[Tensor, "s 4 4"]
    axis: Float[Tensor, " 3"] | None
    offset: Float[Tensor, " 3"] | None

    @classmethod
    def of(cls, symmetries: Symmetries) -> SymmetryTargets:
        identity = torch.eye(4)
        others = [torch.as_tensor(T, dtype=torch.float32) for T in symmetries.discrete]
        axis = offset = None
        if symmetries.continuous:
            axis, offset = (torch.as_tensor(v, dtype=torch.float32) for v in symmetries.continuous[0])
        return cls(torch.stack([identity, *others]), axis, offset)

    @property
    def trivial(self) -> bool:
        return self.axis is None and len(self.discrete) == 1

    def to(self, device: torch.device) -> SymmetryTargets:
        move = (None if v is None else v.to(device) for v in (self.axis, self.offset))
        return SymmetryTargets(self.discrete.to(device), *move)


def closest_equivalent(
    pnc: Float[Tensor, "b n 3"],
    target: Float[Tensor, "b n 3"],
    valid: Bool[Tensor, "b n"],
    *,
    symmetries: SymmetryTargets,
) -> Float[Tensor, "b n 3"]:
    """The target nearest to the prediction, among those that are equivalent under the object's symmetry.

    The rotation about a continuous axis is solved in closed form (Procrustes in the plane), so the minimum is
    exact and not limited to sampled angles. No gradient flows through the choice.
    """
    with torch.no_grad():
        R, t = symmetries.discrete[:, :3, :3], symmetries.discrete[:, :3, 3]
        candidates = torch.einsum("sij,bnj->sbni", R, target) + t[:, None, None]
        if symmetries.axis is not None and symmetries.offset is not None:
            candidates = _turn_to(candidates, pnc, valid, axis=symmetries.axis, offset=symmetries.offset)
        distance = ((candidates - pnc).square().sum(-1) * valid).sum(-1)
        best = distance.argmin(0)
        return candidates[best, torch.arange(len(target), device=target.device)]


def nearest_targets(
    pnc: Float[Tensor, "b n 3"],
    target: Float[Tensor, "b n 3"],
    valid: Bool[Tensor, "b n"],
    *,
    object_index: Int[Tensor, " b"],
    symmetries: Sequence[SymmetryTargets],
) -> Float[Tensor, "b n 3"]:
    """A batch's targets; for objects with a symmetry, the equivalent targets nearest to the prediction."""
    nearest = target.clone()
    for index in object_index.unique().tolist():
        if not symmetries[index].trivial:
            rows = object_index == index
            nearest[rows] = closest_equivalent(
                pnc[rows], target[rows], valid[rows], symmetries=symmetries[index].to(pnc.device)
            )
    return nearest


def _turn_to(
    candidates: Float[Tensor, "s b n 3"],
    pnc: Float[Tensor, "b n 3"],
    valid: Bool[Tensor, "b n"],
    *,
    axis: Float[Tensor, " 3"],
    offset: Float[Tensor, " 3"],
) -> Float[Tensor, "s b n 3"]:
    a = axis / axis.norm()
    centred, wanted = candidates - offset, pnc - offset
    along = (centred @ a)[..., None] * a
    radial = centred - along
    across = torch.linalg.cross(a.expand_as(radial), radial)
    weight = valid[..., None]
    cosine = (radial * wanted * weight).sum((-1, -2))
    sine = (across * wanted * weight).sum((-1, -2))
    angle = torch.atan2(sine, cosine)[..., None, None]
    return offset + along + angle.cos() * radial + angle.sin() * across


@dataclass(frozen=True)
class SdfWeights:
    """Weights of equations (21) and (22); distances in metres.

    Args:
        distance: gamma1, of mean |f - f*| over all points.
        off_surface: gamma2, of mean exp(-100 |f|) over points off the surface.
        eikonal: gamma3, of mean | |grad f| - 1 |.
        focus_m: weights each point's error by 1 / (1 + |f*| / focus_m), normalised to mean 1, so points near
            the surface count more; 0 weights all points alike, as published. It helps thin walls, inside
            which there are few points.
    """

    distance: float = 3e3
    off_surface: float = 2e2
    eikonal: float = 50.0
    focus_m: float = 0.0


def sdf_loss(
    predicted: Float[Tensor, "b n"],
    truth_m: Float[Tensor, "b n"],
    off_surface: Bool[Tensor, "b n"],
    *,
    gradient: Float[Tensor, "b m 3"] | None,
    weights: SdfWeights,
) -> Float[Tensor, ""]:
    """The three terms of (21)-(22), summed. `gradient` is that of f at all or some of the points."""
    error = (predicted - truth_m).abs()
    if weights.focus_m > 0:
        counts = 1 / (1 + truth_m.abs() / weights.focus_m)
        error = error * (counts / counts.mean())
    loss = weights.distance * error.mean()
    if weights.off_surface > 0:
        stray = torch.exp(-100.0 * predicted.abs()) * off_surface
        loss = loss + weights.off_surface * stray.sum() / off_surface.sum().clamp(min=1)
    if weights.eikonal > 0 and gradient is not None:
        loss = loss + weights.eikonal * (gradient.norm(dim=-1) - 1).abs().mean()
    return loss
