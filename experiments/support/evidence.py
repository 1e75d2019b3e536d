"""Evidence files: claims with their goals, measured figures, and whether the goals are met.

`benchmarks/` and `experiments/` write them; failed claims stay in the file.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table

from crisp.errors import InputError
from crisp.files import write_whole

RESULTS = Path(__file__).parents[1] / "results"
"""Of the experiments."""
_GOAL = re.compile(r"(>=|<=|>|<)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)")


@dataclass(frozen=True)
class Claim:
    """One sentence with its figure.

    Args:
        claim: the sentence.
        goal: such as ">= 0.70" (also <=, >, <); "report" if nothing is claimed.
        figure: the measured value.
        interval: 95 %, low and high, if there is one.
        unit: of figure and goal, such as "share", "times" or "mm".
        kind: "report" if the sample is too small for a conclusion: then nothing passes or fails.
        judge: "interval" compares the interval's worse end with the goal, instead of the figure.
    """

    claim: str
    goal: str
    figure: float
    interval: tuple[float, float] | None = None
    unit: str = ""
    kind: Literal["goal", "report"] = "goal"
    judge: Literal["figure", "interval"] = "figure"

    def __post_init__(self) -> None:
        if self.goal != "report" and not _GOAL.fullmatch(self.goal):
            raise InputError(f"a goal must read like '>= 0.70', or 'report', got '{self.goal}'.")
        if self.goal == "report":
            object.__setattr__(self, "kind", "report")
        if self.judge == "interval" and self.interval is None:
            raise InputError(f"the claim '{self.claim}' is judged by its interval but has none.")

    @property
    def passed(self) -> bool | None:
        """Whether the figure meets the goal; None for a report."""
        match = _GOAL.fullmatch(self.goal)
        if self.kind == "report" or match is None:
            return None
        sign, bound = match[1], float(match[2])
        figure = self.figure
        if self.judge == "interval" and self.interval is not None:
            figure = min(self.interval) if sign in (">=", ">") else max(self.interval)
        return {">=": figure >= bound, "<=": figure <= bound, ">": figure > bound, "<": figure < bound}[sign]


def write_evidence(
    module: str,
    claims: Sequence[Claim],
    *,
    settings: Mapping[str, Any],
    seconds: float,
    folder: Path,
    quick: bool = False,
) -> Path:
    """Print the claims as a table and write them to `folder`/`name`.json, whole or not at all.

    Args:
        module: within its package, such as "paper.held_out"; the file has its last part for a name.
        settings: all that the figures depend on.
        seconds: how long the run took.
        folder: such as benchmarks/results; the folder above it is the package that was run.
        quick: whether it was run with --quick; written to `name`_quick.json, beside the full run's file.
    """
    name = module.rpartition(".")[2]
    command = f"python -m {folder.resolve().parent.name}.{module}{' --quick' if quick else ''}"
    content = {
        "name": name,
        "command": command,
        "commit": _commit(folder),
        "seconds": round(seconds, 1),
        "machine": {"cores": os.cpu_count(), "gpu": _gpu()},
        "settings": dict(settings),
        "claims": [_entry(claim) for claim in claims],
    }
    print_claims(claims, title=command)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}{'_quick' if quick else ''}.json"
    write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return path


def print_claims(claims: Sequence[Claim], *, title: str = "") -> None:
    """The claims as a table on the terminal."""
    table = Table(title=title or None, title_justify="left")
    table.add_column("claim", overflow="fold", ratio=1)
    for column in ("goal", "figure", "95 %", "passed"):
        table.add_column(column, no_wrap=True)
    for claim in claims:
        interval = "" if claim.interval is None else " to ".join(f"{v:.4g}" for v in claim.interval)
        verdict = {True: "[green]yes", False: "[red]NO", None: "-"}[claim.passed]
        table.add_row(claim.claim, claim.goal, f"{claim.figure:.4g} {claim.unit}".strip(), interval, verdict)
    Console().print(table)


def _entry(claim: Claim) -> dict[str, Any]:
    interval = None if claim.interval is None else [_number(v) for v in claim.interval]
    return asdict(claim) | {
        "figure": _number(claim.figure),
        "interval": interval,
        "passed": claim.passed,
    }


def _number(value: float) -> float | str:
    """JSON has no infinity and no NaN: they are written as words."""
    return value if math.isfinite(value) else str(value)


def _commit(folder: Path) -> str:
    where = next((p for p in (folder.resolve(), *folder.resolve().parents) if p.is_dir()), Path.cwd())
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=where, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"  # an installed copy has no history
    return found.stdout.strip()


def _gpu() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
