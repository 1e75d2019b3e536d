"""The procedural objects, each built once for all tests."""

from __future__ import annotations

from functools import cache

from crisp.synth.procedural import names, object_model
from crisp.types import ObjectModel

built = cache(object_model)


def family() -> list[ObjectModel]:
    """All of the catalogue, in its order."""
    return [built(name) for name in names()]
