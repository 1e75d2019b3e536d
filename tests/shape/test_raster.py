"""The z-buffer: worked squares, planes and spheres, and a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.ndimage import binary_fill_holes

from crisp.geometry.camera import Camera
from crisp.shape.raster import NOBODY, Posed, enlarged, rasterise, smooth
from crisp.types import Mesh

CAMERA = Camera(np.array([[100.0, 0, 50], [0, 100.0, 40], [0, 0, 1]]), width=101, height=81)


def at(z_m: float) -> np.ndarray:
    T = np.eye(4)
    T[2, 3] = z_m
    return T


def square(half_m: float) -> Mesh:
    """In the plane z = 0."""
    corners = half_m * np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]))


def sphere(radius_m: float) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=radius_m)
    return Mesh(np.array(ball.vertices), np.array(ball.faces))


def test_square_covers_the_pixels_that_the_pinhole_says() -> None:
    raster = rasterise([Posed(smooth(square(0.105)), at(1.0))], CAMERA)
    # 0.105 m at 1 m with f = 100 px reaches 10.5 px from (50, 40): columns 40..60, rows 30..50.
    expected = np.full((81, 101), NOBODY)
    expected[30:51, 40:61] = 0
    np.testing.assert_array_equal(raster.owner, expected)
    np.testing.assert_allclose(raster.depth_m[expected == 0], 1.0)
    np.testing.assert_allclose(
        raster.normal_camera[expected == 0], np.tile([0, 0, -1.0], (441, 1)), atol=1e-9
    )
    assert np.isinf(raster.depth_m[expected == NOBODY]).all()


def test_depth_of_a_slanted_plane_is_that_of_the_rays() -> None:
    corners = np.array([[-0.2, -0.2, 0.8], [0.2, -0.2, 1.2], [0.2, 0.2, 1.2], [-0.2, 0.2, 0.8]])
    raster = rasterise([Posed(smooth(Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]))), np.eye(4))], CAMERA)
    hit = raster.owner == 0
    assert hit.sum() > 1000
    # On the plane z = 1 + x a ray (r, s, 1) z has z = 1 + r z, so z = 1 / (1 - r).
    np.testing.assert_allclose(raster.depth_m[hit], 1 / (1 - CAMERA.rays()[hit][:, 0]), rtol=1e-9)
    assert (raster.normal_camera[hit] @ [1, 0, -1.0] > 1.41).all()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_nearer_surface_hides_the_farther_one_in_any_order(order: tuple[int, int]) -> None:
    pair = [Posed(smooth(square(0.05)), at(0.5)), Posed(smooth(square(0.3)), at(1.0))]
    raster = rasterise([pair[i] for i in order], CAMERA)
    near, far = order.index(0), order.index(1)
    assert raster.owner[40, 50] == near
    assert raster.owner[40, 50 + 9] == near
    assert raster.owner[40, 50 + 11] == far


def test_sphere_has_no_cracks_and_radial_normals() -> None:
    raster = rasterise([Posed(smooth(sphere(0.3)), at(1.0))], CAMERA)
    hit = raster.owner == 0
    np.testing.assert_array_equal(binary_fill_holes(hit), hit)
    points = CAMERA.rays()[hit] * raster.depth_m[hit][:, None]
    radial = (points - [0, 0, 1.0]) / 0.3
    assert ((radial * raster.normal_camera[hit]).sum(axis=1) > 0.98).all()


def test_agrees_with_a_loop_over_pixels() -> None:
    rng = np.random.default_rng(3)
    small = Camera(np.array([[20.0, 0, 10], [0, 20.0, 8], [0, 0, 1]]), width=21, height=17)
    corners = rng.uniform([-0.6, -0.6, 0.7], [0.6, 0.6, 1.5], (12, 3, 3))
    faces = np.arange(36).reshape(12, 3)
    raster = rasterise([Posed(smooth(Mesh(corners.reshape(-1, 3), faces)), np.eye(4))], small)
    expected = np.full((17, 21), np.inf)
    for v in range(17):
        for u in range(21):
            ray = small.rays()[v, u]
            for a, b, c in corners:
                # ray * z = a + s (b - a) + t (c - a)
                z, s, t = np.linalg.solve(np.stack([ray, a - b, a - c], axis=1), a)
                if s >= 0 and t >= 0 and s + t <= 1 and z > 0:
                    expected[v, u] = min(expected[v, u], z)
    np.testing.assert_array_equal(raster.owner == 0, np.isfinite(expected))
    np.testing.assert_allclose(raster.depth_m, expected, rtol=1e-9)


def test_what_is_behind_the_camera_or_beside_the_image_is_not_drawn() -> None:
    aside = np.eye(4)
    aside[:3, 3] = [5.0, 0, 1.0]
    for T in (at(-1.0), aside):
        assert (rasterise([Posed(smooth(sphere(0.1)), T)], CAMERA).owner == NOBODY).all()
    assert (rasterise([], CAMERA).owner == NOBODY).all()


def test_enlarged_camera_keeps_the_image_edges() -> None:
    # The left edge is at u = -1/2 in both, the right edge at width - 1/2.
    large = enlarged(CAMERA, 3)
    point = np.array([0.1, -0.2, 1.3])
    np.testing.assert_allclose(large.project(point) + 0.5, 3 * (CAMERA.project(point) + 0.5))
    assert (large.width, large.height) == (303, 243)
