"""Object pose and shape from one RGB-D frame.

>>> import crisp
>>> model = crisp.load("bundled")
>>> frame = crisp.Frame.from_files("rgb.png", "depth.png", "camera.json")
>>> results = model.estimate(frame, masks)

Names are imported when they are first asked for: `import crisp` alone takes milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crisp.errors import InputError

if TYPE_CHECKING:
    from crisp.adapt.adapter import Adapter
    from crisp.geometry.camera import Camera
    from crisp.model import Model
    from crisp.tracking.tracker import Tracker
    from crisp.types import Certificate, Detection, Frame, Mesh, Result

__version__ = "0.1.0"
__all__ = [
    "Adapter",
    "Camera",
    "Certificate",
    "Detection",
    "Frame",
    "InputError",
    "Mesh",
    "Model",
    "Result",
    "Tracker",
    "__version__",
    "load",
]

_HOMES = {
    "Adapter": "crisp.adapt.adapter",
    "Camera": "crisp.geometry.camera",
    "Certificate": "crisp.types",
    "Detection": "crisp.types",
    "Frame": "crisp.types",
    "Mesh": "crisp.types",
    "Model": "crisp.model",
    "Result": "crisp.types",
    "Tracker": "crisp.tracking.tracker",
}


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


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'crisp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
