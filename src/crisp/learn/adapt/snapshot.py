"""What an adaptation needs to go on after it was killed: one safetensors file a process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from crisp.errors import InputError
from crisp.learn.adapt.guard import Measure
from crisp.learn.adapt.update import PseudoLabel
from crisp.whole_files import write_whole


@dataclass(frozen=True)
class Progress:
    """How far the training is.

    Args:
        frames: looked at by this process.
        steps: made, of both optimisers.
        failures: roll-backs since the last check that passed.
        stopped: no step is made any more.
    """

    frames: int = 0
    steps: int = 0
    failures: int = 0
    stopped: bool = False


@dataclass(frozen=True, eq=False)
class Queued:
    """A label that waits for its batch."""

    frame_id: str
    detection: int
    label: PseudoLabel


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One process between two frames.

    Args:
        progress: how far it is.
        rates: of the two optimisers.
        now: weights and momenta.
        good: the last weights that passed; None while those are the ones that came in.
        queue: labels that wait.
        guard_ids: names of the guard's frames.
        guard_start, guard_good: what their objects measured.
    """

    progress: Progress
    rates: tuple[float, float]
    now: Mapping[str, Tensor]
    good: Mapping[str, Tensor] | None
    queue: tuple[Queued, ...]
    guard_ids: tuple[str, ...]
    guard_start: Measure
    guard_good: Measure


def write_snapshot(path: Path, found: Snapshot, *, log_bytes: int) -> None:
    """Write through a temporary name.

    Args:
        log_bytes: length of the audit log at this moment.
    """
    tensors = {f"now.{k}": v for k, v in found.now.items()}
    tensors |= {f"good.{k}": v for k, v in (found.good or {}).items()}
    for number, item in enumerate(found.queue):
        tensors |= {f"queue.{number}.{f.name}": getattr(item.label, f.name) for f in fields(PseudoLabel)}
    record = {
        "progress": asdict(found.progress),
        "rates": list(found.rates),
        "good": found.good is not None,
        "queue": [[item.frame_id, item.detection] for item in found.queue],
        "guard_ids": list(found.guard_ids),
        "guard_start": _said(found.guard_start),
        "guard_good": _said(found.guard_good),
        "log_bytes": log_bytes,
    }
    contiguous = {k: v.contiguous() for k, v in tensors.items()}
    write_whole(path, save(contiguous, metadata={"record": json.dumps(record)}))


def read_snapshot(path: Path) -> tuple[Snapshot, int]:
    """What `write_snapshot` wrote, and the length of the log.

    Raises:
        InputError: the file is damaged or missing.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            record = json.loads(file.metadata()["record"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return _snapshot(record, tensors), int(record["log_bytes"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be resumed from ({error}): remove its folder.") from error


def _snapshot(record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Snapshot:
    def part(name: str) -> dict[str, Tensor]:
        return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}

    return Snapshot(
        progress=Progress(**record["progress"]),
        rates=tuple(record["rates"]),
        now=part("now"),
        good=part("good") if record["good"] else None,
        queue=tuple(
            Queued(frame_id, detection, PseudoLabel(**part(f"queue.{number}")))
            for number, (frame_id, detection) in enumerate(record["queue"])
        ),
        guard_ids=tuple(record["guard_ids"]),
        guard_start=_measure(record["guard_start"]),
        guard_good=_measure(record["guard_good"]),
    )


def _said(measure: Measure) -> dict[str, list[Any]]:
    residuals = [None if np.isinf(r) else r for r in measure.residual_m.tolist()]
    return {"certified": measure.certified.tolist(), "residual_m": residuals}


def _measure(said: Mapping[str, list[Any]]) -> Measure:
    return Measure.of(said["certified"], [np.inf if r is None else r for r in said["residual_m"]])
