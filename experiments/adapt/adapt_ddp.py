"""Two processes take the same steps as one process on both batches, and `crisp adapt --processes 2` runs.

python -m experiments.adapt.adapt_ddp [--quick]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file
from torch import Tensor

from crisp.adapt.pseudo_labels import Features16, look
from crisp.adapt.run import audit_path
from crisp.adapt.snapshot import read_audit
from crisp.adapt.update import PseudoLabel, Updater
from crisp.data.bop.reader import BopDataset
from crisp.model import Model, load_model
from crisp.stages import standard_stages
from experiments.adapt.small_stream import QUICK_RECIPE, SPLIT, adapt_command, small_stream, write_recipe
from experiments.support.evidence import RESULTS, Claim, write_evidence

STEPS, BATCH = 3, 2
"""Steps, and labels of each of the two processes in each step."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the whole run of two processes")
    parser.add_argument("--work", type=Path, default=Path(".cache/small_stream"), help="renders and runs")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    start = time.perf_counter()
    root = small_stream(options.work, quick=False, workers=options.workers)
    lessons = options.work / "lessons.safetensors"
    save_file(packed(certified(load_model("bundled", device="cpu"), root)), lessons)
    alone, together = options.work / "alone.safetensors", options.work / "together.safetensors"
    steps(Fabric(accelerator="cpu", devices=1), lessons=lessons, out=alone)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp_spawn")
    fabric.launch(partial(steps, lessons=lessons, out=together))
    apart, moved = differences(load_file(alone), load_file(together))
    claims = [
        Claim("largest difference of a weight, one process and two", "<= 1e-5", apart),
        Claim("largest change of a weight in these steps", "report", moved),
    ]
    if not options.quick:
        claims += whole_run(root, options.work)
    settings = {"steps": STEPS, "labels_per_process": BATCH, "recipe": asdict(QUICK_RECIPE)}
    write_evidence(
        "adapt.adapt_ddp",
        claims,
        settings=settings,
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def certified(model: Model, root: Path) -> list[PseudoLabel]:
    """Pseudo-labels from the stream, enough for all steps."""
    dataset, found = BopDataset(root, SPLIT), []
    stages = standard_stages(model.network, model.known_shapes, model.settings)
    for key in dataset.keys:
        seen = look(
            dataset.load_frame(key),
            dataset.given_masks(key),
            stages,
            network=model.network,
            features=Features16(model.network),
        )
        found += [item.label for item in seen if item.label is not None]
        if len(found) >= 2 * BATCH * STEPS:
            return found[: 2 * BATCH * STEPS]
    raise SystemExit(f"only {len(found)} objects of the stream were certified")


def packed(labels: Sequence[PseudoLabel]) -> dict[str, Tensor]:
    names = ("taps", "cls", "pnc", "valid", "shape_code")
    return {name: torch.stack([getattr(label, name) for label in labels]) for name in names}


def steps(fabric: Fabric, *, lessons: Path, out: Path) -> None:
    """Take all steps; each process has its share of every batch, and the first writes the weights."""
    torch.set_num_threads(1)
    model = load_model("bundled", device="cpu")
    updater = Updater(model.network, QUICK_RECIPE, fabric)
    rows = load_file(lessons)
    labels = [PseudoLabel(**{k: v[i] for k, v in rows.items()}) for i in range(len(rows["taps"]))]
    share = 2 * BATCH // fabric.world_size
    for step in range(STEPS):
        first = step * 2 * BATCH + fabric.global_rank * share
        updater.step(labels[first : first + share])
    if fabric.global_rank == 0:
        state = updater.state()
        save_file({k: v.contiguous() for k, v in state.items() if k.startswith("heads.")}, out)


def differences(one: dict[str, Tensor], other: dict[str, Tensor]) -> tuple[float, float]:
    """Largest difference of a weight between the two, and between the first and the initial weights."""
    source = load_model("bundled", device="cpu").network.state_dict()
    apart = max(float((v.float() - other[k].float()).abs().max()) for k, v in one.items())
    moved = max(float((v - source[k.removeprefix("heads.")]).float().abs().max()) for k, v in one.items())
    return apart, moved


def whole_run(root: Path, work: Path) -> list[Claim]:
    """`crisp adapt --processes 2` on the stream."""
    out = work / "two_processes"
    shutil.rmtree(out, ignore_errors=True)
    command = adapt_command(root, out, write_recipe(work / "recipe.toml"), "--processes", "2")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    logs = [read_audit(audit_path(out, rank)) for rank in (0, 1)]
    made = [[line["code"] for line in log if line["event"] == "step"] for log in logs]
    looked = [{line["frame"] for line in log if line["event"] == "label"} for log in logs]
    frames = len(BopDataset(root, SPLIT).keys)
    return [
        Claim("steps of the whole run with two processes", ">= 1", float(len(made[0])), unit="steps"),
        Claim("both logs tell of the same steps", ">= 1", float(made[0] == made[1]), unit="yes is 1"),
        Claim("share of the frames that one of them looked at", ">= 1", len(looked[0] | looked[1]) / frames),
    ]


if __name__ == "__main__":
    main()
