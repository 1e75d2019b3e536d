"""The pose step on SE(3): its convergence, and its speed against the published Z solver.

Problems are boxes, ellipsoids and unions of the two, of random sizes, in one random view without noise (about
1000 points in float32), with starts that are off by up to 15 degrees and 2 cm. Views of boxes and unions show
three faces, because one or two faces leave a direction undetermined for any solver.

For the speed, the Z solver (Adam, 1e-3, through the same differentiable registration that gave the start)
and the SE(3) step minimise the same sum of squares of one object. A first run of each, with its trace,
gives the number of iterations to the target; then runs of that length are timed alternately, in CPU seconds
of one thread.

    python -m experiments.paper.pose_step [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from crisp.evaluate.metrics.statistics import bootstrap_interval
from crisp.model import load_model
from crisp.refine.pose_step import PoseStep, Se3Step
from crisp.refine.problem import Kernel, Observation, SoftL1, Squares, State
from crisp.refine.z_step import ZGradientStep
from crisp.shape.sdf import SignedDistance
from experiments.paper.single_view import (
    Body,
    as_float32,
    bodies,
    camera_pose,
    displaced,
    pose_errors,
    problem_at,
    viewpoints,
    visible_points,
)
from experiments.support.evidence import RESULTS, Claim, write_evidence

DRAWS, POINTS, TURN_DEG, SHIFT_M = 200, 1000, 15.0, 0.02
NEAR_DEG, NEAR_M = 0.1, 1e-4
TIMED, REPEATS = 20, 3
TWIN_ITERATIONS, DECODER_TWIN_ITERATIONS = 300, 100
TARGETS_M: Mapping[str, float | None] = {
    "0.1 mm root mean square": 1e-4,
    "1 mm root mean square": 1e-3,
    "what the twin's published 50 iterations reach": None,
}
LEARNED = ("box_milk", "mug_blue", "drill", "camera_slr")


@dataclass(frozen=True, eq=False)
class Draws:
    """Problems of one body, and their answers."""

    field: SignedDistance
    observation: Observation
    state: State
    T_true: Tensor

    def one(self, number: int) -> tuple[SignedDistance, Observation, State]:
        only = torch.tensor([number])
        return self.field, self.observation.take(only), self.state.take(only)


def draw(body: Body, n: int, *, seed: int, full: bool = False) -> Draws:
    """n single views in float32, and starts that are off by up to the limits (or by exactly the limits)."""
    g = torch.Generator().manual_seed(seed)
    code = body.draw(n, g)
    directions = viewpoints(n, g, body.min_cosine)
    radius_m = code[:, :3].norm(dim=-1)
    pnc = visible_points(body.field, code, directions, points=POINTS, radius_m=radius_m, g=g)
    T_true = camera_pose(directions, g)
    start = T_true @ displaced(n, g, turn_deg=TURN_DEG, shift_m=SHIFT_M, full=full)
    return Draws(body.field, *as_float32(*problem_at(pnc, T_true, start, code)), T_true)


def draw_learned(n: int, *, seed: int) -> Draws:
    """The same with the trained decoder of the bundled model, on some of its own objects."""
    model = load_model("bundled", device="cpu")
    library, g = model.info.library, torch.Generator().manual_seed(seed)
    rows = [library.names.index(LEARNED[k % len(LEARNED)]) for k in range(n)]
    code, radius_m = library.codes[rows], library.diameters_m[rows].double() / 2
    directions = viewpoints(n, g, 0.35)
    decoder = model.network.decoder.requires_grad_(False)
    found = visible_points(decoder.double(), code.double(), directions, points=POINTS, radius_m=radius_m, g=g)
    T_true = camera_pose(directions, g)
    start = T_true @ displaced(n, g, turn_deg=TURN_DEG, shift_m=SHIFT_M)
    problem = as_float32(*problem_at(found, T_true, start, code.double()))
    return Draws(decoder.float(), *problem, T_true)


def arrived(draws: Draws, body: Body, kernel: Kernel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether each draw converges, its rotation error (degrees) and its translation error (metres)."""
    found = Se3Step(kernel)(draws.field, draws.observation, draws.state)
    turn_deg, shift_m = pose_errors(found.state.T_camera_object, draws.T_true, body.turns)
    near = (turn_deg < NEAR_DEG) & (shift_m < NEAR_M)
    return near.numpy(), turn_deg.numpy(), shift_m.numpy()


