"""Where an adaptation reads and writes: the record that `adapt` takes and `crisp adapt` fills in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class AdaptOptions:
    """Where an adaptation reads and writes.

    No label and no model of the data set is opened, but for what a set without a depth camera (SPE3R) renders
    its depth from.
    """

    dataset: Path
    """Data set in BOP's, SPE3R's or NOCS's layout; its frames and masks are read, its labels never."""
    out: Path
    """Run folder: audit log, state to resume from, report.html, and at the end checkpoint/."""
    split: str = "test"
    """Split to adapt to."""
    weights: str = "bundled"
    """The model to adapt: a bundled one by name or a checkpoint folder."""
    frames: int | None = None
    """Only the first so many frames."""
    processes: int = 1
    """Processes that share the frames."""
    snapshot_every: int = 25
    """Frames of each process from one snapshot to the next: what a killed run has to do again at most."""
    detections: Path | None = None
    """Masks of a detector, not those beside the frames: a BOP detections file, or a folder of NOCS's."""
    min_score: float = 0.0
    """Leave out detections with a lower score."""
