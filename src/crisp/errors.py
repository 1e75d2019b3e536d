"""The two ways in which an input can be unusable, told apart because one stops a run and one does not."""

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


class MissingExtraError(InputError):
    """A part of the package that has to be installed first."""


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Around imports of packages that come with an extra of this package.

    Args:
        extra: its name, such as "synth".

    Raises:
        MissingExtraError: one of them is not installed; the sentence says how to get it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
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
