"""Shape steps: find the shape code while the object points are held (method, section 4).

A step proposes; whoever alternates the steps accepts a proposal only where the objective f_d(z | h) falls,
since Alg. 2 minimises that of the active shape decoder, which only approximates it. Both algorithms work on
the simplex {c : c >= 0, 1'c = 1}: Alg. 1 projects onto it, Alg. 2 solves the quadratic programme (10) on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as default
from typing import Protocol, runtime_checkable

import numpy as np
import piqp
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crisp.errors import InputError
from crisp.geometry.points import thinned
from crisp.refine.active_shape import ShapeGram, shape_gram
from crisp.refine.problem import Kernel, ShapeBasis, Squares, mean_rho
from crisp.shape.sdf import SignedDistance

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


@dataclass(frozen=True, eq=False)
class ShapeFit:
    """Proposed codes.

    Args:
        shape_code: h, (B, C).
        weights: c on the simplex, (B, K), or (B, K + 1) with h_0's first.
        objective: (B,) square metres: mean of rho(f_d(z_i | h)) over the valid points, of the decoder itself.
        gram: what was measured on the way, for the degeneracy check; None where there is none.
    """

    shape_code: Float[Tensor, "b c"]
    weights: Float[Tensor, "b j"]
    objective: Float[Tensor, " b"]
    gram: ShapeGram | None = None


@runtime_checkable
class ShapeStep(Protocol):
    """Finds codes under which the points lie on the surface.

    Args:
        pnc: Z, (B, N, 3) metres, object frame; only valid points count.
        basis: the shapes that may be mixed.
        start: the codes so far, where a step that descends goes on; h_0 where there is none. A step that
            solves its problem exactly needs no start.
    """

    def __call__(
        self,
        field: SignedDistance,
        pnc: Float[Tensor, "b n 3"],
        valid: Bool[Tensor, "b n"],
        *,
        basis: ShapeBasis,
        start: Float[Tensor, "b c"] | None = None,
    ) -> ShapeFit: ...


def shape_objective(
    field: SignedDistance,
    pnc: Float[Tensor, "b n 3"],
    valid: Bool[Tensor, "b n"],
    *,
    code: Float[Tensor, "b c"],
    kernel: Kernel,
) -> Float[Tensor, " b"]:
    """(7) with Z held: mean of rho(f_d(z_i | h)) over the valid points, differentiable in the code."""
    points = torch.where(valid[..., None], pnc, 0.0)
    return mean_rho(field(points, code), valid, kernel)


@dataclass(frozen=True)
class ActiveShape:
    """Alg. 2: the best mixture of the active shape decoder (10), exactly, by one small QP an object.

    Args:
        with_network: h_0 = f_e(I) is a basis shape too, the first (Tab. 13).
        with_sizes: D = diag(d_k); without it every d_k is 1 (Tab. 14).
        mix_by_size: h mixes codes by c_k d_k, normalised, which are the weights of f_a, instead of by c_k.
        one_hot: the single best shape, argmin of d_k^2 |F_k|^2, instead of a mixture.
        points: F is evaluated at most at so many points per object, evenly spaced; None for all of them.
        kernel: of the objective that is reported; (10) itself is of squares.

    Raises:
        InputError: settings that contradict each other.
    """

    with_network: bool = True
    with_sizes: bool = True
    mix_by_size: bool = False
    one_hot: bool = False
    points: int | None = None
    kernel: Kernel = default(default_factory=Squares)

    def __post_init__(self) -> None:
        if self.points is not None and self.points < 1:
            raise InputError(f"the shape step needs at least 1 point, got {self.points}.")
        if self.mix_by_size and self.one_hot:
            raise InputError(
                "one_hot chooses a single shape: mix_by_size has nothing to mix, switch one off."
            )
        if self.mix_by_size and not self.with_sizes:
            raise InputError("mix_by_size needs the sizes D: switch with_sizes on or mix_by_size off.")

    def __call__(
        self,
        field: SignedDistance,
        pnc: Float[Tensor, "b n 3"],
        valid: Bool[Tensor, "b n"],
        *,
        basis: ShapeBasis,
        start: Float[Tensor, "b c"] | None = None,
    ) -> ShapeFit:
        """See `ShapeStep`. Without gradient.

        Raises:
            InputError: valid points that are not finite.
        """
        if self.points is not None:
            pnc, valid = thinned(pnc, valid, self.points)
        gram = shape_gram(field, pnc, valid, basis=basis, with_network=self.with_network)
        weights = self.weights(gram)
        mixture = weights
        if self.mix_by_size:
            mixture = weights / gram.diameters_m.to(weights)
            mixture = mixture / mixture.sum(-1, keepdim=True)
        with torch.no_grad():
            code = _mixed(mixture.to(basis.network), basis, with_network=self.with_network)
            objective = shape_objective(field, pnc, valid, code=code, kernel=self.kernel)
        return ShapeFit(code, weights.to(basis.network), objective, gram)

    def weights(self, gram: ShapeGram) -> Float[Tensor, "b j"]:
        """c of (10) for a Gram matrix, which may hold several views of the object; float64."""
        form = gram.scaled() if self.with_sizes else gram.matrix
        if not self.one_hot:
            return simplex_qp(form)
        cost = form.diagonal(dim1=-2, dim2=-1)
        if not cost.isfinite().all():
            raise InputError("the shapes' distances are not finite at some points: check the points.")
        return torch.nn.functional.one_hot(cost.argmin(-1), cost.shape[-1]).to(cost)


def _mixed(weights: Float[Tensor, "b j"], basis: ShapeBasis, *, with_network: bool) -> Float[Tensor, "b c"]:
    if not with_network:
        return weights @ basis.library
    return weights[:, :1] * basis.network + weights[:, 1:] @ basis.library


@dataclass(frozen=True)
class HullDescent:
    """Alg. 1 (BCD): h = S c in the hull of the known codes, by projected Adam on the simplex.

    It starts from the projected least-squares fit of h_0 (or of the codes so far) in the known codes and
    returns the best of the *projected* iterates, the first included.

    Args:
        iterations: at most 25 as published.
        rate: of Adam.
        keep: share of the points that count, the nearest ones, anew in each iteration; 1 for all. The choice
            carries no gradient. The objective that is reported counts all points.
        tangent: the gradient is projected onto the simplex's plane {1'v = 0} before Adam sees it. False is
            the literal algorithm, which hardly moves where the derivatives of all weights have one sign: Adam
            makes their sizes equal, and the projection takes away what they have in common, which is all.
        points: at most so many of the valid points, evenly spaced, carry the descent; None for all.
        kernel: of the objective.

    Raises:
        InputError: settings that leave nothing to do.
    """

    iterations: int = 25
    rate: float = 1e-2
    keep: float = 1.0
    tangent: bool = True
    points: int | None = None
    kernel: Kernel = default(default_factory=Squares)

    def __post_init__(self) -> None:
        if self.points is not None and self.points < 1:
            raise InputError(f"points must be at least 1 or none, got {self.points}.")
        if self.iterations < 1 or not self.rate > 0:
            raise InputError(
                "descent in the hull needs at least 1 iteration and a positive rate, "
                f"got {self.iterations} and {self.rate}."
            )
        if not 0 < self.keep <= 1:
            raise InputError(f"keep is a share of the points, above 0 and at most 1, got {self.keep}.")

    def __call__(
        self,
        field: SignedDistance,
        pnc: Float[Tensor, "b n 3"],
        valid: Bool[Tensor, "b n"],
        *,
        basis: ShapeBasis,
        start: Float[Tensor, "b c"] | None = None,
    ) -> ShapeFit:
        """See `ShapeStep`. Costs a forward and a backward pass of the decoder for every iteration.

        Raises:
            InputError: valid points that are not finite.
        """
        if not pnc[valid].isfinite().all():
            raise InputError("the object points have numbers that are not finite: check the points.")
        points = torch.where(valid[..., None], pnc, 0.0)
        if self.points is not None:
            points, valid = thinned(points, valid, self.points)
        codes = basis.network if start is None else start
        weights = self._descend(field, points, valid, c=hull_fit(basis.library, codes), library=basis.library)
        with torch.no_grad():
            code = weights @ basis.library
            objective = shape_objective(field, points, valid, code=code, kernel=self.kernel)
        return ShapeFit(code, weights, objective)

    def _descend(
        self,
        field: SignedDistance,
        points: Float[Tensor, "b n 3"],
        valid: Bool[Tensor, "b n"],
        *,
        c: Float[Tensor, "b k"],
        library: Float[Tensor, "k c"],
    ) -> Float[Tensor, "b k"]:
        c.requires_grad_()
        # Gradients are of square metres, hence small: Adam's own floor of 1e-8 would slow it down.
        adam = torch.optim.Adam([c], lr=self.rate, eps=1e-15)
        best, lowest = c.detach().clone(), torch.full_like(c[:, 0], torch.inf).detach()
        for iteration in range(self.iterations + 1):
            with torch.enable_grad():
                cost = self.trimmed(field(points, c @ library), valid)
            better = cost.detach() < lowest
            # A copy: `c` is changed in place by the next step, and the best must not change with it.
            best = torch.where(better[:, None], c.detach(), best)
            lowest = torch.where(better, cost.detach(), lowest)
            if iteration == self.iterations:
                break
            (gradient,) = torch.autograd.grad(cost.sum(), c)
            c.grad = gradient - gradient.mean(-1, keepdim=True) if self.tangent else gradient
            adam.step()
            with torch.no_grad():
                c.copy_(project_simplex(c))
        return best

    def trimmed(self, distance_m: Float[Tensor, "b n"], valid: Bool[Tensor, "b n"]) -> Float[Tensor, " b"]:
        """Mean of rho over the nearest `keep` of the valid points; which these are carries no gradient."""
        return mean_rho(distance_m, valid, self.kernel, trim_quantile=self.keep if self.keep < 1 else None)


@torch.no_grad()
def hull_fit(library: Float[Tensor, "k c"], codes: Float[Tensor, "b c"]) -> Float[Tensor, "b k"]:
    """c_0: the least-squares fit of codes by known codes, projected onto the simplex.

    Exact for codes in the hull of independent known ones. Known codes that depend on each other share their
    weight (the fit of least norm).
    """
    fit = codes.double() @ torch.linalg.pinv(library.double())
    return project_simplex(fit).to(codes)
