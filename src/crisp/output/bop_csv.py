"""Results as the BOP challenge takes them: one CSV line an estimate (bop.felk.cvut.cz/challenges)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crisp.errors import InputError, ObjectFailure
from crisp.files import write_whole
from crisp.output.sink import FrameResults, NullSink, Run
from crisp.types import Detection, Result

HEADER = "scene_id,im_id,obj_id,score,R,t,time"
MM_PER_M = 1000.0
WRITE_EVERY = 10


@dataclass(frozen=True, eq=False)
class BopEstimate:
    """One estimate.

    Args:
        frame_id: scene and image, such as "000001/000003".
        object_id: in the data set.
        score: confidence, higher is better.
        T_camera_object: (4, 4), metres.
        frame_seconds: of all the frame's objects together.
    """

    frame_id: str
    object_id: int
    score: float
    T_camera_object: Float[np.ndarray, "4 4"]
    frame_seconds: float

    def line(self) -> str:
        """Translation in mm, rotation row by row, time in seconds."""
        scene_id, im_id = scene_and_image(self.frame_id)
        R = " ".join(map(repr, self.T_camera_object[:3, :3].ravel().tolist()))
        t = " ".join(map(repr, (MM_PER_M * self.T_camera_object[:3, 3]).tolist()))
        return f"{scene_id},{im_id},{self.object_id},{self.score:.6g},{R},{t},{self.frame_seconds:.6g}"


def scene_and_image(frame_id: str) -> tuple[int, int]:
    """The two numbers of a frame id.

    Raises:
        InputError: it is not of the form "000001/000003".
    """
    parts = frame_id.split("/")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"BOP's CSV needs frames named by scene and image (000001/000003), got {frame_id}.")
    return int(parts[0]), int(parts[1])


def file_name(dataset: str, split: str) -> str:
    """As the challenge wants it: method, data set and split, of which only the first two may hold a dash."""
    return f"crisp_{dataset.replace('_', '-')}-{split}.csv"


def bop_csv(estimates: Iterable[BopEstimate]) -> str:
    """The file's text, sorted by frame; the order within a frame stays."""
    ordered = sorted(estimates, key=lambda one: one.frame_id)
    return "\n".join([HEADER, *(one.line() for one in ordered)]) + "\n"


class BopCsv(NullSink):
    """All estimates of a run: `crisp_DATASET-SPLIT.csv`, or `bop.csv` where the settings name no data set.

    The object's id is the detection's, else the one that the model's library has for the estimate's label.
    What has neither, or no pose, is left out. The score is the inlier share.
    With `Run.resume`, the lines of an earlier run stay; a frame without a line is estimated again.
    """

    def open(self, run: Run) -> frozenset[str]:
        library = run.model.info.library
        self._ids = dict(zip(library.names, library.object_ids, strict=True))
        dataset, split = run.settings.get("dataset"), run.settings.get("split")
        self._path = run.folder / (file_name(dataset, split) if dataset and split else "bop.csv")
        self._frames: dict[str, list[str]] = self._earlier() if run.resume and self._path.exists() else {}
        self._unwritten = 0
        return frozenset(self._frames)

    def _earlier(self) -> dict[str, list[str]]:
        header, *lines = self._path.read_text(encoding="utf-8").splitlines() or [""]
        if header != HEADER:
            raise InputError(f"{self._path} is no results file of BOP's: remove it, or give another --out.")
        frames: dict[str, list[str]] = {}
        for line in lines:
            scene_id, im_id = line.split(",")[:2]
            frames.setdefault(f"{int(scene_id):06d}/{int(im_id):06d}", []).append(line)
        return frames

    def forget(self, frame_ids: Iterable[str]) -> None:
        for frame_id in frame_ids:
            self._frames.pop(frame_id, None)

    def add(self, found: FrameResults) -> None:
        scene_and_image(found.frame_id)  # refused even where there is no estimate to write
        seconds = sum(sum(result.timing_ms.values()) for result in found.results) / 1000
        pairs = zip(found.detections, found.results, strict=True)
        estimates = [self._estimate(found.frame_id, *pair, seconds=seconds) for pair in pairs]
        self._frames[found.frame_id] = [one.line() for one in estimates if one is not None]
        self._unwritten += 1
        if self._unwritten == WRITE_EVERY:
            self._write()

    def _estimate(
        self, frame_id: str, detection: Detection | ObjectFailure, result: Result, *, seconds: float
    ) -> BopEstimate | None:
        object_id = detection.object_id if isinstance(detection, Detection) else None
        if object_id is None:
            object_id = self._ids.get(result.label or "")
        if object_id is None or result.status != "ok" or result.T_camera_object is None:
            return None
        score = 1.0 if result.inlier_share is None else result.inlier_share
        return BopEstimate(frame_id, object_id, score, result.T_camera_object, seconds)

    def _write(self) -> None:
        lines = [line for frame_id in sorted(self._frames) for line in self._frames[frame_id]]
        write_whole(self._path, "\n".join([HEADER, *lines]) + "\n")
        self._unwritten = 0

    def close(self, written: Sequence[Path] = ()) -> tuple[Path]:
        self._write()
        return (self._path,)
