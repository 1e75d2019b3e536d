"""A numerical test of Lemma 5: (5) over SE(3) and (7) over Z have equal optima, and Z + Delta solves (5).

It runs in float64 with a fixed shape, on analytic bodies and on the bundled model's decoder with codes of
its library. Points are one camera's view with 1 mm of noise, so that the optimum is not zero. The two
problems are solved independently, each from 50 random starts:

- (5): six numbers xi, T = T_start exp(xi), by SciPy's trust-region least squares on the residuals f(T^-1 x);
- (7): all of Z, by SciPy's L-BFGS through the differentiable registration.

Starts are up to 10 degrees and 1 cm off; those of (7) have 3 mm of noise in each coordinate of Z as well.
Then Delta = R* X + t* 1' - Z at the best Z found, and the gradient of (5) is evaluated at Z + Delta. With
the residuals r and their Jacobian J with respect to xi (radians times the root mean square distance of the
points from the origin), the measure is |J' r| / (|J| |r|), the cosine between the residuals and the changes
that a pose can cause: 0 at a stationary point and at most 1.

    python -m experiments.paper.lemma5 [--quick]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy.optimize import least_squares, minimize
from torch import Tensor

from crisp.geometry import pose
from crisp.geometry.align import GRADIENT_EPS, weighted_procrustes
from crisp.model import load_model
from crisp.refine.pose_step import Evaluation, Posing
from crisp.refine.problem import Observation, Squares, State, object_points, objective
from crisp.shape.sdf import SignedDistance
from experiments.paper.single_view import (
    bodies,
    camera_pose,
    displaced,
    problem_at,
    viewpoints,
    visible_points,
)
from experiments.support.evidence import RESULTS, Claim, write_evidence

STARTS, POINTS, NOISE_M = 50, 80, 1e-3
TURN_DEG, SHIFT_M, Z_NOISE_M = 10.0, 0.01, 3e-3
UNDAMPED = 1e-12
DAMPED_STARTS = 3  # of (7), also with the registration's default damping
LEARNED = ("box_milk", "mug_blue", "drill")


@dataclass(frozen=True, eq=False)
class Problem:
    """One object, float64: a batch of one."""

    name: str
    field: SignedDistance
    observation: Observation
    code: Tensor
    T_true: Tensor

    def value(self, T: Tensor) -> Tensor:
        """(5) at a pose, as a sum over points, square metres."""
        state = State(self.observation.points_camera, T, self.code)
        return objective(self.field, state, self.observation, kernel=Squares()).sum() * POINTS


def problems() -> list[Problem]:
    found = []
    for name, body in bodies().items():
        g = torch.Generator().manual_seed(0)
        code = body.draw(1, g)
        found.append(measured(name, body.field, code, radius_m=code[:, :3].norm(dim=-1), g=g))
    model = load_model("bundled", device="cpu")
    decoder, library = model.network.decoder.double().requires_grad_(False), model.info.library
    for name in LEARNED:
        row = library.names.index(name)
        g, code = torch.Generator().manual_seed(0), library.codes[row : row + 1].double()
        radius_m = library.diameters_m[row : row + 1].double() / 2
        found.append(measured(f"decoder, {name}", decoder, code, radius_m=radius_m, g=g))
    return found


def measured(
    name: str, field: SignedDistance, code: Tensor, *, radius_m: Tensor, g: torch.Generator
) -> Problem:
    directions = viewpoints(1, g, 0.35)
    z = visible_points(field, code, directions, points=POINTS, radius_m=radius_m, g=g)
    z = z + NOISE_M * torch.randn(z.shape, generator=g, dtype=torch.float64)
    T = camera_pose(directions, g)
    observation, _ = problem_at(z, T, T, code)
    return Problem(name, field, observation, code, T)


def solve_5(problem: Problem, T_start: Tensor) -> tuple[float, Tensor]:
    """The smallest (5) found from a start, and its pose."""

    def seen(xi: Tensor) -> Tensor:
        return object_points(T_start @ pose.exp(xi[None]), problem.observation)

    def residuals(xi: np.ndarray) -> np.ndarray:
        return problem.field(seen(torch.from_numpy(xi)), problem.code)[0].numpy()

    def jacobian(xi: np.ndarray) -> np.ndarray:
        z = seen(torch.from_numpy(xi)).requires_grad_()
        (slope,) = torch.autograd.grad(problem.field(z, problem.code).sum(), z)
        moving = torch.func.jacfwd(seen)(torch.from_numpy(xi))  # (1, N, 3, 6)
        return (slope[..., None, :] @ moving)[0, :, 0].numpy()

    tight = {"xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-14}
    found = least_squares(residuals, np.zeros(6), jacobian, x_scale="jac", max_nfev=200, **tight)
    return 2 * float(found.cost), T_start @ pose.exp(torch.from_numpy(found.x)[None])


def solve_7(
    problem: Problem, z_start: Tensor, *, gradient_eps: float = UNDAMPED
) -> tuple[float, Tensor, int]:
    """The smallest (7) found from a start, its Z, and the number of evaluations."""
    scale = 1e-6  # square metres: L-BFGS's own tolerances are absolute

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        z = torch.from_numpy(flat).reshape(1, POINTS, 3).requires_grad_()
        total = problem.value(registered(z, problem.observation, gradient_eps=gradient_eps)) / scale
        (gradient,) = torch.autograd.grad(total, z)
        return float(total), gradient.numpy().ravel()

    options = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-16, "gtol": 1e-9, "maxcor": 20}
    found = minimize(value, z_start.numpy().ravel(), jac=True, method="L-BFGS-B", options=options)
    return scale * float(found.fun), torch.from_numpy(found.x).reshape(1, POINTS, 3), int(found.nfev)


def registered(z: Tensor, observation: Observation, *, gradient_eps: float = UNDAMPED) -> Tensor:
    """(R*, t*) of (7), as T_camera_object."""
    weights = torch.ones_like(z[..., 0])
    return weighted_procrustes(z, observation.points_camera, weights, gradient_eps=gradient_eps)


def slope_cosine(problem: Problem, z: Tensor, T: Tensor) -> float:
    """|J' r| / (|J| |r|) of (5) at object points z = T^-1 x."""
    posing = Posing(problem.field, problem.observation, problem.code)
    seen = Evaluation.at(posing, T, Squares())
    assert torch.allclose(seen.z, z, atol=1e-12, rtol=0), "these points are not feasible for (5)"
    line = seen.linearised(Squares())
    lever = torch.cat([torch.ones(1, 3), line.lever2_m2.sqrt()[:, None].expand(-1, 3)], dim=-1).to(z)
    size = (line.normal.diagonal(dim1=-2, dim2=-1) / lever**2).sum().sqrt() * seen.objective.sqrt()
    return float((line.slope / lever).norm() / size)


