"""The simplex {c : c >= 0, 1'c = 1}: projection onto it, and the quadratic programme (10) on it."""

from __future__ import annotations

import numpy as np
import piqp
import torch
from jaxtyping import Float
from torch import Tensor

from crisp.errors import InputError

TOLERANCE = 1e-12  # of the interior point method; columns have length 1, so the objective is at most 1
MAX_ITERATIONS = 250


def project_simplex(values: Float[Tensor, "*b k"]) -> Float[Tensor, "*b k"]:
    """The nearest point of the simplex, by sorting: max(v - tau, 0) with the one tau that makes the sum 1."""
    ordered = values.sort(dim=-1, descending=True).values
    # Relative to the largest value, or large values would swallow the 1.
    top = ordered[..., :1]
    excess = (ordered - top).cumsum(-1) - 1
    rank = torch.arange(1, values.shape[-1] + 1, dtype=values.dtype, device=values.device)
    kept = ((ordered - top) * rank > excess).sum(-1, keepdim=True)
    tau = excess.gather(-1, kept - 1) / kept
    return (values - top - tau).clamp(min=0)


@torch.no_grad()
def simplex_qp(
    gram: Float[Tensor, "*b k k"], *, max_iterations: int = MAX_ITERATIONS
) -> Float[Tensor, "*b k"]:
    """c minimising c'Gc over the simplex (10), by an interior point method, in float64; without gradient.

    Singular matrices are welcome (some minimum is returned), and so are columns of very different lengths.

    Args:
        gram: G = A'A, (..., K, K), positive semidefinite up to rounding.
        max_iterations: where they do not suffice, the better of the last point and the best single column.

    Raises:
        InputError: entries that are not finite.
    """
    if not gram.isfinite().all():
        raise InputError("the Gram matrix of the shapes has entries that are not finite: check the points.")
    problems = gram.double().cpu().numpy().reshape(-1, *gram.shape[-2:])
    found = np.empty(problems.shape[:-1])
    for row, problem in zip(found, problems, strict=True):
        row[:] = _solve(problem, max_iterations)
    return torch.from_numpy(found.reshape(gram.shape[:-1])).to(gram.device)


def _solve(gram: Float[np.ndarray, "k k"], max_iterations: int) -> Float[np.ndarray, " k"]:
    """In y = c * length, in which all columns have length 1 and no scale is left in the objective.

    With the shortest column as the unit of length its own objective is 1, so that the optimum is one of
    ordinary size whatever the lengths are, unless it is 0.
    """
    squared = gram.diagonal()
    shortest = int(squared.argmin())
    best_column = np.zeros(len(gram))
    best_column[shortest] = 1.0
    if len(gram) == 1 or squared[shortest] <= 0:  # a shape that fits exactly
        return best_column
    inverse = 1 / np.sqrt(squared)
    solver = _solver(max_iterations)
    cosines = gram * inverse[:, None] * inverse
    share = inverse / inverse[shortest]
    nothing = np.zeros(len(gram))
    solver.setup(cosines, nothing, share[None], np.ones(1), None, None, None, nothing, None)
    status = solver.solve()
    weights = np.maximum(solver.result.x * share, 0)
    total = weights.sum()
    if not 0 < total < np.inf:
        return best_column
    weights /= total
    solved = status == piqp.PIQP_SOLVED or weights @ gram @ weights <= squared[shortest]
    return weights if solved else best_column


def _solver(max_iterations: int) -> piqp.DenseSolver:
    solver = piqp.DenseSolver()
    settings = solver.settings
    settings.eps_abs = settings.eps_rel = TOLERANCE
    settings.eps_duality_gap_abs = settings.eps_duality_gap_rel = TOLERANCE
    settings.max_iter = max_iterations
    return solver
