"""The files of one NOCS frame: names, units and quirks (Wang et al., CVPR 2019).

`NNNN_color.png`, `NNNN_depth.png` (mm), `NNNN_mask.png` (instance ids, 255 = background), `NNNN_coord.png`
(NOCS in 8 bits a channel, z flipped) and `NNNN_meta.txt` (instance, class, model; class 0 is a thing of no
category).

Reads the Mask R-CNN results on NOCS that go about as pickles, without running anything in them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from crisp.errors import InputError
from crisp.geometry.camera import Camera
from crisp.sources.frames import MM_PER_M, decode_image

Split = Literal["camera_train", "camera_val", "real_train", "real_test"]
SPLITS: tuple[Split, ...] = ("camera_train", "camera_val", "real_train", "real_test")
CATEGORIES = ("bottle", "bowl", "camera", "can", "laptop", "mug")  # classes 1 to 6
SYNSETS = ("02876657", "02880940", "02942699", "02946921", "03642806", "03797390")
REAL_K = ((591.0125, 0.0, 322.525), (0.0, 590.16775, 244.11084), (0.0, 0.0, 1.0))
CAMERA_K = ((577.5, 0.0, 319.5), (0.0, 577.5, 239.5), (0.0, 0.0, 1.0))
SIZE_WH = (640, 480)
BACKGROUND = 255


@dataclass(frozen=True)
class MetaLine:
    """One line of a meta file; `category` is None for a thing of no category."""

    instance_id: int
    category: str | None
    model: str
    synset: str | None


def is_real(split: Split) -> bool:
    """Whether a split's images are photographs, with models of known size."""
    return split.startswith("real")


def camera_of(split: Split, size_wh: tuple[int, int]) -> Camera:
    """The split's intrinsics; NOCS ships none. Images that were made smaller have theirs scaled along.

    Raises:
        InputError: the image has not the proportions of 640x480.
    """
    width, height = size_wh
    factor = width / SIZE_WH[0]
    if round(SIZE_WH[1] * factor) != height:
        raise InputError(
            f"NOCS images are {SIZE_WH[0]}x{SIZE_WH[1]}, or that made smaller; got {width}x{height}."
        )
    K = np.array(REAL_K if is_real(split) else CAMERA_K)
    K[:2] *= factor
    K[:2, 2] += (factor - 1) / 2  # pixel centres are integers, the image's edge is at -1/2
    return Camera(K, width, height)


def read_depth_m(path: Path) -> Float[np.ndarray, "h w"]:
    """Depth in metres, 0 = none: 16-bit millimetres, or those split into two of several 8-bit channels.

    Raises:
        InputError: the file is missing, damaged, or neither.
    """
    image = decode_image(path)
    values = np.asarray(image)
    if values.ndim == 3 and values.dtype == np.uint8 and values.shape[2] >= 3:
        # CAMERA's own depth: the high byte is green, the low byte red.
        raw = values[..., 1].astype(np.float64) * 256 + values[..., 0]
    elif values.ndim == 2 and image.mode.startswith("I"):
        raw = values.astype(np.float64)
    else:
        raise InputError(
            f"{path} is an image of mode {image.mode}: NOCS depth has 16 bits, or 8 in 3 channels."
        )
    return (raw / MM_PER_M).astype(np.float32)


def read_instance_ids(path: Path) -> UInt8[np.ndarray, "h w"]:
    """The instance at each pixel, 255 = background; in CAMERA's files it is the red channel.

    Raises:
        InputError: the file is missing, damaged, or not of 8 bits a channel.
    """
    values = np.asarray(decode_image(path))
    if values.dtype != np.uint8:
        raise InputError(f"{path} must have 8 bits a channel, as NOCS masks have.")
    return values if values.ndim == 2 else np.ascontiguousarray(values[..., 0])


def instance_ids(ids: UInt8[np.ndarray, "h w"]) -> tuple[int, ...]:
    """The instances that have a pixel, rising."""
    return tuple(int(number) for number in np.unique(ids) if number != BACKGROUND)


def read_coordinates(path: Path) -> Float[np.ndarray, "h w 3"]:
    """NOCS coordinates about the box's centre, -0.5 to 0.5 in units of the box's diagonal, y up.

    Raises:
        InputError: the file is missing, damaged, or has no three channels of 8 bits.
    """
    values = np.asarray(decode_image(path))
    if values.dtype != np.uint8 or values.ndim != 3 or values.shape[2] < 3:
        raise InputError(f"{path} must have three channels of 8 bits, as NOCS coordinates have.")
    coordinates = values[..., :3].astype(np.float64) / 255
    coordinates[..., 2] = 1 - coordinates[..., 2]
    return coordinates - 0.5


def coordinate_image(coordinates: Float[np.ndarray, "*n 3"]) -> UInt8[np.ndarray, "*n 3"]:
    """The way back from `read_coordinates`, in steps of 1/255; of an image or of single pixels."""
    values = coordinates + 0.5
    values[..., 2] = 1 - values[..., 2]
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)


def read_meta(path: Path) -> tuple[MetaLine, ...]:
    """The lines of a meta file, by rising instance id.

    Raises:
        InputError: the file is missing, or a line has not instance, class and model.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text ({error}).") from error
    lines = [_meta_line(line, path) for line in text.splitlines() if line.strip()]
    if len({line.instance_id for line in lines}) != len(lines):
        raise InputError(f"{path} names an instance twice.")
    return tuple(sorted(lines, key=lambda line: line.instance_id))


def _meta_line(text: str, path: Path) -> MetaLine:
    words = text.split()
    if len(words) not in (3, 4) or not re.fullmatch(r"[0-9]+ [0-6]", " ".join(words[:2])):
        raise InputError(
            f"{path} has the line '{text[:60]}': each must be instance, class (0 to 6), and model, or synset "
            "and model."
        )
    number = int(words[1])
    category = CATEGORIES[number - 1] if number else None
    return MetaLine(int(words[0]), category, words[-1], words[2] if len(words) == 4 else None)


def split_depth_image(raw: np.ndarray) -> Image.Image:
    """Millimetres as CAMERA holds them: RGBA, green the high byte and red the low one."""
    channels = [raw % 256, raw // 256, np.zeros_like(raw), np.full_like(raw, 255)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))
