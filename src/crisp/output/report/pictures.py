"""The report's pictures: arrays, and the text that stands for them within the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from crisp.geometry.camera import Camera
from crisp.output.drawing import Colour, borders
from crisp.shape.raster import Posed, Raster, enlarged, rasterise
from crisp.types import Frame, Result

PAPER: Colour = (244, 245, 247)  # where a picture has nothing to show
JPEG_QUALITY = 80
TILE_PX = 240
RESIDUAL_RAMP: tuple[Colour, ...] = (
    (255, 248, 196),
    (255, 208, 96),
    (248, 138, 52),
    (220, 50, 36),
    (128, 10, 42),
)
DEPTH_RAMP: tuple[Colour, ...] = (
    (253, 232, 178),
    (252, 166, 118),
    (222, 82, 102),
    (146, 44, 128),
    (76, 22, 112),
    (26, 15, 56),
)
RESIDUAL_LIMIT_M = 0.010  # the darkest colour, and what the paper's certificate allows on YCBV
SHADES = 24  # as many as an eye tells apart; few colours make small pictures
OUTLINE: Colour = (22, 32, 43)
MARGIN_SHARE = 0.12  # of the box, added on each side, so that an outline that misses it is seen


def photograph(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """A data URI: JPEG, for pictures with many colours."""
    return _data_uri(image, "jpeg", quality=JPEG_QUALITY, optimize=True)


def drawing(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """A data URI: PNG, for even colours and sharp edges."""
    return _data_uri(image, "png", optimize=True)


def _data_uri(image: np.ndarray, form: str, **options: int) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format=form, **options)
    return encoded(buffer.getvalue(), form)


def encoded(content: bytes, form: str) -> str:
    """An image file's content as a data URI."""
    return f"data:image/{form};base64,{base64.b64encode(content).decode()}"


def ramp_colours(share: Float[np.ndarray, "*n"], ramp: Sequence[Colour]) -> UInt8[np.ndarray, "*n 3"]:
    """From 0, the ramp's first colour, to 1, its last; its colours lie at equal steps between."""
    at = np.linspace(0, 1, len(ramp))
    channels = [np.interp(share, at, values) for values in zip(*ramp, strict=True)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def depth_colours(
    depth_m: Float[np.ndarray, "h w"], boxes_px: Sequence[tuple[int, int, int, int]] = ()
) -> tuple[UInt8[np.ndarray, "h w 3"], float, float]:
    """Depth as colour (near is light), with the depths of the two ends of the scale.

    The scale spans what lies in the boxes, so that far walls do not take all its colours.
    """
    measured, near_objects = depth_m > 0, np.zeros(depth_m.shape, dtype=bool)
    for left, top, right, bottom in boxes_px:
        near_objects[top:bottom, left:right] = True
    chosen = measured & near_objects if (measured & near_objects).any() else measured
    near, far = (float(value) for value in np.percentile(depth_m[chosen], [1, 99]))
    share = np.clip((depth_m - near) / max(far - near, 1e-6), 0, 1)
    return _on_paper(ramp_colours(share, DEPTH_RAMP), measured), near, far


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
    return _on_paper((255 * np.clip(0.55 + 0.45 * pnc / reach, 0.1, 1.0)).astype(np.uint8), valid)


def _on_paper(
    colours: UInt8[np.ndarray, "h w 3"], shown: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    return np.where(shown[..., None], colours, np.array(PAPER, dtype=np.uint8))


def _tile(box_px: tuple[int, int, int, int]) -> tuple[int, int]:
    """Width and height of a picture of the box whose longer side is a tile's."""
    left, top, right, bottom = box_px
    scale = TILE_PX / max(right - left, bottom - top)
    return max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))


def residual_shades(shades: int = SHADES) -> UInt8[np.ndarray, "k 3"]:
    """The colours from 0 to `RESIDUAL_LIMIT_M`, pale to dark."""
    return ramp_colours(np.linspace(0, 1, shades), RESIDUAL_RAMP)


def residual_colours(distance_m: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Each distance's colour, from `RESIDUAL_LIMIT_M` on the darkest; paper where it is NaN."""
    shades = residual_shades()
    known = np.nan_to_num(distance_m / RESIDUAL_LIMIT_M).clip(0, 1)
    colours = shades[np.minimum((known * len(shades)).astype(np.int64), len(shades) - 1)]
    return _on_paper(colours, ~np.isnan(distance_m))


@dataclass(frozen=True)
class Window:
    """A part of an image, which may reach beyond its edges: left, top, right, bottom in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, box_px: tuple[int, int, int, int]) -> Window:
        left, top, right, bottom = box_px
        margin = round(MARGIN_SHARE * max(right - left, bottom - top))
        return cls(left - margin, top - margin, right + margin, bottom + margin)

    def of(self, values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h2 w2"]:
        """The values in the window; NaN beyond the image."""
        found = np.full((self.bottom - self.top, self.right - self.left), np.nan)
        rows = slice(max(self.top, 0), min(self.bottom, values.shape[0]))
        columns = slice(max(self.left, 0), min(self.right, values.shape[1]))
        found[
            rows.start - self.top : rows.stop - self.top, columns.start - self.left : columns.stop - self.left
        ] = values[rows, columns]
        return found

    def raster(self, posed: Posed, camera: Camera, *, scale: int) -> Raster:
        """A surface as the window shows it. Its normals are not to be used.

        A camera's principal point lies in the middle of its image. That of a window does not; instead, the
        scene is sheared, which moves all pixels alike: K' S x = shifted K x.
        """
        width, height = self.right - self.left, self.bottom - self.top
        K = camera.K.copy()
        K[:2, 2] = (width - 1) / 2, (height - 1) / 2
        shift = np.array([[1.0, 0, -self.left], [0, 1, -self.top], [0, 0, 1]])
        shear = np.eye(4)
        shear[:3, :3] = np.linalg.inv(K) @ shift @ camera.K
        view = enlarged(Camera(K, width, height), scale)
        return rasterise([Posed(posed.surface, shear @ posed.T_camera_object)], view)


def residual_picture(
    distance_m: Float[np.ndarray, "h w"], window: Window, camera: Camera, *, posed: Posed | None = None
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The points in a window, a whole number of times as large, and the outline of the estimated surface.

    Args:
        distance_m: of each measured point of the object, over the whole image; NaN elsewhere.
        posed: None where there is no surface to outline.
    """
    small = residual_colours(window.of(distance_m))
    scale = max(1, round(TILE_PX / max(small.shape[:2])))
    picture = small.repeat(scale, axis=0).repeat(scale, axis=1)
    if posed is not None:
        picture[borders(window.raster(posed, camera, scale=scale))] = OUTLINE
    return picture