def accuracy_claims(name: str, body: Body, n: int) -> tuple[list[Claim], dict[str, float]]:
    """And the largest errors of the first claim's draws."""
    limits = f"{TURN_DEG:.0f} degrees and {SHIFT_M * 100:.0f} cm off"
    draws = draw(body, n, seed=0)
    near, turn_deg, shift_m = arrived(draws, body, SoftL1())

    def share(near: np.ndarray, what: str, goal: str) -> Claim:
        interval = binomtest(int(near.sum()), len(near)).proportion_ci(method="exact")
        return Claim(f"{name}: {what}", goal, float(near.mean()), (interval.low, interval.high), "share")

    squares, _, _ = arrived(draws, body, Squares())
    border, _, _ = arrived(draw(body, n, seed=1, full=True), body, SoftL1())
    claims = [
        share(near, f"draws up to {limits} that end below 0.1 mm and 0.1 degrees", ">= 0.95"),
        share(border, f"the same, all starts exactly {limits}", "report"),
        share(squares, "the same as the first, by plain squares instead of the default kernel", "report"),
    ]
    return claims, {"largest_deg": float(turn_deg.max()), "largest_mm": float(1000 * shift_m.max())}


@dataclass(frozen=True, eq=False)
class Race:
    """CPU milliseconds and iterations of both in the draws that were timed; and the other draws' numbers."""

    six_ms: tuple[float, ...]
    twin_ms: tuple[float, ...]
    six_iterations: tuple[float, ...]
    twin_iterations: tuple[float, ...]
    twin_never: tuple[int, ...]
    six_never: tuple[int, ...]
    there_already: tuple[int, ...]

    def ratios(self) -> np.ndarray:
        return np.array(self.twin_ms) / np.array(self.six_ms)


def race(draws: Draws, n: int, *, target_m: float | None, traces: list[tuple[Tensor, Tensor]]) -> Race:
    """Time both to the same objective on the first n draws.

    Args:
        target_m: root of the objective to reach; None: the twin's best within its published 50 iterations.
        traces: of each draw, the SE(3) step's and the twin's objectives by iteration.
    """
    timed, never, six_never, there = [], [], [], []
    for number in range(n):
        six_trace, twin_trace = traces[number]
        target = float(twin_trace[:51].min()) if target_m is None else target_m**2
        six_first, twin_first = first_below(six_trace, target), first_below(twin_trace, target)
        if six_first == 0:
            there.append(number)
        elif twin_first is None:
            never.append(number)
        elif six_first is None:
            six_never.append(number)
        else:
            six = Se3Step(Squares(), iterations=six_first)
            twin = ZGradientStep(iterations=twin_first, patience=twin_first + 1)
            timed.append((*in_turn(draws.one(number), six, twin), six_first, twin_first))
    six_ms, twin_ms, six_count, twin_count = (tuple(row[k] for row in timed) for k in range(4))
    return Race(six_ms, twin_ms, six_count, twin_count, tuple(never), tuple(six_never), tuple(there))


def first_below(trace: Tensor, target: float) -> int | None:
    below = (trace <= target).nonzero()[:, 0]
    return int(below[0]) if len(below) else None


