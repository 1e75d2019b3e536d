"""Cost of correcting and certifying against the network's forward pass, on the objects of a rendered scene.

The corrector uses N = 1000 points per object and K = 24 known shapes, and the certificate all pixels of each
mask. All stages are measured alternately in one run.

    python -m benchmarks.correct_cost [--quick]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from experiments.support.evidence import Claim, write_evidence

from crisp.cli.demo_scene import demo_scene
from crisp.model import Model, load_model
from crisp.objects import Objects
from crisp.output.sink import described
from crisp.refine.active_shape import ActiveShapes
from crisp.stages import certify_all, correct_all, cut_all, predict, register_all

POINTS, SHAPES = 1000, 24
SEEDS = (11, 12, 13, 14, 15)
REPEATS = 5
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one scene")
    parser.add_argument("--weights", default="bundled")
    options = parser.parse_args()
    start = time.perf_counter()
    model = load_model(options.weights)
    seeds = SEEDS[:1] if options.quick else SEEDS
    timed = [times_ms(model, seed) for seed in seeds]
    parts = {name: np.concatenate([t[name] for t in timed]) for name in timed[0]}
    ratio = (parts["correct"] + parts["certify"]) / parts["network"]
    claims = [
        Claim(
            "correct and certify together, over the network's forward pass (median; interval: range)",
            "<= 3",
            float(np.median(ratio)),
            (float(ratio.min()), float(ratio.max())),
            unit="times",
        )
    ] + [
        Claim(f"{name}: median time per object", "report", float(np.median(values)), unit="ms")
        for name, values in parts.items()
    ]
    settings = {
        "points": POINTS,
        "shapes": SHAPES,
        "scenes": len(seeds),
        "repeats": REPEATS,
        "threads": torch.get_num_threads(),
        "corrector": described(model.corrector),
        "model_sha256": model.sha256,
    }
    seconds = time.perf_counter() - start
    write_evidence(
        "correct_cost", claims, settings=settings, seconds=seconds, folder=RESULTS, quick=options.quick
    )


def times_ms(model: Model, seed: int) -> dict[str, np.ndarray]:
    """Milliseconds per object of the stages on one scene, each repeat in turn; the first one warms up."""
    scene = demo_scene(seed=seed, objects=7, look_name="clean")
    decoder, settings = model.network.decoder, replace(model.settings, correction_points=POINTS)
    codes = model.info.library.codes[:SHAPES]
    shapes = ActiveShapes.of(decoder, codes)
    objects = cut_all(Objects.of(scene.frame, scene.detections), settings.crop)
    starts = register_all(predict(objects, model.network), model.registration)
    ends = correct_all(starts, decoder, shapes=shapes, settings=settings)
    stages: dict[str, Callable[[], object]] = {
        "network": lambda: predict(starts, model.network),
        "correct": lambda: correct_all(starts, decoder, shapes=shapes, settings=settings),
        "certify": lambda: certify_all(ends, decoder, settings.certificate),
    }
    count = len(starts.alive)
    rows = [{name: _ms(run) / count for name, run in stages.items()} for _ in range(REPEATS + 1)]
    return {name: np.array([row[name] for row in rows[1:]]) for name in stages}


def _ms(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
