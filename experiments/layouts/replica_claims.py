"""The claims of a replica experiment, from the score files that its commands wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crisp.adapt.run import audit_path
from crisp.adapt.snapshot import read_audit
from crisp.documents import read_json
from crisp.evaluate.metrics.statistics import auc, bootstrap_interval
from crisp.evaluate.paper.tables import ScoreFile, read_scores
from experiments.support.evidence import Claim

if TYPE_CHECKING:
    from experiments.layouts.replica_plan import Replica
    from experiments.layouts.replica_steps import Steps

HOUR_S = 3600
LEAST_GAIN = 0.2
RIVALS = {"untrained": "untrained", "baseline": "'right centre, random rotation, mean shape'"}
SHAPE_FIGURES = {
    "crisp-shape": (("e_shape AUC 0.05", "share"), ("e_shape median", "diameters")),
    "chamfer-mm": (("chamfer median mm", "mm"),),
    "nocs-shape": (("NOCS shape mean over categories", "1000 x squared diagonals"),),
    "nocs-map-original": (("original IoU 50", "%"), ("original 10 deg 10 cm", "%")),
    "spe3r-l1": (
        ("e_shape L1 mean", "model units"),
        ("e_shape L1 mean of estimated", "model units"),
        ("e_shape L1 median", "model units"),
        ("e_pose L1 mean", "model units"),
        ("e_pose L1 mean of estimated", "model units"),
        ("e_pose L1 median", "model units"),
    ),
}


def claims_of(replica: Replica, steps: Steps) -> list[Claim]:
    """Claims on time, the two goals on every evaluated split, and all scores as a report."""
    claims = list(_times(steps))
    for split in (split for split in replica.judged if scored(steps, split)):
        files = {
            name: read_scores(steps.work / folder, name=name) for name, folder in scored(steps, split).items()
        }
        claims += _split_claims(replica, split, files, frames=_frames(steps, split))
    return [*claims, *_adaptation(replica, steps)]


def scored(steps: Steps, split: str) -> dict[str, str]:
    """Folder of predictions and scores by name, as the score commands of a split say."""
    start = f"score {split} "
    commands = {
        name.removeprefix(start): steps[name].command for name in steps.names if name.startswith(start)
    }
    return {name: command.split("--predictions ")[1].split()[0] for name, command in commands.items()}


def _times(steps: Steps) -> Iterator[Claim]:
    train = steps["train"]
    # Wall time includes other work on the machine; CPU time is training's own.
    yield Claim("`crisp train`: time by the clock", f"< {HOUR_S}", train.seconds, unit="s")
    yield Claim("`crisp train`: time of the processors", f"< {HOUR_S}", train.cpu_seconds, unit="s")
    for kind in ("synthesise", "adapt", "predict", "score", "table"):
        found = [steps[name] for name in steps.names if name.split()[0] == kind]
        seconds = sum(step.cpu_seconds for step in found)
        yield Claim(f"`{kind}`: time of the processors, {len(found)} commands", "report", seconds, unit="s")


def _split_claims(
    replica: Replica, split: str, files: dict[str, ScoreFile], *, frames: np.ndarray
) -> Iterator[Claim]:
    errors = {name: file.columns["add_s_m"] for name, file in files.items()}
    tau = replica.auc_cm / 100
    what = f"ADD-S AUC at {replica.auc_cm} cm"
    yield Claim(f"{split}: objects scored", "report", float(len(frames)), unit="objects")
    for rival in ("untrained", "baseline"):
        if rival in errors:
            figure, interval = _difference(errors["trained"], errors[rival], frames, tau=tau)
            yield Claim(
                f"{split}: {what}, trained less {RIVALS[rival]}",
                f">= {LEAST_GAIN}",
                figure,
                interval,
                unit="share",
                judge="interval",
            )
    if "adapted" in errors:
        figure, interval = _difference(errors["adapted"], errors["trained"], frames, tau=tau)
        yield Claim(f"{split}: {what}, adapted less trained", "report", figure, interval, unit="share")
    for name, file in files.items():
        figure, interval = auc(errors[name], tau), _interval(errors[name], frames, tau=tau)
        yield Claim(f"{split}, {name}: {what}", "report", figure, interval, unit="share")
        yield from _shapes(split, file)


def _shapes(split: str, file: ScoreFile) -> Iterator[Claim]:
    summary = file.summaries["all"]
    failed = summary.failed / summary.count
    yield Claim(f"{split}, {file.name}: share without an estimate", "report", failed, unit="share")
    for protocol in file.protocols:
        for name, unit in SHAPE_FIGURES.get(protocol, ()):
            found = summary.figure(name)
            if found is not None:
                yield Claim(f"{split}, {file.name}: {name}", "report", found.value, found.interval, unit=unit)
    certified = file.columns.get("certified")
    # Infinity: no certificate, because there is no estimate.
    if certified is not None and np.isfinite(certified).any():
        share = float((certified == 1).mean())
        yield Claim(f"{split}, {file.name}: share that is certified", "report", share, unit="share")


def _adaptation(replica: Replica, steps: Steps) -> Iterator[Claim]:
    lines = read_audit(audit_path(steps.work / "adapted"))
    labels = [line for line in lines if line["event"] == "label"]
    made = sum(line["event"] == "step" for line in lines)
    certified = float(np.mean([bool(line.get("certified")) for line in labels]))
    where = f"adaptation to {replica.judged[-1]}"
    yield Claim(f"{where}: objects looked at", "report", float(len(labels)), unit="objects")
    yield Claim(f"{where}: share of them that was certified", "report", certified, unit="share")
    yield Claim(f"{where}: steps made", "report", float(made), unit="steps")


def _frames(steps: Steps, split: str) -> np.ndarray:
    """The frame of every scored object, which is the same in all score files of a split."""
    rows = {
        name: [(row["frame_id"], row["detection"]) for row in _objects(steps.work / folder)]
        for name, folder in scored(steps, split).items()
    }
    first = next(iter(rows.values()))
    assert all(found == first for found in rows.values()), "score files of one split name other objects"
    return np.array([frame for frame, _ in first])


def _objects(folder: Path) -> list[dict[str, object]]:
    return list(read_json(folder / "scores.json")["objects"])


def _difference(
    better: np.ndarray, worse: np.ndarray, frames: np.ndarray, *, tau: float
) -> tuple[float, tuple[float, float]]:
    """Difference of two AUCs on the same objects; the interval draws frames, paired by object."""
    gain = np.maximum(0, 1 - better / tau) - np.maximum(0, 1 - worse / tau)
    places = np.arange(len(gain), dtype=float)  # errors must not be negative, which a gain can be
    interval = bootstrap_interval(places, lambda chosen: _mean(gain[chosen.astype(int)]), clusters=frames)
    return _mean(gain), interval


def _interval(errors: np.ndarray, frames: np.ndarray, *, tau: float) -> tuple[float, float]:
    return bootstrap_interval(errors, lambda e: auc(e, tau), clusters=frames)


def _mean(values: np.ndarray) -> float:
    return float(values.mean())
