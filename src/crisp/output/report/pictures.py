"""What the page knows of one object, and how it writes a length.

The report's pictures: arrays, and their text form within the page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from crisp.output.report.comparison import Comparison
from crisp.output.results import Truth
from crisp.shape.raster import ShadedMesh
from crisp.types import Frame, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MM = 1000.0


@dataclass(frozen=True, eq=False)
class Shown:
    """A result with all that the page shows of it; what is unknown is None.

    Args:
        comparison: with what the network alone had said.
        start_mesh: that one's, without normals.
        errors_start: that one's.
        right: whether the estimate is right, by the measure that the certificate is calibrated for.
    """

    number: int
    result: Result
    name: str
    mesh: ShadedMesh | None = None
    comparison: Comparison | None = None
    start_mesh: ShadedMesh | None = None
    truth_mesh: ShadedMesh | None = None
    T_camera_truth: Float[np.ndarray, "4 4"] | None = None
    errors: Truth | None = None
    errors_start: Truth | None = None
    right: bool | None = None
    symmetric: bool = False
    visible_share: float | None = None

    @property
    def corrected(self) -> bool:
        """There is an answer of the network alone to compare with."""
        return self.comparison is not None and self.comparison.start is not None


def millimetres(length_m: float) -> str:
    """A length for people, with a digit that still means something."""
    return f"{MM * length_m:.1f} mm"


PAPER = np.array([244, 245, 247], dtype=np.uint8)  # where a picture has nothing to show
JPEG_QUALITY = 80
TILE_PX = 240


def photograph(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """A data URI: JPEG, for pictures with many colours."""
    return _data_uri(image, "jpeg", quality=JPEG_QUALITY, optimize=True)


def drawing(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """A data URI: PNG, for even colours and sharp edges."""
    return _data_uri(image, "png", optimize=True)


def _data_uri(image: np.ndarray, form: str, **options: int) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format=form, **options)
    return _encoded(buffer, form)


def plotted(figure: Figure) -> str:
    """A data URI: a matplotlib figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return _encoded(buffer, "png")


def _encoded(buffer: io.BytesIO, form: str) -> str:
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def depth_colours(
    depth_m: Float[np.ndarray, "h w"], boxes_px: Sequence[tuple[int, int, int, int]] = ()
) -> tuple[UInt8[np.ndarray, "h w 3"], float, float]:
    """Depth as colour (near is light), with the depths of the two ends of the scale.

    The scale spans what lies in the boxes, so that far walls do not take all its colours.
    """
    from matplotlib import colormaps

    measured, near_objects = depth_m > 0, np.zeros(depth_m.shape, dtype=bool)
    for left, top, right, bottom in boxes_px:
        near_objects[top:bottom, left:right] = True
    chosen = measured & near_objects if (measured & near_objects).any() else measured
    near, far = (float(value) for value in np.percentile(depth_m[chosen], [1, 99]))
    share = np.clip((depth_m - near) / max(far - near, 1e-6), 0, 1)
    colours = (colormaps["magma_r"](0.05 + 0.85 * share)[..., :3] * 255).astype(np.uint8)
    return np.where(measured[..., None], colours, PAPER), near, far


def crop_picture(frame: Frame, box_px: tuple[int, int, int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """What the network was shown of an object, in its true proportions."""
    left, top, right, bottom = box_px
    part = Image.fromarray(np.ascontiguousarray(frame.rgb[top:bottom, left:right]))
    return np.array(part.resize(_tile(box_px), Image.Resampling.BICUBIC))


def pnc_picture(result: Result) -> UInt8[np.ndarray, "h w 3"] | None:
    """Predicted coordinates as colour (x red, y green, z blue), where there was a measured point."""
    if result.pnc is None or result.valid is None or result.box_px is None:
        return None
    colours = pnc_colours(result.pnc, result.valid)
    return np.array(Image.fromarray(colours).resize(_tile(result.box_px), Image.Resampling.NEAREST))


def pnc_colours(
    pnc: Float[np.ndarray, "g g 3"], valid: Bool[np.ndarray, "g g"]
) -> UInt8[np.ndarray, "g g 3"]:
    """Each axis runs from 0.1 to 1 of its colour over the object's largest extent, 0 in the middle."""
    reach = max(float(np.abs(pnc[valid]).max(initial=0.0)), 1e-6)
    colours = (255 * np.clip(0.55 + 0.45 * pnc / reach, 0.1, 1.0)).astype(np.uint8)
    return np.where(valid[..., None], colours, PAPER)


def _tile(box_px: tuple[int, int, int, int]) -> tuple[int, int]:
    """Width and height of a picture of the box whose longer side is a tile's."""
    left, top, right, bottom = box_px
    scale = TILE_PX / max(right - left, bottom - top)
    return max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
