"""The audit log: a line of JSON for every pseudo-label, step, check and roll-back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crisp.learn.adapt.guard import Measure, Verdict
from crisp.learn.adapt.seen import SeenObject
from crisp.whole_files import finite


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


def label_line(frame_id: str, item: SeenObject, fate: str) -> dict[str, Any]:
    """One pseudo-label, used or not, and why."""
    line: dict[str, Any] = {
        "event": "label",
        "frame": frame_id,
        "detection": item.detection,
        "status": "ok" if item.estimate is not None else item.result.status,
        "message": "" if item.estimate is not None else item.result.message,
        "fate": fate,
    }
    if item.estimate is not None:
        line["T_camera_object"] = item.estimate.T_camera_object.tolist()
        if (found := item.estimate.correction) is not None:
            line["T_camera_object_start"] = found.T_camera_object_start.tolist()
            line |= {"own_residual_m": found.rms_start_m, "rms_m": found.rms_m}
    if item.certificate is not None:
        names = ("certified", "residual_quantile_m", "free_space_share")
        line |= {name: getattr(item.certificate, name) for name in names}
        line["reasons"] = list(item.certificate.reasons)
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
