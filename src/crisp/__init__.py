"""Object pose and shape from one RGB-D frame.

>>> import crisp
>>> model = crisp.load("bundled")
>>> frame = crisp.Frame.from_files("rgb.png", "depth.png", "camera.json")
>>> results = model.estimate(frame, masks)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crisp.errors import InputError
from crisp.types import Frame, Result

if TYPE_CHECKING:
    from crisp.adapt.adapter import Adapter
    from crisp.model import Model

__version__ = "0.1.0"
__all__ = ["Adapter", "Frame", "InputError", "Result", "__version__", "load"]


def load(source: str = "bundled", *, device: str | None = None) -> Model:
    """A model ready to estimate: "bundled", a checkpoint folder, or (later) a hub id.

    Args:
        source: name of a bundled model or path of a checkpoint folder.
        device: "cpu", "cuda", ... ; by default a GPU where there is one.

    Raises:
        InputError: there is no such checkpoint, or its files do not match their hashes.
    """
    from crisp.model import load_model

    return load_model(source, device=device)


def __getattr__(name: str) -> type[Adapter]:
    """`crisp.Adapter`, which needs torch, is imported when first asked for."""
    if name == "Adapter":
        from crisp.adapt.adapter import Adapter

        return Adapter
    raise AttributeError(f"module 'crisp' has no attribute {name!r}")
