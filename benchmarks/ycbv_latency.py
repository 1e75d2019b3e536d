"""Time per object of each stage of the YCB model, from a frame's files to results with meshes.

Every real frame runs once, on two threads, after one warm-up frame; masks are the labels'. Reading means
colour, depth and masks. The time for naming is negligible, and writing the results is not counted. Figures
are medians over frames, intervals their range.

    python -m benchmarks.ycbv_latency --data FOLDER [--quick]
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from experiments.support.evidence import Claim, write_evidence
from experiments.ycbv.ycbv_sets import has_real_frames, masks_of, parser_of, real_set, used

from crisp.data.bop.reader import BopDataset, FrameKey
from crisp.model import Model, load_model

STAGES = ("read", "crop", "network", "register", "correct", "certify", "mesh")
THREADS = 2
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = parser_of(__doc__).parse_args()
    if not has_real_frames(options.data):
        return
    torch.set_num_threads(THREADS)
    start = time.perf_counter()
    model = load_model(options.weights, device="cpu")
    loaded = time.perf_counter() - start
    dataset = real_set(options.data, options.work)
    keys = [key for key in dataset.keys if masks_of(dataset, key)][: 2 if options.quick else None]
    timed(model, dataset, keys[0])
    ms: dict[str, list[float]] = defaultdict(list)
    objects = 0
    for key in keys:
        found, count = timed(model, dataset, key)
        objects += count
        for stage in STAGES:
            ms[stage].append(found[stage])
        ms["all stages"].append(sum(found[stage] for stage in STAGES))
    claims = [
        Claim(f"{stage}, per object", "report", float(np.median(v)), (min(v), max(v)), unit="ms")
        for stage, v in (("all stages", ms.pop("all stages")), *ms.items())
    ]
    claims.append(Claim("loading the model, once", "report", 1000 * loaded, unit="ms"))
    write_evidence(
        "ycbv_latency",
        claims,
        settings={
            "frames": len(keys),
            "objects": objects,
            "threads": THREADS,
            **used(model),
        },
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def timed(model: Model, dataset: BopDataset, key: FrameKey) -> tuple[dict[str, float], int]:
    """Milliseconds per object of every stage, and how many objects there are."""
    start = time.perf_counter()
    frame, masks = dataset.load_frame(key), masks_of(dataset, key)
    read = 1000 * (time.perf_counter() - start) / len(masks)
    results = model.estimate(frame, masks)
    return {"read": read} | dict(results[0].timing_ms), len(masks)


if __name__ == "__main__":
    main()
