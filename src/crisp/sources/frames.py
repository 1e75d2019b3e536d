"""Reads one's own images, camera files and masks; refuses with one sentence what cannot be meant."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageFile

from crisp.documents import read_json
from crisp.errors import InputError, ObjectFailure, naming
from crisp.geometry.camera import Camera
from crisp.types import Detection, Frame

MM_PER_M = 1000.0
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
COLOUR_MODES = ("RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr")


@dataclass(frozen=True, eq=False)
class CameraEntry:
    """What a camera file, or one entry of BOP's `scene_camera.json`, says.

    Args:
        K: (3, 3) float64, pixels.
        depth_scale: raw value x depth_scale = millimetres; None where the file does not give it.
        size_wh: width and height in pixels; None where the file does not give them.
    """

    K: Float[np.ndarray, "3 3"]
    depth_scale: float | None
    size_wh: tuple[int, int] | None


def read_frame(*, rgb: Path, depth: Path, camera: Path, frame_id: str | None = None) -> Frame:
    """Read one RGB-D frame.

    Args:
        rgb: PNG or JPEG of 8 bits a channel; grey is repeated, an alpha channel is dropped.
        depth: 16-bit PNG or TIFF (raw x depth_scale = millimetres), or `.npy` of floating point metres.
        camera: JSON with `cam_K` or `K` (9 numbers, row-major), `depth_scale`, and optionally `width` and
            `height`.
        frame_id: the colour image's name without its ending, unless given.

    Raises:
        InputError: a file that is missing, damaged or of the wrong kind, or files that do not fit together.
    """
    entry = camera_entry(read_json(camera), source=str(camera))
    return assemble_frame(
        rgb=rgb,
        depth=depth,
        entry=entry,
        source=str(camera),
        frame_id=rgb.stem if frame_id is None else frame_id,
    )


def assemble_frame(*, rgb: Path, depth: Path, entry: CameraEntry, source: str, frame_id: str) -> Frame:
    """Read both images and join them with a camera that is known already.

    Args:
        source: where `entry` comes from, for messages.

    Raises:
        InputError: as `read_frame`.
    """
    image = read_colour(rgb)
    height, width = image.shape[:2]
    if entry.size_wh not in (None, (width, height)):
        raise InputError(
            f"{source} is for {_wh(entry.size_wh)} images but {rgb} is {width}x{height}: "
            "K must belong to the image's size."
        )
    depth_m = read_depth(depth, entry.depth_scale, source=source)
    if depth_m.shape != (height, width):
        raise InputError(
            f"{depth} is {_wh(depth_m.shape[::-1])} but {rgb} is {width}x{height}: "
            "depth must be registered to the colour image."
        )
    with naming(source):
        camera = Camera(entry.K, width, height)
    with naming(str(depth)):
        return Frame(image, depth_m, camera, frame_id)


def read_colour(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a colour or grey image of 8 bits a channel as RGB; alpha is dropped.

    Raises:
        InputError: the file is missing, damaged, or of another bit depth.
    """
    image = decode_image(path)
    if image.mode not in COLOUR_MODES:
        raise InputError(
            f"{path} has pixels of mode {image.mode}: the colour image must have 8 bits a channel."
        )
    return np.array(image.convert("RGB"))


def read_depth(path: Path, depth_scale: float | None, *, source: str) -> Float[np.ndarray, "h w"]:
    """Read a depth map in metres (float32 from an image), 0 = no value.

    Args:
        path: 16-bit PNG or TIFF, or `.npy` of floating point metres.
        depth_scale: raw value x depth_scale = millimetres; not used for `.npy`.
        source: where depth_scale ought to stand, for messages.

    Raises:
        InputError: the file is missing, damaged, not such an image, or depth_scale is missing.
    """
    if path.suffix.lower() == ".npy":
        return _read_npy_depth(path)
    image = decode_image(path)
    if image.mode == "F":
        raise InputError(
            f"{path} is an image of floating point numbers, whose unit nothing says: "
            "write a 16-bit PNG or TIFF, or .npy with metres."
        )
    if image.mode not in SIXTEEN_BIT_MODES:
        what = "8-bit image" if image.mode in COLOUR_MODES else f"image of mode {image.mode}"
        raise InputError(
            f"{path} is an {what}: depth in 8 bits cannot hold millimetres; "
            "write a 16-bit PNG or TIFF, or .npy with metres."
        )
    if depth_scale is None:
        raise InputError(
            f"{source} has no depth_scale: give it, so that raw value x depth_scale = millimetres."
        )
    # In double precision, so that a raw value gives the same float32 whatever the scale's rounding.
    return (np.asarray(image, dtype=np.float64) * (depth_scale / MM_PER_M)).astype(np.float32)


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """Read a mask: a pixel is on where any colour is above 0; alpha says nothing.

    An empty mask, or one of another size than the frame, is the object's trouble and not the file's:
    `estimate` reports it for that object and goes on with the others.

    Raises:
        InputError: the file is missing or damaged.
    """
    image = decode_image(path)
    if image.mode in COLOUR_MODES:
        return np.asarray(image.convert("RGB")).max(axis=2) > 0
    return np.asarray(image) > 0


