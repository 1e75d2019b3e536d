"""Registration of all objects and draws in one batch, against the plain loops over objects and draws.

    python -m benchmarks.registration [--quick]

All select the best draw by truncated residuals and refit it with the same weights, on one thread. One loop
calls the library's function per object; the other is plain NumPy, without a tensor library's cost per call.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from experiments.support.evidence import Claim, write_evidence
from torch import Tensor

from crisp.geometry import pose
from crisp.geometry.align import RegistrationConfig, draw_samples, register, weighted_procrustes
from crisp.geometry.points import scoring_subset

RESULTS = Path(__file__).parent / "results"
OUTLIERS, NOISE_M, SIZE_M = 0.4, 0.002, 0.2
Arrays = tuple[np.ndarray, np.ndarray]
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], Arrays]


def scene(objects: int, points: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random solids seen with noise and gross outliers: pnc, points_camera, valid, T_camera_object."""
    g = torch.Generator().manual_seed(seed)
    z = (torch.rand(objects, points, 3, generator=g, dtype=torch.float64) - 0.5) * SIZE_M
    t = torch.rand(objects, 3, generator=g, dtype=torch.float64) + torch.tensor([-0.5, -0.5, 0.5])
    T = pose.from_rotation_translation(pose.random_rotation(objects, g), t)
    x = pose.apply(T, z) + NOISE_M * torch.randn(z.shape, generator=g, dtype=torch.float64)
    gross = 0.3 * torch.randn(z.shape, generator=g, dtype=torch.float64)
    bad = torch.rand(objects, points, generator=g) < OUTLIERS
    return z, torch.where(bad[..., None], x + gross, x), torch.rand(objects, points, generator=g) < 0.9, T


def library_fit(z: np.ndarray, x: np.ndarray, w: np.ndarray) -> Arrays:
    """Weighted Procrustes of one object through the library."""
    T = weighted_procrustes(torch.from_numpy(z), torch.from_numpy(x), torch.from_numpy(w)).numpy()
    return T[:3, :3], T[:3, 3]


def numpy_fit(z: np.ndarray, x: np.ndarray, w: np.ndarray) -> Arrays:
    """The same by hand: Arun's SVD."""
    share = w / w.sum()
    z_mean, x_mean = share @ z, share @ x
    U, _, Vt = np.linalg.svd((share[:, None] * (x - x_mean)).T @ (z - z_mean))
    U[:, 2] *= np.linalg.det(U) * np.linalg.det(Vt)
    R = U @ Vt
    return R, x_mean - R @ z_mean


def register_by_loops(
    pnc: Tensor, points_camera: Tensor, valid: Tensor, config: RegistrationConfig, *, fit: Fit
) -> np.ndarray:
    """`register` as nested loops over objects and draws. Returns T_camera_object."""
    draws, (subset, _) = draw_samples(valid, config).numpy(), scoring_subset(valid, config.scoring_points)
    poses = []
    for b in range(len(pnc)):
        z, x, keep = pnc[b].numpy(), points_camera[b].numpy(), subset[b].numpy()
        found = _best_draw(z, x, draws=draws[b], keep=keep, config=config, fit=fit)
        R, t = _refit(found, z, x, valid=valid[b].numpy(), config=config, fit=fit)
        poses.append(np.block([[R, t[:, None]], [np.zeros(3), np.ones(1)]]))
    return np.stack(poses)


def _best_draw(
    z: np.ndarray, x: np.ndarray, *, draws: np.ndarray, keep: np.ndarray, config: RegistrationConfig, fit: Fit
) -> Arrays:
    best, lowest = (np.eye(3), np.zeros(3)), np.inf
    for draw in draws:
        R, t = fit(z[draw], x[draw], np.ones(len(draw)))
        squared = ((z[keep] @ R.T + t - x[keep]) ** 2).sum(axis=1)
        cost = np.minimum(squared, config.inlier_m**2).sum()
        if cost < lowest:
            best, lowest = (R, t), cost
    return best


def _refit(
    found: Arrays, z: np.ndarray, x: np.ndarray, *, valid: np.ndarray, config: RegistrationConfig, fit: Fit
) -> Arrays:
    for reach_m in np.linspace(3, 1, config.refits) * config.inlier_m:
        R, t = found
        squared = ((z @ R.T + t - x) ** 2).sum(axis=1)
        found = fit(z, x, valid * (1 - np.minimum(squared / reach_m**2, 1)) ** 2)
    return found


def seconds_each(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Time the runs alternately, so that other work on the machine affects all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)  # a second thread helps only the batch, and only on an idle machine
    start = time.perf_counter()
    config, objects, points = RegistrationConfig(), 8, 2000
    z, x, valid, T_true = scene(objects, points)
    runs = {
        "batch": lambda: register(z, x, valid, config=config),
        "library": lambda: register_by_loops(z, x, valid, config, fit=library_fit),
        "numpy": lambda: register_by_loops(z, x, valid, config, fit=numpy_fit),
    }
    found = register(z, x, valid, config=config).T_camera_object.numpy()
    apart = max(np.abs(runs[name]() - found).max() for name in ("library", "numpy"))  # also the warm-up
    turn_deg = float(pose.rotation_angle_deg(torch.from_numpy(found)[:, :3, :3], T_true[:, :3, :3]).max())
    taken = seconds_each(runs, 3 if quick else 11)
    ratio = {n: [slow / fast for slow, fast in zip(taken[n], taken["batch"], strict=True)] for n in taken}

    def faster(name: str, what: str, goal: str) -> Claim:
        spread = (min(ratio[name]), max(ratio[name]))
        return Claim(what, goal, statistics.median(ratio[name]), spread, "times")

    claims = [
        faster(
            "library", "one batch against the plain loop over objects and draws (interval: range)", ">= 10"
        ),
        Claim(
            "largest difference of a pose's entries between batch and loops",
            "<= 1e-5",
            float(apart),
            unit="m",
        ),
        faster("numpy", "one batch against a loop written by hand in NumPy (interval: range)", "report"),
        Claim("time of the batch, median", "report", 1000 * statistics.median(taken["batch"]), unit="ms"),
        Claim("largest rotation error against the truth", "report", turn_deg, unit="deg"),
    ]
    settings = asdict(config) | {
        "objects": objects,
        "points": points,
        "outliers": OUTLIERS,
        "noise_m": NOISE_M,
        "repeats": len(taken["batch"]),
        "threads": torch.get_num_threads(),
    }
    seconds = time.perf_counter() - start
    write_evidence("registration", claims, settings=settings, seconds=seconds, folder=RESULTS, quick=quick)


if __name__ == "__main__":
    main()
