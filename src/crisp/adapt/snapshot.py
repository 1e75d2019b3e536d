"""What an adaptation keeps: what the run is, its audit log, and the state that it resumes from.

The log has one line of JSON for every pseudo-label, step, check and roll-back. The state is one safetensors
file for each process.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from crisp.adapt.guard import Measure, Verdict
from crisp.adapt.options import AdaptOptions
from crisp.adapt.pseudo_labels import LabelledObject
from crisp.adapt.recipe import AdaptRecipe
from crisp.adapt.update import PseudoLabel
from crisp.data.dataset import Dataset, DetectedMasks
from crisp.documents import read_json, write_json
from crisp.errors import InputError
from crisp.files import finite, write_whole
from crisp.model import Model
from crisp.output.sink import described
from crisp.sources.masks import MasksBeside, MaskSource, open_detections

RUN_FILE = "run.json"


def mask_source(dataset: Dataset, options: AdaptOptions) -> MaskSource:
    """Where the masks come from."""
    if options.detections is None:
        return MasksBeside(dataset)
    return open_detections(dataset, options.detections, min_score=options.min_score)


def run_record(
    recipe: AdaptRecipe, options: AdaptOptions, dataset: Dataset, *, model: Model
) -> dict[str, Any]:
    """What a run is; one with another record is another run.

    The settings of all stages are part of it: the recipe has but the corrector's name, and the model's digest
    does not cover the bounds of its certificate.
    """
    keys = dataset.bare_keys[: options.frames]
    frames = hashlib.sha256(json.dumps([key.frame_id for key in keys]).encode()).hexdigest()
    source = mask_source(dataset, options)
    record = {
        "recipe": asdict(recipe),
        "dataset": options.dataset.resolve().name,
        "split": options.split,
        "frames_sha256": frames,
        "model_sha256": model.sha256,
        "settings": described(model.with_correction(recipe.correct).settings),
        "processes": options.processes,
    }
    return record | ({"detections": source.settings} if isinstance(source, DetectedMasks) else {})


def claim(recipe: AdaptRecipe, options: AdaptOptions, dataset: Dataset, *, model: Model) -> None:
    """Write down in the run folder what this run is.

    Raises:
        InputError: the folder holds another one.
    """
    record = run_record(recipe, options, dataset, model=model)
    path = options.out / RUN_FILE
    if not path.exists():
        return write_json(path, record)
    if read_json(path) != json.loads(json.dumps(record)):
        raise InputError(
            f"{options.out} holds an adaptation with another recipe, corrector, data set, masks, model, "
            "certificate or number of processes: give another --out or remove it."
        )
    return None


Said = TypeVar("Said")


def gathered(mine: Said, fabric: Fabric) -> list[Said]:
    """One entry a process, in the order of their ranks."""
    if fabric.world_size == 1:
        return [mine]
    entries: list[Said | None] = [None] * fabric.world_size
    torch.distributed.all_gather_object(entries, mine)
    return entries  # type: ignore[return-value]


class AuditLog:
    """Appends lines to a file, which a resumed run first cuts back to where its snapshot was taken.

    Args:
        path: of the file.
        length: bytes to keep of what is there.
    """

    def __init__(self, path: Path, *, length: int = 0) -> None:
        self._file = path.open("ab")
        self._file.truncate(length)
        self._file.seek(0, os.SEEK_END)

    def __call__(self, line: Mapping[str, Any]) -> None:
        self._file.write((json.dumps(finite(line), allow_nan=False) + "\n").encode())

    def flushed(self) -> int:
        """Bytes that are safely in the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def read_audit(path: Path) -> list[dict[str, Any]]:
    """All lines; a last one that was cut off is left out."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def label_line(frame_id: str, item: LabelledObject, fate: str) -> dict[str, Any]:
    """One pseudo-label, used or not, and why."""
    estimate, certificate = item.found.estimate, item.found.certificate
    line: dict[str, Any] = {
        "event": "label",
        "frame": frame_id,
        "detection": item.found.slot,
        "status": "ok" if estimate is not None else item.result.status,
        "message": "" if estimate is not None else item.result.message,
        "fate": fate,
    }
    if estimate is not None:
        line["T_camera_object"] = estimate.T_camera_object.tolist()
        if (correction := estimate.correction) is not None:
            line["T_camera_object_start"] = correction.T_camera_object_start.tolist()
            line |= {"own_residual_m": correction.rms_start_m, "rms_m": correction.rms_m}
    if certificate is not None:
        names = ("certified", "residual_quantile_m", "free_space_share")
        line |= {name: getattr(certificate, name) for name in names}
        line["reasons"] = list(certificate.reasons)
    return line


def guard_line(step: int, now: Measure, *, source: Measure, against: Mapping[str, Verdict]) -> dict[str, Any]:
    """A check of the guard.

    Args:
        now: what its objects measure.
        source: what the same objects measured under the weights that came in.
        against: comparisons with other weights, by name.
    """
    line: dict[str, Any] = {"event": "guard", "step": step, "objects": len(now)}
    line |= {"certified_share": now.certified_share, "median_residual_m": now.median_residual_m}
    line["certified_share_start"] = source.certified_share
    line["median_residual_m_start"] = source.median_residual_m
    return line | {name: asdict(verdict) for name, verdict in against.items()}


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