def read_detection(path: Path) -> Detection | ObjectFailure:
    """A detection from a mask's file; a file that is missing or damaged is that one object's trouble."""
    try:
        return Detection(read_mask(path))
    except InputError as error:
        return ObjectFailure("mask_unreadable", str(error))


def camera_entry(content: Mapping[str, Any], *, source: str) -> CameraEntry:
    """Check what a camera file, or an entry of BOP's `scene_camera.json`, says.

    Raises:
        InputError: K is missing or has not 9 numbers, depth_scale is not positive, half a size is given.
    """
    key = "cam_K" if "cam_K" in content else "K"
    if key not in content:
        raise InputError(f"{source} has no cam_K: give the 9 numbers of the 3x3 intrinsics, row by row.")
    K = numbers(content[key], count=9, what=f"{key} in {source}").reshape(3, 3)
    scale = content.get("depth_scale")
    if scale is not None:
        scale = float(numbers([scale], count=1, what=f"depth_scale in {source}")[0])
        if scale <= 0:
            raise InputError(
                f"depth_scale in {source} is {scale:g}: it must be positive "
                "(raw value x depth_scale = millimetres)."
            )
    return CameraEntry(K, scale, _image_size(content, source))


def numbers(values: Any, *, count: int, what: str) -> Float[np.ndarray, " n"]:
    """`count` finite numbers out of parsed JSON, flat or nested, as float64.

    Raises:
        InputError: they are not numbers, not finite, or not so many; `what` begins the sentence.
    """
    try:
        array = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} must be {count} numbers, got {str(values)[:60]}.") from error
    if array.size != count or not np.isfinite(array).all():
        found = f"{array.size}" if array.size != count else "some that are not finite"
        raise InputError(f"{what} must be {count} finite number{'s' * (count > 1)}, got {found}.")
    return array


def _image_size(content: Mapping[str, Any], source: str) -> tuple[int, int] | None:
    given = [key for key in ("width", "height") if key in content]
    if not given:
        return None
    if len(given) == 1:
        raise InputError(f"{source} gives {given[0]} alone: give both width and height, or neither.")
    width, height = numbers([content[key] for key in given], count=2, what=f"width and height in {source}")
    return int(width), int(height)


def _read_npy_depth(path: Path) -> Float[np.ndarray, "h w"]:
    try:
        depth_m = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or 'it is no .npy file'}.") from error
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is damaged or no .npy file of plain numbers.") from error
    if (
        not isinstance(depth_m, np.ndarray)
        or depth_m.ndim != 2
        or not np.issubdtype(depth_m.dtype, np.floating)
    ):
        raise InputError(f"{path} must hold one (H, W) array of floating point metres.")
    return depth_m


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image from its file's head; no pixel is read.

    Raises:
        InputError: the file is missing or no image.
    """
    with _opened(path) as image:
        return image.height, image.width


def decode_image(path: Path) -> Image.Image:
    """A whole image in the mode of its file.

    Raises:
        InputError: the file is missing, no image, or damaged.
    """
    with _opened(path) as image:
        _check_depth_of_colour(image, path)
        image.load()
        return image.copy()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    # A program that embeds us may have set it; half an image would be grey or zero below the cut.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(path) as image:
            yield image
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image that can be read: use PNG, JPEG or TIFF.") from error
    except InputError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise InputError(f"cannot read {path}: {error.strerror}.") from error
        raise InputError(f"{path} is damaged or cut short ({error}): write it again.") from error
    except (SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        # What Pillow's decoders raise, one or the other, on broken chunks and headers.
        raise InputError(f"{path} is damaged or cut short ({error}): write it again.") from error


def _check_depth_of_colour(image: Image.Image, path: Path) -> None:
    """Pillow reads several channels of 16 bits as 8, without a word: the low byte is cut off."""
    if image.mode in COLOUR_MODES and any(";16" in str(tile) for tile in image.tile):  # type: ignore[attr-defined]
        raise InputError(
            f"{path} has several channels of 16 bits: colour must have 8 bits a channel, "
            "depth a single channel of 16."
        )


def _wh(size_wh: tuple[int, ...] | None) -> str:
    return "x".join(map(str, size_wh or ()))
