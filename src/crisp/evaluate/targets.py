"""Targets files of BOP19: which frames are scored, and which labels protocol `bop` looks for."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crisp.data.bop.detections import read_targets
from crisp.data.dataset import Dataset, FrameKey
from crisp.errors import InputError
from crisp.evaluate.cases import Case


@dataclass(frozen=True, eq=False)
class Targets:
    """A targets file such as `test_targets_bop19.json`.

    Args:
        counts: instances to be found, by frame and object.
    """

    file: str
    sha256: str
    counts: Mapping[tuple[FrameKey, int], int]

    @property
    def keys(self) -> tuple[FrameKey, ...]:
        """The frames that the file names, sorted."""
        return tuple(sorted({key for key, _ in self.counts}))

    def chosen(self, cases: Sequence[Case]) -> list[int]:
        """Of each object the `inst_count` most visible labels, as BOP19 has it."""
        order = sorted(range(len(cases)), key=lambda k: (-_visible(cases[k]), k))
        left = dict(self.counts)
        found = []
        for k in order:
            what = (cases[k].key, cases[k].instance.object_id)
            if left.get(what, 0) > 0:
                left[what] -= 1
                found.append(k)
        return sorted(found)


def targets_of(path: str | Path, dataset: Dataset) -> Targets:
    """Read a targets file.

    Args:
        path: of the file, or its name in the data set's folder.
        dataset: that must have the frames.

    Raises:
        InputError: there is no such file, it is none, or it names a frame that the split has not.
    """
    path = Path(path)
    path = path if path.is_file() else dataset.root / path
    counts = {(target.key, target.object_id): target.count for target in read_targets(path)}
    known = set(dataset.bare_keys)
    if missing := sorted({key for key, _ in counts} - known):
        raise InputError(
            f"{path} names image {missing[0].frame_id}, which split '{dataset.split}' of {dataset.root} "
            "has not."
        )
    return Targets(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), counts)


def _visible(case: Case) -> float:
    share = case.instance.visib_fract
    return 1.0 if math.isnan(share) else share
