"""Where a training run reads and writes: the record that `train` takes and `crisp train` fills in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HeadStorage = Literal["float16", "int8"]


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Where a training run reads and writes, and how much of it is done."""

    dataset: Path
    """Data set (BOP, SPE3R or NOCS) with models, poses and masks."""
    out: Path
    """Run folder: states to resume from, metrics, TensorBoard, and at the end checkpoint/."""
    split: str = "train"
    """Split to train on; some of its scenes are kept for validation."""
    cache: Path | None = None
    """Folder for kept features and distances; by default in the run folder."""
    share_backbone: Path | None = None
    """Refer to this backbone file from the checkpoint instead of writing a copy into it."""
    head_storage: HeadStorage = "float16"
    """How the heads are stored in the checkpoint."""
    overfit_one_batch: bool = False
    """Train on a single batch of crops: the losses must fall to almost nothing."""
    dry_run: bool = False
    """A few steps of every stage on a few frames, to see that everything is there; in OUT/dry_run."""

    @property
    def cache_folder(self) -> Path:
        return self.cache or self.out / "cache"
