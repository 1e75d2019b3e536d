"""Masks of one's own: what counts as on, and what is left to the pipeline to judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crisp.errors import InputError
from crisp.sources.frames import read_mask

W, H = 32, 24
ON = np.zeros((H, W), bool)
ON[3:9, 4:11] = True


def in_blue(mask: np.ndarray) -> Image.Image:
    # Too dark to survive a rounded luminance, yet above 0.
    return Image.fromarray(np.stack([0 * mask, 0 * mask, 1 * mask], axis=2).astype(np.uint8))


def opaque(mask: np.ndarray) -> Image.Image:
    grey = mask.astype(np.uint8) * 255
    return Image.fromarray(np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=2))


@pytest.mark.parametrize(
    "paint",
    [
        lambda mask: Image.fromarray(mask.astype(np.uint8) * 255),
        lambda mask: Image.fromarray(mask.astype(np.uint8)),
        Image.fromarray,
        lambda mask: Image.fromarray(mask.astype(np.uint16) * 300),
        in_blue,
        opaque,
    ],
)
def test_a_mask_is_on_where_any_colour_is_above_zero(
    tmp_path: Path, paint: Callable[[np.ndarray], Image.Image]
) -> None:
    paint(ON).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == bool
    assert np.array_equal(mask, ON)


def test_an_empty_mask_is_read_for_the_pipeline_to_judge(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [[False] * 3] * 2


def test_a_mask_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.png: No such file"):
        read_mask(tmp_path / "none.png")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match=r"cut\.png is"):
        read_mask(tmp_path / "cut.png")
