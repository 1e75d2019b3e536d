"""Some of the points of every object: indices into padded batches, and what they point at."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def valid_first(valid: Bool[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """Indices of each object's valid points in their order, then of the others."""
    return (~valid).to(torch.uint8).argsort(dim=-1, stable=True)


def gather_points(points: Float[Tensor, "b n 3"], index: Int[Tensor, "b ..."]) -> Float[Tensor, "b ... 3"]:
    """The points at the indices."""
    flat = index.flatten(1).unsqueeze(-1).expand(-1, -1, 3)
    return points.gather(1, flat).unflatten(1, tuple(index.shape[1:]))


def scoring_subset(valid: Bool[Tensor, "b n"], size: int) -> tuple[Int[Tensor, "b m"], Bool[Tensor, "b m"]]:
    """At most `size` points per object, evenly spaced among its valid ones: indices, and which count."""
    wanted = min(size, valid.shape[1])
    count = valid.sum(-1, keepdim=True)
    used = count.clamp(max=wanted)
    k = torch.arange(wanted, device=valid.device).expand(len(valid), -1)
    counts = k < used
    rank = torch.where(counts, (k * count) // used.clamp(min=1), 0)
    return valid_first(valid).gather(1, rank), counts


def take_points(
    points: Float[Tensor, "b n 3"], index: Int[Tensor, "b m"], counts: Bool[Tensor, "b m"]
) -> Float[Tensor, "b m 3"]:
    """The points of a `scoring_subset`; zeros where it has none."""
    return torch.where(counts.unsqueeze(-1), gather_points(points, index), 0.0)


def thinned(
    points: Float[Tensor, "b n 3"], valid: Bool[Tensor, "b n"], most: int
) -> tuple[Float[Tensor, "b m 3"], Bool[Tensor, "b m"]]:
    """At most `most` valid points per object, evenly spaced among them, and which count."""
    index, counts = scoring_subset(valid, most)
    return take_points(points, index, counts), counts
