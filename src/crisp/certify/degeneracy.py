"""Does the data tell shapes apart? (method, section 5)

|F(Z) D c|^2 = c' D F'F D c (19). A singular F'F is necessary for several shapes to explain the data, but not
sufficient: one shape that fits perfectly makes it singular too. What decides is whether *moving between*
shapes costs something, which is the smallest eigenvalue on the simplex's tangent space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import add
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crisp.errors import InputError, needing
from crisp.refine.active_shape import ShapeGram


@dataclass(frozen=True, eq=False)
class Degeneracy:
    """How well the points of each object tell shapes apart.

    Args:
        lambda_min: (B,) square metres: smallest eigenvalue of F'F / points, with h_0 where it is in the
            basis; the published measure.
        mu: (B,) without unit: smallest eigenvalue of D F'F D / points, of the known shapes alone, on
            {v : 1'v = 0}. Small only where some shapes can be exchanged at no cost. Infinite for a library
            of one shape, which leaves nothing to choose.
        points: (B,) how many points were seen.
    """

    lambda_min: Float[Tensor, " b"]
    mu: Float[Tensor, " b"]
    points: Float[Tensor, " b"]

    def shape_unique(self, threshold: float | None) -> Bool[Tensor, " b"] | None:
        """Whether the data decides on one shape: mu above a calibrated threshold; None where there is none.

        Raises:
            InputError: a threshold that is negative or no number.
        """
        if threshold is None:
            return None
        if not threshold >= 0:
            raise InputError(f"the threshold of mu must not be negative, got {threshold}.")
        return self.mu > threshold


def degeneracy(gram: ShapeGram) -> Degeneracy:
    """Judge the points that a Gram matrix holds: of one frame, or of many that were added up.

    Objects without points count as degenerate: both measures are 0 (with one shape, mu is infinite even so).

    Raises:
        InputError: entries that are not finite.
    """
    if not gram.matrix.isfinite().all():
        raise InputError("the Gram matrix of the shapes has entries that are not finite: check the points.")
    count = gram.points.clamp(min=1).double()
    known = gram.library_only().scaled()
    if known.shape[-1] == 1:
        mu = torch.full_like(count, torch.inf)
    else:
        V = tangent_basis(known.shape[-1]).to(known.device)
        mu = _smallest_eigenvalue(V.T @ known @ V) / count
    return Degeneracy(_smallest_eigenvalue(gram.matrix) / count, mu, gram.points)


def over_keyframes(grams: Sequence[ShapeGram]) -> list[Degeneracy]:
    """The course of `degeneracy` as frames come in (Fig. 9): after the first, the first two, and so on.

    Raises:
        InputError: frames that do not hold the same shapes; h_0 differs from frame to frame, so leave it out.
    """
    return [degeneracy(seen) for seen in accumulate(grams, add)]


def tangent_basis(k: int) -> Float[Tensor, "k j"]:
    """Orthonormal columns that span {v in R^k : 1'v = 0}, float64: Helmert's, k - 1 of them."""
    j = torch.arange(1, k, dtype=torch.float64)
    rows = torch.arange(k)[:, None]
    V = torch.where(rows < j, 1.0, torch.where(rows == j, -j, 0.0))
    return V / (j * (j + 1)).sqrt()


def _smallest_eigenvalue(matrix: Float[Tensor, "b j j"]) -> Float[Tensor, " b"]:
    """Of positive semidefinite matrices, whose smallest may round below 0."""
    return torch.linalg.eigvalsh(matrix)[..., 0].clamp(min=0)


def plot_over_keyframes(
    lambda_min: Float[np.ndarray, "s n"],
    mu: Float[np.ndarray, "s n"],
    path: Path,
    *,
    labels: Sequence[str] = ("",),
    visible_from: int | None = None,
) -> None:
    """Both measures against the number of keyframes, on logarithmic axes, as an image (Fig. 9).

    Args:
        lambda_min, mu: (S, N) after 1, 2, ... N keyframes, for S sets of shapes. What is nine decades below
            the largest is rounding, and not drawn.
        path: of the image; its ending decides the format.
        labels: of the S sets.
        visible_from: from which number of keyframes on the telling part is in view; drawn as a line.
    """
    with needing("report"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.6), layout="constrained")
    number = np.arange(1, mu.shape[1] + 1)
    drawn = ((r"$\lambda_{min}(F'F)$ / points, m²", lambda_min), (r"$\mu$ per point", mu))
    for axes, (label, values) in zip(figure.subplots(1, 2), drawn, strict=True):
        for row, name in zip(values, labels, strict=True):
            axes.plot(
                number, np.where(row > 1e-9 * values.max(), row, np.nan), marker="o", markersize=3, label=name
            )
        axes.set(xlabel="keyframes N", ylabel=label, yscale="log")
        axes.grid(alpha=0.3)
        if visible_from is not None:
            axes.axvline(visible_from, color="grey", linestyle="--", linewidth=1)
    if any(labels):
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=120)
