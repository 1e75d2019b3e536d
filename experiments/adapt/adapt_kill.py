"""An adaptation that is killed ten times at random ends with the weights and log of an uninterrupted one.

python -m experiments.adapt.adapt_kill [--quick]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from crisp.adapt.run import audit_path
from crisp.networks.checkpoint import sha256
from experiments.adapt.small_stream import adapt_command, recipe_of, small_stream, write_recipe
from experiments.support.evidence import RESULTS, Claim, write_evidence

KILLS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four frames, two kills")
    parser.add_argument("--work", type=Path, default=Path(".cache/small_stream"), help="renders and runs")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    start = time.perf_counter()
    dataset = small_stream(options.work, quick=options.quick, workers=options.workers)
    recipe = write_recipe(options.work / "recipe.toml", recipe_of(quick=options.quick))
    whole, broken = options.work / "unbroken", options.work / "killed"
    for out in (whole, broken):
        shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    subprocess.run(adapt_command(dataset, whole, recipe), check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    kills = killed(adapt_command(dataset, broken, recipe), 2 if options.quick else KILLS, seconds)
    heads = "checkpoint/heads.safetensors"
    same = sha256(whole / heads) == sha256(broken / heads)
    logs = audit_path(whole).read_bytes() == audit_path(broken).read_bytes()
    claims = [
        Claim("the final weights are identical", ">= 1", float(same), unit="yes is 1"),
        Claim("the audit logs are identical", ">= 1", float(logs), unit="yes is 1"),
        Claim("kills that met a running process", f">= {2 if options.quick else KILLS}", float(len(kills))),
    ]
    settings = {
        "recipe": asdict(recipe_of(quick=options.quick)),
        "killed_after_s": kills,
        "unbroken_s": seconds,
    }
    write_evidence(
        "adapt.adapt_kill",
        claims,
        settings=settings,
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def killed(command: list[str], kills: int, seconds: float) -> list[float]:
    """Run the command to its end after a number of kills; returns the time of each kill, seconds.

    A run that ended before its kill is started again with earlier kills: only kills count.
    """
    rng = np.random.default_rng(0)
    moments: list[float] = []
    out = Path(command[command.index("--out") + 1])
    while len(moments) < kills:
        moment = float(rng.uniform(0.05, 0.9) * seconds)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            moments.append(round(moment, 2))
        else:
            shutil.rmtree(out)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return moments


if __name__ == "__main__":
    sys.exit(main())
