"""Run lengths that lie: each costs its own detection, and neither its siblings nor the process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detections_file import compressed, detection

from crisp.data.bop.detections import decode_mask, read_detections
from crisp.data.dataset import FrameKey
from crisp.data.layouts import open_dataset
from crisp.errors import InputError, ObjectFailure
from crisp.sources.masks import open_detections
from crisp.types import Detection

HEIGHT, WIDTH = 4, 6
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[1:3, 2:5] = True
WRAP = 2**64  # adds nothing to a sum of 64 bits


def in_characters(runs: list[int]) -> str:
    """COCO's compression without its limits: any whole number, in as many characters as it takes."""
    text = ""
    for i, run in enumerate(runs):
        left = run - runs[i - 2] if i > 2 else run
        while True:
            bits, left = left & 0x1F, left >> 5
            done = left == (-1 if bits & 0x10 else 0)
            text += chr(48 + bits + (0 if done else 0x20))
            if done:
                break
    return text


def rle(counts: Any, size: Any = (HEIGHT, WIDTH)) -> dict[str, Any]:
    return {"size": list(size) if isinstance(size, tuple) else size, "counts": counts}


LIES = {
    "the sum wraps to the image's": rle([WRAP - 24, 24, 24]),
    "the sum wraps in 32 bits": rle([2**32, 24]),
    "the sum wraps at the sign": rle([2**63 - 1, 2**63 - 1, 26]),
    "a huge run": rle([10**300]),
    "a negative run": rle([30, -6]),
    "negative runs that sum up": rle([2**62, 2**62, 24 - 2**63]),
    "too few": rle([7]),
    "too many": rle([24, 1]),
    "no run": rle([]),
    "floating point": rle([12.0, 12.0]),
    "truth values": rle([True] * 24),
    "texts": rle(["12", "12"]),
    "nested": rle([[12, 12]]),
    "deeply nested": rle([[[[[[12]]]]], 12]),
    "a number": rle(24),
    "nothing": rle(None),
    "an object": rle({"12": 12}),
    "a polygon": [[0, 0, 3, 0, 3, 3]],
    "no size": {"counts": [24]},
    "a size of none": rle([], (0, 0)),
    "a size of no height": rle([], (0, 6)),
    "a negative size": rle([24], (-4, -6)),
    "a huge size": rle([10**12], (10**6, 10**6)),
    "a size past 64 bits": rle([24], (WRAP + 4, 6)),
    "a size that wraps to the image's": rle([24], (2**63 + 4, 6)),
    "a size past all floats": rle([24], (10**400, 10**400)),
    "a nested size": rle([24], [[4], [6]]),
    "three sizes": rle([24], (4, 6, 1)),
    "one size": rle([24], (24,)),
    "a size in texts": rle([24], ("4", "6")),
    "a size in floating point": rle([24], (4.0, 6.0)),
    "a size of truth": rle([1], (True, True)),
    "a size that is a number": rle([24], 24),
    "text: the sum wraps to the image's": rle(in_characters([2**58] * 64 + [24])),
    "text: a negative run": rle(in_characters([30, -6])),
    "text: negative differences": rle(in_characters([2**58, 0, 2**58, 24 - 2**59])),
    "text: too large a number": rle(in_characters([WRAP + 24])),
    "text: without an end": rle("o" * 8),
    "text: a run that goes on": rle(compressed(MASK)["counts"] + "o"),
    "text: characters that are none": rle("\x00\x01"),
    "text: beyond ASCII": rle("\u20ac\U0001f600"),
    "text: empty": rle(""),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_mask_that_lies_is_refused(lie: Any) -> None:
    with pytest.raises(InputError):
        decode_mask(lie, "it")


def test_a_mask_of_another_size_than_its_image_is_refused() -> None:
    with pytest.raises(ObjectFailure) as caught:
        decode_mask(compressed(MASK), "it", size=(WIDTH, HEIGHT))
    assert caught.value.status == "mask_size"
    np.testing.assert_array_equal(decode_mask(compressed(MASK), "it", size=(HEIGHT, WIDTH)), MASK)


def test_runs_of_no_pixel_change_nothing() -> None:
    np.testing.assert_array_equal(decode_mask(rle([0, 0, 0, 24]), "it"), np.ones((HEIGHT, WIDTH), bool))


def test_each_lie_costs_its_own_detection(tmp_path: Path) -> None:
    key = FrameKey(7, 4)
    good = detection(key, MASK, object_id=1, score=0.5)
    broken = [good | {"segmentation": lie} for lie in LIES.values()]
    broken += [good | {"score": score} for score in (None, [0.5], {}, "high", 10**400, float("nan"))]
    broken += [good | {"category_id": said} for said in (None, [[1]], "one", float("inf"), 10**400)]
    entries = [entry for one in broken for entry in (one, good)]
    (tmp_path / "found.json").write_text(json.dumps(entries))
    found = read_detections(tmp_path / "found.json")[key]
    assert len(found) == len(entries)
    for lost, kept in zip(found[::2], found[1::2], strict=True):
        assert isinstance(lost, ObjectFailure) and lost.status == "mask_unreadable"
        assert isinstance(kept, Detection)
        np.testing.assert_array_equal(kept.mask, MASK)


def test_a_mask_of_another_size_than_its_frame_is_lost_alone(bop_root: Path, tmp_path: Path) -> None:
    """By the head of the frame's image: nothing of the wrong size is decoded."""
    dataset = open_dataset(bop_root, "train")
    key = dataset.keys[0]
    right = dataset.mask(key, 0)
    masks = (np.zeros((4000, 4000), bool), right)
    entries = [detection(key, mask, object_id=1, score=0.5) for mask in masks]
    (tmp_path / "found.json").write_text(json.dumps(entries))
    lost, kept = open_detections(dataset, tmp_path / "found.json").masks(key)
    assert isinstance(lost, ObjectFailure) and lost.status == "mask_size"
    assert isinstance(kept, Detection) and dataset.image_size(key) == right.shape
