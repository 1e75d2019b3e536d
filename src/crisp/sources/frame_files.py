"""The files of a frame of one's own: the record that `crisp estimate` and `crisp doctor` fill in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class FrameFiles:
    """One RGB-D frame on disk, as `Frame.from_files` takes it, and a mask image for each object."""

    rgb: Path | None = None
    """Colour image (PNG or JPEG)."""
    depth: Path | None = None
    """Depth image: 16-bit PNG or TIFF, registered to the colour image."""
    camera: Path | None = None
    """JSON with cam_K (9 numbers, row by row) and depth_scale (raw value x depth_scale = millimetres)."""
    masks: tuple[Path, ...] = ()
    """One image per object, of the frame's size: above zero where the object is visible."""

    @property
    def none(self) -> bool:
        """No file is named."""
        return self == FrameFiles()