def in_turn(
    problem: tuple[SignedDistance, Observation, State], six: PoseStep, twin: PoseStep
) -> tuple[float, float]:
    """Median CPU milliseconds of each, run alternately."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for step, times in zip((six, twin), taken, strict=True):
            start = time.process_time()
            step(*problem)
            times.append(1000 * (time.process_time() - start))
    return statistics.median(taken[0]), statistics.median(taken[1])


def both_traces(draws: Draws, n: int, *, twin_iterations: int) -> list[tuple[Tensor, Tensor]]:
    six = Se3Step(Squares(), tolerance=0.0)
    twin = ZGradientStep(iterations=twin_iterations, patience=twin_iterations + 1)
    return [tuple(step(*draws.one(k)).trace[0] for step in (six, twin)) for k in range(n)]  # type: ignore[misc]


def speed_claim(label: str, found: Race, *, goal: str) -> Claim:
    """The median over the draws in which both converge."""
    ratios, never = found.ratios(), len(found.twin_never)
    what = f"{label}: the Z solver's time over the SE(3) step's, median of {len(ratios)} draws"
    if never:
        what += f" (not counted: {never} in which the Z solver never arrives)"
    if len(ratios) == 0:
        return Claim(what, "report", float("nan"), unit="times")
    interval = bootstrap_interval(ratios, lambda r: float(np.median(r)))
    return Claim(what, goal, float(np.median(ratios)), interval, "times")


def details(found: Race, *, budget: int) -> dict[str, object]:
    """What stands behind a claim: medians, and which draws it leaves out."""
    columns = ("six_ms", "twin_ms", "six_iterations", "twin_iterations")
    ratios = found.ratios()
    return {
        **{f"median_{c}": statistics.median(getattr(found, c)) for c in columns if len(ratios)},
        "ratio_range": [float(ratios.min()), float(ratios.max())] if len(ratios) else [],
        "z_solver_never_arrives": found.twin_never,
        "se3_step_never_arrives": found.six_never,
        "there_at_the_start": found.there_already,
        "z_solver_budget": budget,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer draws")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)  # CPU time of one thread, so that other work on the machine does not count
    start = time.perf_counter()
    n, timed = (40, 3) if quick else (DRAWS, TIMED)
    claims: list[Claim] = []
    behind: dict[str, object] = {}
    for name, body in bodies().items():
        found, behind[f"{name}: largest errors"] = accuracy_claims(name, body, n)
        claims += found
    learned = len(LEARNED) * (1 if quick else 3)
    races = [(name, draw(body, n, seed=0), timed, TWIN_ITERATIONS) for name, body in bodies().items()]
    races.append(("trained decoder", draw_learned(learned, seed=0), learned, DECODER_TWIN_ITERATIONS))
    for name, draws, count, budget in races:
        traces = both_traces(draws, count, twin_iterations=budget)
        for target, target_m in TARGETS_M.items():
            label = f"{name}, to {target}"
            run = race(draws, count, target_m=target_m, traces=traces)
            claims.append(speed_claim(label, run, goal="report" if budget != TWIN_ITERATIONS else ">= 10"))
            behind[label] = details(run, budget=budget)
    settings = {
        "draws": n, "points": POINTS, "turn_deg": TURN_DEG, "shift_m": SHIFT_M, "noise_m": 0.0,
        "dtype": "float32",
        "views": "all three axes at a cosine of 0.35 or more with the line of sight (ellipsoid: any view)",
        "symmetries": "box and ellipsoid: half turns about the axes; union: none",
        "se3_step": asdict(Se3Step()), "z_solver": asdict(ZGradientStep()), "race_kernel": "squares, both",
        "clock": "CPU time of the process", "threads": 1, "repeats": REPEATS, "learned": LEARNED,
        "seeds": {"draws": 0, "at the limits": 1}, "behind_the_claims": behind,
    }  # fmt: skip
    seconds = time.perf_counter() - start
    write_evidence("paper.pose_step", claims, settings=settings, seconds=seconds, folder=RESULTS, quick=quick)


if __name__ == "__main__":
    main()
