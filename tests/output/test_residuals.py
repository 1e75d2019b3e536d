"""Residuals are coloured by their size alone, and the outline is where the camera would see the surface."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from crisp.geometry.camera import Camera
from crisp.output.drawing import borders
from crisp.output.report.pictures import (
    OUTLINE,
    PAPER,
    RESIDUAL_LIMIT_M,
    Window,
    residual_colours,
    residual_picture,
    residual_shades,
)
from crisp.shape.raster import NOBODY, Posed, bare, enlarged, rasterise, smooth
from crisp.types import Mesh

CAMERA = Camera(np.array([[120.0, 3.0, 80], [0, 110.0, 60], [0, 0, 1]]), width=161, height=121)
SCALE = 3


@pytest.fixture
def posed() -> Posed:
    solid = trimesh.creation.box((0.2, 0.15, 0.1))
    T = trimesh.transformations.euler_matrix(0.4, 0.5, 0.6)
    T[:3, 3] = [-0.3, 0.1, 1.0]
    return Posed(smooth(Mesh(np.array(solid.vertices), np.array(solid.faces))), T)


def test_colours_darken_with_the_distance_and_stop_at_the_limit() -> None:
    row = np.array([[0.0, 0.25 * RESIDUAL_LIMIT_M, 0.6 * RESIDUAL_LIMIT_M, RESIDUAL_LIMIT_M, 7.0, np.nan]])
    colours = residual_colours(row)[0].astype(int)
    brightness = colours[:4].sum(axis=1)
    assert (np.diff(brightness) < 0).all()
    np.testing.assert_array_equal(colours[4], colours[3])
    np.testing.assert_array_equal(colours[3], residual_shades()[-1])
    np.testing.assert_array_equal(colours[5], PAPER)


@pytest.mark.parametrize("box_px", [(20, 40, 80, 100), (0, 0, 30, 20), (150, 100, 161, 121)])
def test_a_window_shows_what_the_whole_image_shows_there(posed: Posed, box_px: tuple[int, ...]) -> None:
    """The sheared view against the plain twin: the whole image rendered, then cut."""
    left, top, right, bottom = box_px
    window = Window(left, top, right, bottom)
    seen = window.raster(posed, CAMERA, scale=SCALE)
    whole = rasterise([posed], enlarged(CAMERA, SCALE))
    part = (slice(SCALE * top, SCALE * bottom), slice(SCALE * left, SCALE * right))
    np.testing.assert_array_equal(seen.owner, whole.owner[part])
    np.testing.assert_allclose(seen.depth_m, whole.depth_m[part])


def test_the_first_of_these_windows_is_a_hard_one(posed: Posed) -> None:
    owner = Window(20, 40, 80, 100).raster(posed, CAMERA, scale=SCALE).owner
    assert 0.1 < (owner != NOBODY).mean() < 0.9


def test_a_bare_mesh_has_the_outline_of_the_smooth_one(posed: Posed) -> None:
    solid = trimesh.creation.box((0.2, 0.15, 0.1))
    plain = Posed(bare(Mesh(np.array(solid.vertices), np.array(solid.faces))), posed.T_camera_object)
    np.testing.assert_array_equal(rasterise([plain], CAMERA).owner, rasterise([posed], CAMERA).owner)


def test_a_window_reaches_beyond_the_image() -> None:
    values = np.arange(12.0).reshape(3, 4)
    found = Window(-1, 1, 3, 5).of(values)
    beyond = [np.nan] * 4
    np.testing.assert_array_equal(found, [[np.nan, 4, 5, 6], [np.nan, 8, 9, 10], beyond, beyond])


def test_the_window_of_a_box_has_a_margin_on_each_side() -> None:
    # 12 % of the longer side, 50 px.
    assert Window.around((10, 20, 60, 40)) == Window(4, 14, 66, 46)


def test_picture_is_points_and_outline_and_nothing_else(posed: Posed) -> None:
    distance = np.full((121, 161), np.nan)
    distance[50:80, 30:60] = 0.0
    window = Window(20, 40, 80, 100)
    plain = residual_picture(distance, window, CAMERA)
    assert plain.shape == (240, 240, 3)  # the window's 60 px, four times
    assert (plain[40:160, 40:160] == residual_shades()[0]).all()
    assert (plain[:40] == PAPER).all() and (plain[:, 160:] == PAPER).all()
    outlined = residual_picture(distance, window, CAMERA, posed=posed)
    line = borders(window.raster(posed, CAMERA, scale=4))
    assert line.any()
    assert (outlined[line] == OUTLINE).all()
    np.testing.assert_array_equal(outlined[~line], plain[~line])
