"""Scoring: the time for 10,000 predictions, and NOCS's mAP with batched pairs against plain loops.

    python -m benchmarks.scoring [--quick]

Scoring is timed on two smaller numbers of objects, each protocol in a separate run, and extrapolated
linearly to 10,000. The plain loops over frames, pairs, rotations and thresholds are those of the tests.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from experiments.support.drawn_sets import CAMERA, PER_FRAME, draw_bop
from experiments.support.evidence import Claim, write_evidence
from scipy.spatial.transform import Rotation

from crisp.data.dataset import Instance
from crisp.evaluate.metrics import METRICS
from crisp.evaluate.metrics.nocs_map import FIXED, ORIGINAL, match, mean_average_precision
from crisp.evaluate.options import ScoreOptions
from crisp.evaluate.score import score
from crisp.shape.mesh import write_ply
from crisp.synth.procedural import catalogue

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
STATED = 10_000
TURN_DEG, SHIFT_M = 5.0, 0.01
UPRIGHT = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer objects and repeats")
    quick = parser.parse_args().quick
    start = time.perf_counter()
    few, many, repeats, map_frames = (2, 6, 1, 20) if quick else (8, 32, 3, 60)
    minutes = stated_minutes(few, many)
    source = f"CPU time for {STATED} predictions, from {few * PER_FRAME} and {many * PER_FRAME}"
    claims = [
        Claim(
            f"all protocols, one after the other: {source}", "<= 60", sum(minutes.values()), unit="minutes"
        ),
        Claim(
            f"add-s and chamfer-mm, the default: {source}",
            "<= 15",
            minutes["add-s"] + minutes["chamfer-mm"],
            unit="minutes",
        ),
        *(Claim(f"{name}: {source}", "report", value, unit="minutes") for name, value in minutes.items()),
    ]
    claims += map_claims(map_frames, repeats)
    settings = {
        "frames": [few, many],
        "objects_per_frame": PER_FRAME,
        "threads": os.cpu_count(),
        "image_px": [CAMERA.width, CAMERA.height],
        "models": "the procedural catalogue; estimates are their meshes, turned and shifted",
        "map_frames": map_frames,
        "map_repeats": repeats,
    }
    seconds = time.perf_counter() - start
    write_evidence("scoring", claims, settings=settings, seconds=seconds, folder=RESULTS, quick=quick)


def stated_minutes(few: int, many: int) -> dict[str, float]:
    """CPU time of STATED predictions: what each further object takes, and once what no object causes."""
    folder = Path(tempfile.mkdtemp())
    try:
        less, more = (_seconds(folder / str(frames), frames) for frames in (few, many))
    finally:
        shutil.rmtree(folder)
    stated = {}
    for name in METRICS:
        each = (more[name] - less[name]) / (PER_FRAME * (many - few))
        stated[name] = (less[name] + each * (STATED - PER_FRAME * few)) / 60
    return stated


def _seconds(folder: Path, frames: int) -> dict[str, float]:
    """Each protocol alone: reading, sampling, floors, measuring, intervals and files, of all threads."""
    predictions = write_case(folder, frames)
    taken: dict[str, float] = {}
    for name in METRICS:
        start = time.process_time()  # other work on the machine does not count
        score(ScoreOptions(predictions, folder / "set", "test", protocols=(name,), out=folder / name))
        taken[name] = time.process_time() - start
    return taken


def write_case(folder: Path, frames: int) -> Path:
    """A set of procedural objects, and estimates a few degrees and mm off."""
    models, rng = catalogue(), np.random.default_rng(0)
    dataset = draw_bop(folder / "set", models, frames)
    for number, model in enumerate(models):
        write_ply(model.mesh, folder / "predictions" / "meshes" / f"{number + 1}.ply")
    entries = [
        {"frame_id": key.frame_id, "objects": [_entry(i, rng) for i in dataset.instances(key)]}
        for key in dataset.keys
    ]
    content = {"model": {"name": "off by a little"}, "settings": {}, "frames": entries}
    (folder / "predictions" / "results.json").write_text(json.dumps(content))
    return folder / "predictions"


def _entry(instance: Instance, rng: np.random.Generator) -> dict[str, Any]:
    T = instance.T_camera_object.copy()
    T[:3, :3] = T[:3, :3] @ Rotation.from_rotvec(rng.normal(size=3) * TURN_DEG, degrees=True).as_matrix()
    T[:3, 3] += SHIFT_M * rng.normal(size=3)
    return {
        "detection": instance.index,
        "status": "ok",
        "T_camera_object": T.tolist(),
        "mesh": f"meshes/{instance.object_id}.ply",
        "inlier_share": float(rng.random()),
    }


def map_claims(frames: int, repeats: int) -> list[Claim]:
    """The same labels and estimates by both ways; their time and their numbers."""
    loops = _from_tests("nocs_by_loops")
    labels, estimates = _from_tests("test_nocs_map").world(frames)
    ratios, apart, taken = [], 0.0, []
    for variant in (FIXED, ORIGINAL):
        for _ in range(repeats):
            start = time.perf_counter()
            fast = mean_average_precision(match(labels, estimates, variant, axis=UPRIGHT))[0]
            middle = time.perf_counter()
            slow = loops.map_by_loops(labels, estimates, axis=UPRIGHT, original=variant is ORIGINAL)
            taken.append(middle - start)
            ratios.append((time.perf_counter() - middle) / (middle - start))
            apart = max(apart, float(np.abs(fast - slow).max()))
    spread = (min(ratios), max(ratios))
    what = f"NOCS mAP of {len(labels.frame)} labels, {len(estimates.frame)} estimates"
    return [
        Claim(
            f"{what}: against plain loops (interval: range)",
            ">= 20",
            statistics.median(ratios),
            spread,
            "times",
        ),
        Claim("largest difference of an mAP between the two", "<= 1e-9", apart, unit="share"),
        Claim(f"{what}: time at once, median", "report", 1000 * statistics.median(taken), unit="ms"),
    ]


def _from_tests(name: str) -> ModuleType:
    """A module that stands beside the tests of `metrics`."""
    path = ROOT / "tests" / "evaluate" / "metrics" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
