"""What records check at birth: users' data are refused with InputError, the package's own with ValueError."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from crisp.errors import InputError

MAX_DEPTH_M = 50.0
MIN_MEDIAN_DEPTH_M = 0.05


def check_depth(depth_m: np.ndarray) -> None:
    """Refuse what cannot be a depth map in metres, 0 where nothing was measured.

    Raises:
        InputError: other numbers than floating point, values that are not finite or are negative, no
            measurement at all, or a median that tells of another unit.
    """
    if not np.issubdtype(depth_m.dtype, np.floating):
        raise InputError(f"depth must be floating point metres, got {depth_m.dtype}.")
    if not np.isfinite(depth_m).all():
        raise InputError("depth holds NaN or infinity: write 0 where there is no measurement.")
    valid = depth_m[depth_m > 0]
    if (depth_m < 0).any():
        raise InputError("depth holds negative values: it must be metres along the optical axis.")
    if valid.size == 0:
        raise InputError("depth is zero everywhere: the depth image holds no measurement.")
    median = float(np.median(valid))
    if median > MAX_DEPTH_M:
        raise InputError(
            f"the median depth is {median:.0f} m: this looks like millimetres read as metres; "
            "check depth_scale (raw value x depth_scale = millimetres)."
        )
    if median < MIN_MEDIAN_DEPTH_M:
        raise InputError(
            f"the median depth is {1000 * median:.2f} mm: this looks like a wrong depth_scale "
            "(raw value x depth_scale = millimetres)."
        )


def form_of(values: object) -> str:
    """Shape and number type of an array or tensor, for messages; of anything else its type's name."""
    if isinstance(values, np.ndarray | Tensor):
        return f"{tuple(values.shape)} {str(values.dtype).removeprefix('torch.')}"
    return type(values).__name__


def require(right: bool, record: str, wanted: str, *got: object) -> None:
    """Refuse a record that the package itself makes: a fault in one is a programmer's, not the user's.

    Raises:
        ValueError: not `right`; the sentence says what the record must have and the form of what it got.
    """
    if not right:
        raise ValueError(f"{record} must have {wanted}, got {', '.join(map(form_of, got))}")


def require_box(box_px: tuple[int, int, int, int], record: str) -> None:
    """Refuse a box that is not left, top, right, bottom in pixels, with at least one pixel inside.

    Raises:
        ValueError: as `require`.
    """
    left, top, right, bottom = box_px
    if left >= right or top >= bottom:
        raise ValueError(f"{record}'s box must be left, top, right, bottom, got {box_px}")


def at_least(record: object, least: int, *keys: str) -> None:
    """Written so that NaN, which TOML can say, is refused as well."""
    for key in keys:
        if not least <= (value := getattr(record, key)) < math.inf:
            raise InputError(f"{key} must be at least {least}, got {value}.")


def at_most(record: object, most: int, *keys: str) -> None:
    for key in keys:
        if not (value := getattr(record, key)) <= most:
            raise InputError(f"{key} must be at most {most}, got {value}.")


def one_of(record: object, key: str, known: tuple[str, ...]) -> None:
    if (value := getattr(record, key)) not in known:
        raise InputError(f"{key} must be {' or '.join(known)}, got {value}.")


def above_zero(record: object, *keys: str) -> None:
    for key in keys:
        if not 0 < (value := getattr(record, key)) < math.inf:
            raise InputError(f"{key} must be positive, got {value}.")
