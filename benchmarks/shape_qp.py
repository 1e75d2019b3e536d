"""The quadratic programme of the shape step: its accuracy against Clarabel, and its speed.

    python -m benchmarks.shape_qp [--quick]

Exactness: 200 random problems of 2 to 200 shapes, seven of eight degenerate or badly scaled. The reference is
Clarabel at tight tolerances, called twice for each problem: as it stands, and in columns of one length; the
lower objective counts. Objectives are evaluated in extended precision. A difference is relative to the
optimum, or to trace(G) / K where the optimum is 0. A bound that needs no other solver stands beside it.

Speed, at 22 shapes and 1000 points, in processor time, in turn on one thread: from F and D to c, against a
cvxpy model that is built and solved in each call, as the public code does; from the Gram matrix to c, against
Clarabel called directly, with all set-up in each call, and with all that can be prepared beforehand.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import clarabel
import cvxpy
import numpy as np
import torch
from experiments.support.evidence import Claim, write_evidence
from scipy import sparse

from crisp.refine.shape_step import simplex_qp

RESULTS = Path(__file__).parent / "results"
KINDS = ("plain", "fewer rows", "repeated", "zero column", "column scales", "alike", "one fits", "two fit")
LARGEST_K, SHAPES, POINTS = 200, 22, 1000
TIGHT = 1e-14
BLOCK = {"ours": 50, "ours from F": 50, "prepared": 20, "clarabel": 10}  # calls that are timed together
Array = np.ndarray


@dataclass(frozen=True)
class Problem:
    """A = F D, whose Gram matrix is the problem."""

    kind: str
    A: Array

    @property
    def gram(self) -> Array:
        G = self.A.T @ self.A
        return (G + G.T) / 2


def problems(count: int, seed: int = 0) -> Iterator[Problem]:
    """K is log-uniform in 2..200; residuals share a part, as of similar shapes; units 1e-6 to 1e3."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        kind, K = KINDS[index % len(KINDS)], round(2 * (LARGEST_K / 2) ** rng.uniform())
        shared = rng.uniform(-1, 1, (4 * K + 20, 1)) * rng.uniform(0.2, 2)
        A = 0.3 * rng.standard_normal((4 * K + 20, K)) + shared
        A = _degenerate(A, kind, rng)
        yield Problem(kind, A * 10 ** rng.uniform(-6, 3))


