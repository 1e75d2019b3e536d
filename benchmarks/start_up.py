"""Time of `crisp --help` in two checkouts: the console entry in a fresh process, alternately.

python -m benchmarks.start_up --before CHECKOUT [--after CHECKOUT] [--quick]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from experiments.support.evidence import Claim, write_evidence

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
ENTRY = "from crisp.cli import main; main(['--help'])"
GOAL = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="the older checkout")
    parser.add_argument("--after", type=Path, default=ROOT, help="the newer one; this, unless given")
    parser.add_argument("--quick", action="store_true", help="three repeats")
    options = parser.parse_args()
    start = time.perf_counter()
    repeats = 3 if options.quick else 15
    sides = {"before": options.before, "after": options.after}
    for checkout in sides.values():  # bytecode is written and files are read once, untimed
        seconds_of_help(checkout)
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, checkout in sides.items():
            taken[side].append(seconds_of_help(checkout))
    write_evidence(
        "start_up",
        claims_of(taken),
        settings={
            "entry": ENTRY,
            "repeats": repeats,
            "commits": {side: commit_of(checkout) for side, checkout in sides.items()},
        },
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def claims_of(taken: dict[str, list[float]]) -> list[Claim]:
    """The median of the ratios, each of two runs next to each other, and both medians."""
    ratios = [after / before for before, after in zip(taken["before"], taken["after"], strict=True)]
    what = "crisp --help: seconds after against before (interval: range)"
    return [
        Claim(what, f"<= {GOAL:g}", statistics.median(ratios), (min(ratios), max(ratios)), "times"),
        *(
            Claim(f"crisp --help {side}, median (interval: range)", "report", statistics.median(seconds),
                  (min(seconds), max(seconds)), "s")
            for side, seconds in taken.items()
        ),
    ]  # fmt: skip


def seconds_of_help(checkout: Path) -> float:
    """Wall time of the console entry in a process of its own.

    Raises:
        subprocess.CalledProcessError: it ends with an error; what it said is on standard error.
        RuntimeError: it shows no help.
    """
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve() / "src")}
    start = time.perf_counter()
    shown = subprocess.run(
        [sys.executable, "-P", "-c", ENTRY], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - start
    if "usage: crisp" not in shown.stdout.lower():
        raise RuntimeError(f"crisp --help of {checkout} shows no help: {shown.stdout[:200]!r}")
    return seconds


def commit_of(checkout: Path) -> str:
    git = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
