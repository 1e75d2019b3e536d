"""The simplex {c : c >= 0, 1'c = 1}: projection onto it, and the quadratic programme (10) on it."""

from __future__ import annotations

import numpy as np
import piqp
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crisp.errors import InputError

TOLERANCE = 1e-12  # of the interior point method, absolute, where the best single column's objective is 1
ACCURACY = 1e-9  # of the objective, relative to the optimum
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
    problems = gram.detach().double().cpu().numpy()
    if not np.isfinite(problems).all():
        raise InputError("the Gram matrix of the shapes has entries that are not finite: check the points.")
    found = np.empty(problems.shape[:-1])
    for place in np.ndindex(found.shape[:-1]):
        found[place] = _solve(problems[place], max_iterations)
    return torch.from_numpy(found).to(gram.device)


def _solve(gram: Float[np.ndarray, "k k"], max_iterations: int) -> Float[np.ndarray, " k"]:
    """In y = c * length, in which all columns have length 1 and no scale is left in the objective.

    With the shortest column as the unit of length its own objective is 1, so that the optimum is one of
    ordinary size whatever the lengths are, unless a mixture fits much better than any single column.
    """
    squared = gram.diagonal()
    shortest = int(squared.argmin())
    best_column = np.zeros(len(gram))
    best_column[shortest] = 1.0
    if len(gram) == 1 or squared[shortest] <= 0:  # nothing to choose, or a shape that fits exactly
        return best_column
    inverse = 1 / np.sqrt(squared)
    cosines = gram * inverse[:, None] * inverse
    share = inverse / inverse[shortest]
    weights = _interior_point(cosines, share, max_iterations)
    better = weights is not None and weights @ cosines @ weights <= 1
    if weights is None or not better:
        return best_column
    return weights * share / (weights @ share)


def _interior_point(
    cosines: Float[np.ndarray, "k k"], share: Float[np.ndarray, " k"], max_iterations: int
) -> Float[np.ndarray, " k"] | None:
    """y >= 0 with share'y = 1 minimising y'Cy; None where the solver has nothing to show."""
    solver = piqp.DenseSolver()
    settings = solver.settings
    settings.eps_abs = settings.eps_rel = TOLERANCE
    settings.eps_duality_gap_abs = settings.eps_duality_gap_rel = TOLERANCE
    settings.max_iter = max_iterations
    nothing = np.zeros(len(share))
    solver.setup(cosines, nothing, share[None], np.ones(1), None, None, None, nothing, None)
    solver.solve()
    y = np.maximum(solver.result.x, 0)
    total = share @ y
    if not 0 < total < np.inf:
        return None
    y /= total
    if _gap(cosines, share, y) > ACCURACY:
        # The solver's tolerance is absolute. Where a mixture fits very well only one more solution, of the
        # linear system of the columns that take part, reaches a relative one.
        polished = _on_support(cosines, share, solver.result.x > solver.result.z_bl)
        if polished is not None and _gap(cosines, share, polished) < _gap(cosines, share, y):
            return polished
    return y


def _gap(
    cosines: Float[np.ndarray, "k k"], share: Float[np.ndarray, " k"], y: Float[np.ndarray, " k"]
) -> float:
    """A bound on how far y'Cy is above its minimum, relative, by convexity."""
    slope = cosines @ y
    value = y @ slope
    return 2 * (value - (slope / share).min()) / value if value > 0 else 0.0


def _on_support(
    cosines: Float[np.ndarray, "k k"], share: Float[np.ndarray, " k"], support: Bool[np.ndarray, " k"]
) -> Float[np.ndarray, " k"] | None:
    """The minimum over y that is zero off the support, if it is unique and not negative anywhere."""
    try:
        part = np.linalg.solve(cosines[np.ix_(support, support)], share[support])
    except np.linalg.LinAlgError:  # equal columns: no unique minimum
        return None
    total = share[support] @ part
    if not 0 < total < np.inf or part.min() < 0:
        return None
    y = np.zeros(len(share))
    y[support] = part / total
    return y
