"""`crisp estimate`: one frame of one's own or a data set; `crisp evaluate predict`: the latter alone."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from crisp.errors import InputError
from crisp.evaluate.options import ModelChoice, PredictOptions
from crisp.sources.frame_files import FrameFiles

UNREADABLE = frozenset({"mask_unreadable", "mask_empty", "mask_size", "depth_missing", "too_few_points"})
"""Statuses that say that an input was wrong, not that the method found nothing."""


@dataclass(frozen=True)
class Estimate:
    """Pose and shape of objects: in one frame of your own, or in every frame of a data set."""

    out: Path
    """Folder for what is written: results.json, the meshes, report.html. Of a data set, a killed run goes on
    where it stopped."""
    frame: FrameFiles
    """One frame of your own."""
    dataset: Path | None = None
    """Data set in BOP's, SPE3R's or NOCS's layout, instead of a frame."""
    selection: PredictOptions = field(default_factory=PredictOptions)
    """What is taken of the data set, and what is written."""
    model: ModelChoice = field(default_factory=ModelChoice)
    """The model."""

    def run(self) -> int:
        if self.dataset is not None:
            if not self.frame.none:
                raise InputError("give either --dataset or --rgb, --depth, --camera and --masks, not both.")
            return Predict(self.out, self.dataset, self.selection, self.model).run()
        _refuse_options_of_sets(self.selection)
        from crisp.evaluate.predict import estimate_files

        results = estimate_files(self.frame, self.model, out=self.out, sinks=self.selection.sinks)
        pairs = zip(self.frame.masks, results, strict=True)
        _say(f"{mask.name}: {found.message}" for mask, found in pairs if found.status != "ok")
        return 2 if any(found.status in UNREADABLE for found in results) else 0


@dataclass(frozen=True)
class Predict:
    """Estimate every object of a split from its ground-truth visible mask, or a detector's, into a file."""

    out: Path
    """Folder for results.json and the meshes; a killed run goes on where it stopped."""
    dataset: Path
    """Data set in BOP's, SPE3R's or NOCS's layout."""
    selection: PredictOptions = field(default_factory=PredictOptions)
    """What is taken of the data set, and what is written."""
    model: ModelChoice = field(default_factory=ModelChoice)
    """The model."""

    def run(self) -> int:
        from crisp.evaluate.predict import predict

        faults = predict(self.model.load(), self.dataset, self.selection, out=self.out)
        _say(faults)
        print(f"results: {self.out}")
        return 2 if faults else 0


def _refuse_options_of_sets(options: PredictOptions) -> None:
    usual = PredictOptions(sinks=options.sinks)
    for item in dataclasses.fields(options):
        if getattr(options, item.name) != getattr(usual, item.name):
            name = item.name.replace("_", "-")
            raise InputError(f"--{name} needs --dataset: it says which of a set's frames and masks to take.")


def _say(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(f"crisp: {sentence}", file=sys.stderr)