def _degenerate(A: Array, kind: str, rng: np.random.Generator) -> Array:
    K = A.shape[1]
    if kind == "fewer rows":
        A = A[: max(1, K // 2)]
    elif kind == "repeated":
        A[:, rng.integers(0, K, max(1, K // 2))] = A[:, [0]]
    elif kind == "zero column":
        A[:, rng.integers(K)] = 0
    elif kind == "column scales":
        A = A * 10 ** rng.uniform(-6, 3, K)
    elif kind == "alike":
        A = A[:, :1] + 1e-5 * rng.standard_normal(A.shape)
    elif kind == "one fits":
        A[:, rng.integers(K)] *= 1e-4
    elif kind == "two fit":  # their residuals are opposite up to 1e-2: a mixture fits, neither does alone
        A[:, 1] = -A[:, 0] * rng.uniform(0.5, 2) + 1e-2 * A[:, 1]
    return A


def by_clarabel(gram: Array, share: Array, tolerance: float | None = None) -> Array:
    """min y'Gy, share'y = 1, y >= 0: everything set up, as in any direct call."""
    K = len(gram)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    if tolerance is not None:
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
        settings.max_iter = 500
    constraints = sparse.vstack([sparse.csc_matrix(share[None]), -sparse.identity(K)], format="csc")
    bounds = np.concatenate([[1.0], np.zeros(K)])
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(K)]
    P = sparse.triu(sparse.csc_matrix(2 * gram), format="csc")
    solver = clarabel.DefaultSolver(P, np.zeros(K), constraints, bounds, cones, settings)
    return np.array(solver.solve().x)


class PreparedClarabel:
    """All that does not depend on the matrix's entries is made beforehand, even the pattern of the matrix."""

    def __init__(self, K: int) -> None:
        self.rows, self.columns = (index for index in np.tril_indices(K)[::-1])
        self.pattern = sparse.csc_matrix((np.ones(len(self.rows)), (self.rows, self.columns)), (K, K))
        self.rows, self.columns = self.pattern.indices, np.repeat(np.arange(K), np.diff(self.pattern.indptr))
        self.nothing, self.bounds = np.zeros(K), np.concatenate([[1.0], np.zeros(K)])
        self.constraints = sparse.vstack([sparse.csc_matrix(np.ones((1, K))), -sparse.identity(K)], "csc")
        self.cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(K)]
        self.settings = clarabel.DefaultSettings()
        self.settings.verbose = False

    def __call__(self, gram: Array) -> Array:
        self.pattern.data[:] = 2 * gram[self.rows, self.columns]
        solver = clarabel.DefaultSolver(
            self.pattern, self.nothing, self.constraints, self.bounds, self.cones, self.settings
        )
        return np.array(solver.solve().x)


def by_cvxpy(F: Array, d: Array) -> Array:
    """The model as one writes it down: variable, sum of squares, constraints; built each time."""
    c = cvxpy.Variable(F.shape[1])
    objective = cvxpy.Minimize(cvxpy.sum_squares(F @ np.diag(d) @ c))
    cvxpy.Problem(objective, [c >= 0, cvxpy.sum(c) == 1]).solve()
    return np.asarray(c.value)


def ours(F: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
    A = F * d
    return simplex_qp(A.T @ A)


def on_simplex(c: Array) -> Array:
    c = np.maximum(c, 0)
    return c / c.sum()


def value(gram: Array, c: Array) -> float:
    G, c = gram.astype(np.longdouble), c.astype(np.longdouble)
    return float(c @ G @ c)


def reference(gram: Array) -> float:
    """The lower of Clarabel's two answers."""
    found = [on_simplex(by_clarabel(gram / np.trace(gram), np.ones(len(gram)), TIGHT))]
    length = np.sqrt(gram.diagonal())
    if length.min() > 0:
        share = length.min() / length
        cosines = gram / length[:, None] / length
        found.append(on_simplex(by_clarabel(cosines, share, TIGHT) * share))
    return min(value(gram, c) for c in found if np.isfinite(c).all())


@dataclass(frozen=True)
class Difference:
    """Of one problem, relative: to Clarabel's objective, and at most to the optimum."""

    kind: str
    K: int
    optimum_is_zero: bool
    to_clarabel: float
    bound: float


def difference(problem: Problem) -> Difference:
    gram = problem.gram
    c = simplex_qp(torch.from_numpy(gram)).numpy()
    mine, theirs, size = value(gram, c), reference(gram), np.trace(gram) / len(gram)
    # Rounding of the Gram matrix's own entries hides what lies below this.
    zero = problem.kind == "zero column" or (theirs < 1e-13 * size and problem.kind == "fewer rows")
    unit = size if zero else theirs
    slope = float((gram.astype(np.longdouble) @ c.astype(np.longdouble)).min())
    return Difference(problem.kind, len(gram), zero, (mine - theirs) / unit, 2 * (mine - slope) / unit)


def seconds_each(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of processor time a call, of blocks of calls in turn.

    On a busy machine wall time includes other programs, and is biased towards short runs that end before the
    first interruption. Calls are timed in blocks, because the first call after another run has cold caches.
    """
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            calls = BLOCK.get(name, 1)
            if calls > 1:
                run()
            start = time.process_time()
            for _ in range(calls):
                run()
            taken[name].append((time.process_time() - start) / calls)
    return taken


def shapes_seen(seed: int = 0) -> tuple[Array, Array]:
    """F of 1000 points and 22 shapes of 5 to 25 cm, residuals of millimetres to centimetres, and d."""
    rng = np.random.default_rng(seed)
    scale = 10 ** rng.uniform(-2.7, -1.7, SHAPES)
    F = scale * (rng.standard_normal((POINTS, SHAPES)) + rng.standard_normal((POINTS, 1)) + 0.5)
    return F, 1 / rng.uniform(0.05, 0.25, SHAPES)


def speed_claims(repeats: int) -> list[Claim]:
    F, d = shapes_seen()
    gram = (F * d).T @ (F * d)
    prepared, tensor = PreparedClarabel(SHAPES), torch.from_numpy(gram)
    runs: dict[str, Callable[[], object]] = {
        "ours from F": partial(ours, torch.from_numpy(F), torch.from_numpy(d)),
        "cvxpy": partial(by_cvxpy, F, d),
        "ours": partial(simplex_qp, tensor),
        "clarabel": partial(by_clarabel, gram, np.ones(SHAPES)),
        "prepared": partial(prepared, gram),
    }
    objectives = [value(gram, on_simplex(np.asarray(run()))) for run in runs.values()]  # also the warm-up
    taken = seconds_each(runs, repeats)

    def faster(slow: str, fast: str, what: str, goal: str) -> Claim:
        ratio = [a / b for a, b in zip(taken[slow], taken[fast], strict=True)]
        spread = (min(ratio), max(ratio))
        return Claim(f"{what} (interval: range)", goal, statistics.median(ratio), spread, "times")

    def milliseconds(name: str, what: str) -> Claim:
        times = [1000 * t for t in taken[name]]
        return Claim(f"{what} (interval: range)", "report", statistics.median(times),
                     (min(times), max(times)), "ms")  # fmt: skip

    return [
        faster("cvxpy", "ours from F", "22 shapes, 1000 points: against the cvxpy model, built each time",
               ">= 100"),
        faster("clarabel", "ours", "22 shapes: against Clarabel called directly, set-up in each call",
               ">= 8"),
        faster("prepared", "ours", "22 shapes: against Clarabel with its set-up prepared beforehand",
               "report"),
        milliseconds("ours", "22 shapes: one problem from its Gram matrix"),
        milliseconds("ours from F", "22 shapes, 1000 points: one problem from F and D"),
        milliseconds("cvxpy", "22 shapes, 1000 points: the cvxpy model"),
        milliseconds("clarabel", "22 shapes: Clarabel called directly"),
        Claim("spread of the objectives of all five in the timed problem, relative", "report",
              max(objectives) / min(objectives) - 1),
    ]  # fmt: skip


def exactness_claims(found: list[Difference]) -> list[Claim]:
    zero = sum(d.optimum_is_zero for d in found)
    worst = min(found, key=lambda d: d.to_clarabel)
    return [
        Claim("problems, 2 to 200 shapes", ">= 200", float(len(found)), unit="problems"),
        Claim("objective above Clarabel's, largest, relative", "<= 1e-8",
              max(d.to_clarabel for d in found)),
        Claim("largest distance to the optimum by a bound without Clarabel, relative", "<= 1e-8",
              max(d.bound for d in found)),
        Claim(f"objective below Clarabel's, largest, relative ({worst.kind}, K = {worst.K})", "report",
              max(0.0, -worst.to_clarabel)),
        Claim("problems where Clarabel's best is more than 1e-8 above ours", "report",
              float(sum(d.to_clarabel < -1e-8 for d in found)), unit="problems"),
        Claim("problems whose optimum is 0 (differences there are shares of trace(G) / K)", "report",
              float(zero), unit="problems"),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats of the timing")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="cvxpy")
    start = time.perf_counter()
    repeats = 5 if quick else 31
    claims = exactness_claims([difference(problem) for problem in problems(200)]) + speed_claims(repeats)
    settings = {
        "kinds": KINDS,
        "seed": 0,
        "clarabel_tolerance": TIGHT,
        "shapes": SHAPES,
        "points": POINTS,
        "repeats": repeats,
        "calls_timed_together": BLOCK,
        "threads": 1,
        "versions": {"clarabel": clarabel.__version__, "cvxpy": cvxpy.__version__},
    }
    seconds = time.perf_counter() - start
    write_evidence("shape_qp", claims, settings=settings, seconds=seconds, folder=RESULTS, quick=quick)


if __name__ == "__main__":
    main()
