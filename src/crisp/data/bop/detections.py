"""What the BOP challenge hands out beside a data set: targets to estimate, and detections with RLE masks.

Formats: https://bop.felk.cvut.cz/challenges and, for the masks, COCO's run-length encoding.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from pycocotools import mask as coco_mask

from crisp.data.dataset import Dataset, Detected, DetectedMasks, DetectionsKind, FrameKey
from crisp.documents import parse_json
from crisp.errors import InputError, ObjectFailure
from crisp.sources.frames import numbers
from crisp.types import Detection

COMPRESSED_OFFSET = 48  # "0": six bits a character, the lowest five of which count
MORE, SIGN = 0x20, 0x10
MAX_PIXELS = 100_000_000
"""Of a mask whose image's size is not known: a few bytes of a file must not ask for all memory."""


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

    def of(
        self, key: FrameKey, *, min_score: float = 0.0, size: tuple[int, int] | None = None
    ) -> tuple[Detection | ObjectFailure, ...]:
        """A frame's detections with at least that score, in the file's order.

        For each its mask, object id (`category_id`) and score; what is damaged is the trouble of that
        detection alone.

        Args:
            size: (height, width) of the frame, where it is known: masks of another size are damaged.
        """
        entries = self._frames.get(key, ())
        found = [_detection(entry, source, min_score=min_score, size=size) for source, entry in entries]
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


def _detection(
    entry: dict[str, Any], source: str, *, min_score: float, size: tuple[int, int] | None
) -> Detection | ObjectFailure | None:
    """None where the score is too low."""
    try:
        score = float(_numbers(entry, ("score",), source)[0])
        if score < min_score:
            return None
        (object_id,) = _whole(entry, ("category_id",), source)
        mask = decode_mask(entry.get("segmentation"), source, size=size)
        return Detection(mask, object_id=object_id, score=score)
    except ObjectFailure as failure:
        return failure
    except InputError as error:
        return ObjectFailure("mask_unreadable", str(error))


def decode_mask(
    segmentation: Any, source: str, *, size: tuple[int, int] | None = None
) -> Bool[np.ndarray, "h w"]:
    """A mask from COCO's run lengths: columns one after the other, beginning with the pixels that are off.

    pycocotools is compiled and believes what it is given: run lengths whose sum overflows write past the end
    of the mask. So size and run lengths are checked here, in integers that cannot overflow.

    Args:
        segmentation: parsed JSON: `size` (height, width) and `counts`, a list or a compressed string.
        source: begins the sentence of the error.
        size: (height, width) of the image; None where it is not known, and at most `MAX_PIXELS` are taken.

    Raises:
        InputError: another form, or run lengths that do not fill the image exactly.
        ObjectFailure: another size than the image's (`mask_size`).
    """
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise InputError(f"{source} has no mask: its segmentation must have size and counts (RLE).")
    height, width = _checked_size(segmentation["size"], source, size=size)
    counts = segmentation["counts"]
    runs = _decompressed(counts, source) if isinstance(counts, str) else counts
    whole = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
    if not whole or sum(runs) != height * width:
        raise InputError(
            f"{source} has run lengths that do not fill its {width}x{height} image: its mask is damaged."
        )
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return coco_mask.decode(rle).astype(bool, order="C")


def _checked_size(given: Any, source: str, *, size: tuple[int, int] | None) -> tuple[int, int]:
    if not isinstance(given, list) or len(given) != 2 or not all(type(v) is int and v > 0 for v in given):
        raise InputError(f"size of {source} must be two whole numbers above 0, height and width.")
    height, width = given
    if size is not None and (height, width) != size:
        raise ObjectFailure("mask_size", f"size of {source} is not its image's, {size[1]}x{size[0]}.")
    if height * width > MAX_PIXELS:
        raise InputError(f"size of {source} is more than {MAX_PIXELS} pixels.")
    return height, width


def _decompressed(text: str, source: str) -> list[int]:
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
    if place:
        raise InputError(f"{source} has run lengths that are no compressed RLE: its mask is damaged.")
    return runs


class BopDetectedMasks(DetectedMasks):
    """A detections file of the BOP challenge."""

    def __init__(self, path: Path, dataset: Dataset, *, min_score: float) -> None:
        super().__init__(path, min_score=min_score)
        self._dataset = dataset
        self._read = BopDetections(path)
        self.faults = self._read.faults

    def found(self, key: FrameKey) -> tuple[Detected, ...]:
        masks = self._read.of(key, min_score=self.min_score, size=self._size(key))
        return tuple(Detected(mask) for mask in masks)

    def _size(self, key: FrameKey) -> tuple[int, int] | None:
        try:
            return self._dataset.image_size(key)
        except InputError:  # of the image, and said where the image is asked for
            return None

    def digest(self) -> str:
        return self._read.sha256


def _recognises(dataset: Dataset, path: Path) -> bool:
    from crisp.data.bop.reader import BopDataset

    return isinstance(dataset, BopDataset)


DETECTIONS = DetectionsKind(
    looks_like="a detections JSON of the BOP challenge for a BOP set",
    recognises=_recognises,
    reader=lambda dataset, path, min_score: BopDetectedMasks(path, dataset, min_score=min_score),
)


def _target(entry: dict[str, Any], source: str) -> Target:
    scene_id, im_id, object_id, count = _whole(entry, ("scene_id", "im_id", "obj_id", "inst_count"), source)
    return Target(FrameKey(scene_id, im_id), object_id, count)


def _entries(path: Path) -> list[dict[str, Any]]:
    content = parse_json(path)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise InputError(f"{path} must hold a JSON list of objects, as the BOP challenge writes it.")
    return content


def _whole(entry: dict[str, Any], names: tuple[str, ...], source: str) -> tuple[int, ...]:
    return tuple(int(value) for value in _numbers(entry, names, source))


def _numbers(entry: dict[str, Any], names: tuple[str, ...], source: str) -> Float[np.ndarray, " n"]:
    if missing := [name for name in names if name not in entry]:
        raise InputError(f"{source} has no {missing[0]}.")
    if nested := [name for name in names if isinstance(entry[name], list | dict)]:
        raise InputError(f"{nested[0]} of {source} must be a number.")
    what = f"{', '.join(names)} of {source}"
    return numbers([entry[name] for name in names], count=len(names), what=what)
