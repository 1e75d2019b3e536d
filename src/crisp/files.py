"""Files and folders appear whole or not at all, and JSON that every reader takes.

All is written under a temporary name in the same folder and then renamed. Nobody can guess that name, and
it is opened only if nothing has it: a link is never followed, and two processes may write one file.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

PART = ".part"


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, which takes its place at the end; what fails on the way leaves nothing.

    A file that is there already stays until then. Permissions follow the umask. The folder must be there.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    temporary = _beside(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, whole or not at all; text as UTF-8.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    with whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def part_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside another, to be filled and moved to its place; what was not moved is removed.

    So is what a killed process left of the same folder: only one process may fill it. Parents are made.

    Raises:
        OSError: it cannot be made.
    """
    part = _beside(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for old in folder.parent.iterdir():
        if old.name.startswith(_start(folder)) and old.suffix == PART and not old.is_symlink():
            shutil.rmtree(old, ignore_errors=True)
    part.mkdir()
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f"{_start(path)}{secrets.token_hex(8)}{PART}")


def _start(path: Path) -> str:
    return f".{path.name[:64]}."  # the longest name that a file may have leaves room for no more


def finite(value: Any) -> Any:
    """The value with None for every number in it that is infinite or NaN, which JSON does not have."""
    if isinstance(value, float):  # NumPy's doubles, too
        return float(value) if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
