"""The cost of adapting against estimating, and the memory of a long stream.

Both parts run on one thread. First, frames of a hard scene are alternately estimated without meshes and
adapted to. Then 2000 frames of one object pass through the adapter with a light corrector, and memory is
measured.

    python -m benchmarks.adapt_cost [--quick]
"""

from __future__ import annotations

import argparse
import gc
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from experiments.support.evidence import Claim, write_evidence

from crisp.adapt.adapter import Adapter
from crisp.adapt.pseudo_labels import Features16, look
from crisp.adapt.recipe import AdaptRecipe, GuardConfig, load_adapt_recipe
from crisp.cli.demo_scene import demo_scene
from crisp.model import Model, load_model
from crisp.stages import detections_of, standard_stages
from crisp.types import Detection, Frame

FRAMES, LONG = 2000, 12
SETTLED = 400
"""Frames after which queue and guard are full."""
LIGHT = """
[corrector]
rounds = 1

[corrector.pose_step]
kind = "Se3Step"
iterations = 2

[certificate]
eps_m = 0.02
quantile = 0.9
"""
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 frames and a stream of 40")
    parser.add_argument("--work", type=Path, default=Path(".cache/adapt_cost"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    model = load_model("bundled", device="cpu")
    scenes = [demo_scene(seed=seed, objects=7, look_name="hard") for seed in (11, 12)]
    frames = [(scene.frame, list(scene.detections)) for scene in scenes]
    seconds = both(model, frames, 3 if options.quick else LONG)
    ratio = seconds["adapt"] / seconds["estimate"]
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(ratio), size=(2000, len(ratio)))
    ends = np.percentile(seconds["adapt"][drawn].sum(1) / seconds["estimate"][drawn].sum(1), [2.5, 97.5])
    memory = stream(model, frames, 40 if options.quick else FRAMES, options.work)
    grown = memory[-1] - memory[len(memory) * SETTLED // FRAMES]
    total = {name: float(values.sum()) for name, values in seconds.items()}
    claims = [
        Claim(
            "adapting against estimating without meshes, per frame",
            "report",
            total["adapt"] / total["estimate"],
            (float(ends[0]), float(ends[1])),
            unit="times",
        ),
        Claim("frames adapted per second", "report", len(ratio) / total["adapt"], unit="frames/s"),
        Claim("frames estimated per second", "report", len(ratio) / total["estimate"], unit="frames/s"),
        Claim(f"growth of memory from frame {SETTLED} to {FRAMES}", "<= 50", grown, unit="MB"),
    ]
    write_evidence(
        "adapt_cost",
        claims,
        settings={
            "threads": 1,
            "objects_per_frame": 7,
            "stream": FRAMES,
            "memory_mb": memory[:: FRAMES // 20],
        },
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def both(model: Model, frames: list[tuple[Frame, list[Detection]]], count: int) -> dict[str, np.ndarray]:
    """Seconds per frame, alternately estimating and adapting; guard checks and steps count for adapting."""
    recipe = load_adapt_recipe("default")
    guard = replace(recipe.guard, least=1, check_every=25)
    adapter = Adapter(model, replace(recipe, guard=guard))
    stages = standard_stages(model.network, model.known_shapes, model.settings)
    seconds: dict[str, list[float]] = {"estimate": [], "adapt": []}
    for number in range(count):
        frame, detections = frames[number % len(frames)]
        begun = time.perf_counter()
        features = Features16(model.network)
        look(frame, detections, stages, network=model.network, features=features)
        between = time.perf_counter()
        adapter.look(frame, detections)
        seconds["estimate"].append(between - begun)
        seconds["adapt"].append(time.perf_counter() - between)
    return {name: np.array(values) for name, values in seconds.items()}


def stream(model: Model, frames: list[tuple[Frame, list[Detection]]], count: int, work: Path) -> list[float]:
    """Megabytes of the process after each frame of a long stream, its log written to a file."""
    work.mkdir(parents=True, exist_ok=True)
    settings = work / "light.toml"
    settings.write_text(LIGHT)
    guard = GuardConfig(every=8, objects=16, least=4, check_every=200)
    adapter = Adapter(model, AdaptRecipe(correct=str(settings), batch=4, guard=guard))
    memory = []
    for number in range(count):
        frame, detections = frames[number % len(frames)]
        named = replace(frame, frame_id=f"000001/{number:06d}")
        adapter.look(named, detections_of([detections[number % len(detections)]]))
        if number % 20 == 0:
            gc.collect()
        memory.append(resident_mb())
    return memory


def resident_mb() -> float:
    """Resident memory of this process, from the kernel."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system does not say how much memory a process has")


if __name__ == "__main__":
    main()
