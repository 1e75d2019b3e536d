"""Files appear whole or not at all, and JSON that every reader takes."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: str | bytes) -> None:
    """Write under a temporary name in the same folder, then rename: a reader never meets half a file.

    Text is written as UTF-8.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    temporary.replace(path)


def finite(value: Any) -> Any:
    """The value with None for every number in it that is infinite or NaN, which JSON does not have."""
    if isinstance(value, float):  # NumPy's doubles, too
        return float(value) if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
