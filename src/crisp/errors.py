"""The two ways in which an input can be unusable, told apart because one stops a run and one does not.

What is wrong inside the package is a third: a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Status = Literal[
    "ok",
    "mask_unreadable",
    "mask_empty",
    "mask_size",
    "depth_missing",
    "too_few_points",
    "registration_failed",
    "no_surface",
]


class InputError(ValueError):
    """What was handed in cannot be used. The message is one sentence: what is wrong, and what would be right.

    The command line prints it and exits with code 2.
    """


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Put the file's name before the sentence of an InputError raised inside."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Around imports of packages that come with an extra of this package.

    Args:
        extra: its name, such as "synth".

    Raises:
        InputError: one of them is not installed; the sentence says how to get it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f'this needs the package {error.name}: pip install "crisp-pose[{extra}]".'
        ) from error


class ObjectFailure(Exception):
    """One object of a frame cannot be estimated; its siblings go on.

    Carries the status that `results.json` reports and a sentence for a person.
    """

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status: Status = status
        self.message = message


def form_of(values: object) -> str:
    """Shape and number type of an array or tensor, for messages; of anything else its type's name."""
    shape, dtype = getattr(values, "shape", None), getattr(values, "dtype", None)
    if shape is None or dtype is None:
        return type(values).__name__
    return f"{tuple(shape)} {str(dtype).removeprefix('torch.')}"


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
