"""What the BOP challenge hands out beside a data set: targets to estimate, and detections with RLE masks.

Formats: https://bop.felk.cvut.cz/challenges and, for the masks, COCO's run-length encoding.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from crisp.data.dataset import FrameKey
from crisp.documents import parse_json
from crisp.errors import InputError, ObjectFailure
from crisp.sources.frames import numbers
from crisp.types import Detection

COMPRESSED_OFFSET = 48  # "0": six bits a character, the lowest five of which count
MORE, SIGN = 0x20, 0x10


@dataclass(frozen=True, order=True)
class Target:
    """One line of `test_targets_bop19.json`: `count` instances of this object are looked for in a frame."""

    key: FrameKey
    object_id: int
    count: int


def read_targets(path: Path) -> tuple[Target, ...]:
    """The targets of a file such as `test_targets_bop19.json`, sorted.

    Raises:
        InputError: the file is missing or not of that form.
    """
    return tuple(sorted(_target(entry, f"target {i} in {path}") for i, entry in enumerate(_entries(path))))


class BopDetections:
    """A detections file: parsed at once, masks decoded when a frame is asked for.

    Attributes:
        faults: a sentence for each entry that says neither scene nor image; the others are there.
        sha256: of the file.

    Raises:
        InputError: the file is missing or not of that form.
    """

    def __init__(self, path: Path) -> None:
        self._frames: dict[FrameKey, list[tuple[str, dict[str, Any]]]] = {}
        faults = []
        for index, entry in enumerate(_entries(path)):
            source = f"detection {index} in {path}"
            try:
                scene_id, im_id = _whole(entry, ("scene_id", "image_id"), source)
            except InputError as error:
                faults.append(str(error))
                continue
            self._frames.setdefault(FrameKey(scene_id, im_id), []).append((source, entry))
        self.faults = tuple(faults)
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    @property
    def keys(self) -> tuple[FrameKey, ...]:
        """Frames with detections, in the file's order."""
        return tuple(self._frames)

    def of(self, key: FrameKey, *, min_score: float = 0.0) -> tuple[Detection | ObjectFailure, ...]:
        """A frame's detections with at least that score, in the file's order.

        For each its mask, object id (`category_id`) and score; what is damaged is the trouble of that
        detection alone.
        """
        entries = self._frames.get(key, ())
        found = [_detection(entry, source, min_score) for source, entry in entries]
        return tuple(one for one in found if one is not None)


def read_detections(path: Path) -> dict[FrameKey, tuple[Detection | ObjectFailure, ...]]:
    """All detections with masks, by frame, in the file's order: for files that fit into memory.

    Raises:
        InputError: the file is missing, not of that form, or says of an entry neither scene nor image.
    """
    found = BopDetections(path)
    if found.faults:
        raise InputError(found.faults[0])
    return {key: found.of(key) for key in found.keys}


def _detection(entry: dict[str, Any], source: str, min_score: float) -> Detection | ObjectFailure | None:
    """None where the score is too low."""
    try:
        score = float(numbers([entry.get("score")], count=1, what=f"score of {source}")[0])
        if score < min_score:
            return None
        (object_id,) = _whole(entry, ("category_id",), source)
        return Detection(decode_mask(entry.get("segmentation"), source), object_id=object_id, score=score)
    except InputError as error:
        return ObjectFailure("mask_unreadable", str(error))


def decode_mask(segmentation: Any, source: str) -> Bool[np.ndarray, "h w"]:
    """A mask from COCO's run lengths: columns one after the other, beginning with the pixels that are off.

    Args:
        segmentation: `size` (height, width) and `counts`, a list or a compressed string.

    Raises:
        InputError: another form, or runs that do not fill the image; `source` begins the sentence.
    """
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise InputError(f"{source} has no mask: its segmentation must have size and counts (RLE).")
    height, width = (int(v) for v in numbers(segmentation["size"], count=2, what=f"size of {source}"))
    counts = segmentation["counts"]
    runs = _decompressed(counts, source) if isinstance(counts, str) else np.asarray(counts)
    if runs.ndim != 1 or runs.dtype.kind not in "iu" or (runs < 0).any() or runs.sum() != height * width:
        raise InputError(
            f"{source} has run lengths that do not fill its {width}x{height} image: its mask is damaged."
        )
    on = np.arange(len(runs)) % 2 == 1
    return np.repeat(on, runs).reshape(width, height).T.copy()


def encode_mask(mask: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    """COCO's uncompressed run lengths of a mask; `decode_mask` is the way back."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    begins_on = bool(flat.size) and bool(flat[0])
    return {"size": list(mask.shape), "counts": [0, *runs] if begins_on else runs}


def _decompressed(text: str, source: str) -> np.ndarray:
    """Five bits a character, lowest first; from the fourth run on the difference to the one before last."""
    runs: list[int] = []
    place, value = 0, 0
    for character in text:
        bits = ord(character) - COMPRESSED_OFFSET
        if not 0 <= bits < 64 or place > 60:
            raise InputError(f"{source} has run lengths that are no compressed RLE: its mask is damaged.")
        value |= (bits & 0x1F) << place
        place += 5
        if bits & MORE:
            continue
        if bits & SIGN:
            value -= 1 << place
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        place, value = 0, 0
    return np.array(runs, dtype=np.int64)


def _target(entry: dict[str, Any], source: str) -> Target:
    scene_id, im_id, object_id, count = _whole(entry, ("scene_id", "im_id", "obj_id", "inst_count"), source)
    return Target(FrameKey(scene_id, im_id), object_id, count)


def _entries(path: Path) -> list[dict[str, Any]]:
    content = parse_json(path)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise InputError(f"{path} must hold a JSON list of objects, as the BOP challenge writes it.")
    return content


def _whole(entry: dict[str, Any], names: tuple[str, ...], source: str) -> tuple[int, ...]:
    if missing := [name for name in names if name not in entry]:
        raise InputError(f"{source} has no {missing[0]}.")
    values = numbers(
        [entry[name] for name in names], count=len(names), what=f"{', '.join(names)} of {source}"
    )
    return tuple(int(value) for value in values)