@dataclass(frozen=True)
class Outcome:
    """What the two solvers found for one object.

    `reached`: share of the starts that end at the best value, within 1e-6; `delta_rms_m`: over the points.
    """

    best_5_m2: float
    best_7_m2: float
    best_7_damped_m2: float
    reached_5: float
    reached_7: float
    cosine_start: float
    cosine: float
    delta_rms_m: float
    damped_gradient_error: float
    evaluations_7: float

    @property
    def relative(self) -> float:
        return abs(self.best_5_m2 - self.best_7_m2) / self.best_5_m2


def solve_both(problem: Problem, starts: int) -> Outcome:
    values_5: list[float] = []
    values_7: list[float] = []
    damped: list[float] = []
    zs: list[Tensor] = []
    evaluations: list[int] = []
    g5, g7 = torch.Generator().manual_seed(5), torch.Generator().manual_seed(7)
    moves_5 = displaced(starts, g5, turn_deg=TURN_DEG, shift_m=SHIFT_M)
    moves_7 = displaced(starts, g7, turn_deg=TURN_DEG, shift_m=SHIFT_M)
    for k in range(starts):
        values_5.append(solve_5(problem, problem.T_true @ moves_5[k : k + 1])[0])
        z = object_points(problem.T_true @ moves_7[k : k + 1], problem.observation)
        z_start = z + Z_NOISE_M * torch.randn(z.shape, generator=g7, dtype=torch.float64)
        value, z, count = solve_7(problem, z_start)
        values_7.append(value)
        zs.append(z)
        evaluations.append(count)
        if k < DAMPED_STARTS:
            damped.append(solve_7(problem, z_start, gradient_eps=GRADIENT_EPS)[0])
    z = zs[int(np.argmin(values_7))]
    T = registered(z, problem.observation)
    delta = object_points(T, problem.observation) - z
    start = problem.T_true @ moves_7[:1]
    return Outcome(
        best_5_m2=min(values_5),
        best_7_m2=min(values_7),
        best_7_damped_m2=min(damped),
        reached_5=float(np.mean(np.array(values_5) < min(values_5) * (1 + 1e-6))),
        reached_7=float(np.mean(np.array(values_7) < min(values_7) * (1 + 1e-6))),
        cosine_start=slope_cosine(problem, object_points(start, problem.observation), start),
        cosine=slope_cosine(problem, z + delta, T),
        delta_rms_m=float(delta.square().sum(-1).mean().sqrt()),
        damped_gradient_error=damping_error(problem, object_points(start, problem.observation)),
        evaluations_7=float(np.mean(evaluations)),
    )


def damping_error(problem: Problem, z: Tensor) -> float:
    """Relative error of (7)'s gradient under the registration's default damping."""
    slopes = []
    for eps in (UNDAMPED, GRADIENT_EPS):
        at = z.clone().requires_grad_()
        value = problem.value(registered(at, problem.observation, gradient_eps=eps))
        slopes.append(torch.autograd.grad(value, at)[0])
    return float((slopes[1] - slopes[0]).norm() / slopes[0].norm())


def claims_of(name: str, found: Outcome, starts: int) -> list[Claim]:
    best = f"{name}: best of (5) and best of (7) from {starts} starts each, relative difference"
    still = f"{name}: cosine between residuals and pose directions at Z + Delta"
    return [
        Claim(best, "<= 1e-6", found.relative),
        Claim(still, "<= 1e-6", found.cosine),
        Claim(f"{name}: the same cosine at a start", "report", found.cosine_start),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="5 starts")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    start = time.perf_counter()
    starts = 5 if quick else STARTS
    claims: list[Claim] = []
    outcomes = {}
    for problem in problems():
        outcomes[problem.name] = solve_both(problem, starts)
        claims += claims_of(problem.name, outcomes[problem.name], starts)
    settings = {
        "starts": starts, "points": POINTS, "noise_m": NOISE_M, "turn_deg": TURN_DEG, "shift_m": SHIFT_M,
        "z_noise_m": Z_NOISE_M, "learned": LEARNED, "dtype": "float64", "registration_gradient_eps": UNDAMPED,
        "solvers": {"(5)": "scipy least_squares, trf", "(7)": "scipy L-BFGS-B"},
        "seeds": {"bodies": 0, "starts of (5)": 5, "starts of (7)": 7},
        "behind_the_claims": {name: asdict(outcome) for name, outcome in outcomes.items()},
    }  # fmt: skip
    seconds = time.perf_counter() - start
    write_evidence("paper.lemma5", claims, settings=settings, seconds=seconds, folder=RESULTS, quick=quick)


if __name__ == "__main__":
    main()
