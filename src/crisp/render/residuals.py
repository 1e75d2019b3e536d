"""Residuals as colour: how far each measured point lies from an estimated surface, and its outline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from crisp.geometry.camera import Camera
from crisp.render.overlay import Colour, borders
from crisp.render.raster import Posed, Raster, enlarged, rasterise

LIMIT_M = 0.010  # the darkest colour, and what the paper's certificate allows on YCBV
MARGIN_SHARE = 0.12  # of the box, added on each side, so that an outline that misses it is seen
SHADES = 24  # as many as an eye tells apart; few colours make small pictures
SIZE_PX = 240  # of a picture's longer side, about
OUTLINE: Colour = (22, 32, 43)


def residual_shades(shades: int = SHADES) -> UInt8[np.ndarray, "k 3"]:
    """The colours from 0 to `LIMIT_M`, pale to dark."""
    from matplotlib import colormaps

    return (255 * colormaps["YlOrRd"](np.linspace(0.06, 1, shades))[:, :3]).round().astype(np.uint8)


def residual_colours(
    distance_m: Float[np.ndarray, "h w"], *, background: Colour
) -> UInt8[np.ndarray, "h w 3"]:
    """Each distance's colour, from `LIMIT_M` on the darkest; the background where it is NaN."""
    shades = residual_shades()
    known = np.nan_to_num(distance_m / LIMIT_M).clip(0, 1)
    colours = shades[np.minimum((known * len(shades)).astype(np.int64), len(shades) - 1)]
    return np.where(np.isnan(distance_m)[..., None], np.array(background, dtype=np.uint8), colours)


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
    distance_m: Float[np.ndarray, "h w"],
    window: Window,
    camera: Camera,
    *,
    posed: Posed | None = None,
    background: Colour,
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The points in a window, a whole number of times as large, and the outline of the estimated surface.

    Args:
        distance_m: of each measured point of the object, over the whole image; NaN elsewhere.
        posed: None where there is no surface to outline.
    """
    small = residual_colours(window.of(distance_m), background=background)
    scale = max(1, round(SIZE_PX / max(small.shape[:2])))
    picture = small.repeat(scale, axis=0).repeat(scale, axis=1)
    if posed is not None:
        picture[borders(window.raster(posed, camera, scale=scale))] = OUTLINE
    return picture
