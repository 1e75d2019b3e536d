"""Adaptation uses no labels or models: without their files the resulting weights are byte for byte the same.

python -m experiments.adapt.label_free [--quick]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from dataclasses import asdict
from pathlib import Path

from crisp.adapt.run import audit_path
from crisp.adapt.snapshot import read_audit
from crisp.networks.checkpoint import sha256
from experiments.adapt.small_stream import adapt_command, recipe_of, small_stream, write_recipe
from experiments.support.evidence import RESULTS, Claim, write_evidence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four frames")
    parser.add_argument("--work", type=Path, default=Path(".cache/small_stream"), help="renders and runs")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    start = time.perf_counter()
    labelled = small_stream(options.work, quick=options.quick, workers=options.workers)
    bare = without_labels(labelled, options.work / "bare")
    recipe = write_recipe(options.work / "recipe.toml", recipe_of(quick=options.quick))
    outs = [options.work / "with_labels", options.work / "without_labels"]
    for root, out in zip((labelled, bare), outs, strict=True):
        shutil.rmtree(out, ignore_errors=True)
        subprocess.run(adapt_command(root, out, recipe), check=True, stdout=subprocess.DEVNULL)
    weights = [sha256(out / "checkpoint" / "heads.safetensors") for out in outs]
    steps = sum(line["event"] == "step" for line in read_audit(audit_path(outs[0])))
    logs = audit_path(outs[0]).read_bytes() == audit_path(outs[1]).read_bytes()
    claims = [
        Claim("the weights are identical", ">= 1", float(weights[0] == weights[1]), unit="yes is 1"),
        Claim("the audit logs are identical", ">= 1", float(logs), unit="yes is 1"),
        Claim("steps that were made", ">= 1", float(steps), unit="steps"),
    ]
    write_evidence(
        "adapt.label_free",
        claims,
        settings={"recipe": asdict(recipe_of(quick=options.quick)), "deleted": ["scene_gt*.json", "models/"]},
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def without_labels(root: Path, out: Path) -> Path:
    """A copy without scene_gt.json, scene_gt_info.json and models/."""
    shutil.rmtree(out, ignore_errors=True)
    # It needs the same name, which is part of the run's record.
    copy = out / root.name
    shutil.copytree(root, copy)
    shutil.rmtree(copy / "models")
    for path in (*copy.rglob("scene_gt.json"), *copy.rglob("scene_gt_info.json")):
        path.unlink()
    return copy


if __name__ == "__main__":
    main()
