"""From light to pictures: the filters against plain twins and reasoned answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import median_filter

from crisp.geometry.camera import Camera
from crisp.shape.raster import shade
from crisp.synth.render.scene import Exposure, develop, linear_from_srgb, srgb_from_linear, without_speckle
from crisp.synth.render.sensor import smooth_light
from crisp.types import TexturedMesh

CAMERA = Camera(np.array([[90.0, 0, 31.5], [0, 90.0, 23.5], [0, 0, 1]]), 64, 48)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_median_equals_its_plain_twin() -> None:
    image = rng().random((20, 30, 3))
    np.testing.assert_array_equal(without_speckle(image), median_filter(image, (3, 3, 1), mode="nearest"))


def test_srgb_curves_are_inverse_and_known_in_the_middle() -> None:
    values = np.linspace(0, 1, 101)
    np.testing.assert_allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6)
    assert linear_from_srgb(np.array(0.5)) == pytest.approx(0.21404, abs=1e-5)


def test_exposure_does_not_depend_on_the_strength_of_the_light() -> None:
    radiance = rng().random((48, 64, 3)).astype(np.float32)
    dim, bright = (develop(radiance * s, Exposure(), rng()) for s in (np.float32(0.01), np.float32(100)))
    assert np.abs(dim.astype(int) - bright).max() <= 1


def test_balance_blur_and_noise_do_what_they_say() -> None:
    flat = np.full((48, 64, 3), 0.5, dtype=np.float32)
    warm = develop(flat, Exposure(balance=(1.2, 1.0, 0.8)), rng())[0, 0].astype(int)
    assert warm[0] > warm[1] > warm[2]
    noisy = develop(flat, Exposure(read_noise=0.02), rng())
    assert 2 < noisy.std() < 12
    edge = np.concatenate([flat * 0.2, flat], axis=1)
    for blurred in (Exposure(defocus_px=1.5), Exposure(motion_px=(5.0, 0.0))):
        steps = np.abs(np.diff(develop(edge, blurred, rng())[24, :, 0].astype(int)))
        assert (steps > 0).sum() >= 4  # the step of one pixel is now several
    upright = develop(edge, Exposure(motion_px=(0.0, 5.0)), rng())  # along the edge nothing is smeared
    assert (np.diff(upright[24, :, 0].astype(int)) > 0).sum() == 1


def test_smoothing_takes_noise_from_a_slope_and_keeps_its_mean() -> None:
    normal = np.array([0.1, 0.6, 0.79])
    depth = (0.7 * normal[2] / (CAMERA.rays() @ normal)).astype(np.float32)
    noise = rng().gamma(4, 0.25, (48, 64, 1))  # mean 1, deviation 0.5
    light = np.repeat(noise, 3, axis=2).astype(np.float32)
    smooth = smooth_light(light, depth, CAMERA)
    assert smooth.std() < 0.3 * light.std()
    # Brighter-than-usual pixels count for less, which costs some light.
    assert smooth.mean() == pytest.approx(1.0, abs=0.1)


def test_smoothing_does_not_cross_edges_of_surfaces() -> None:
    near = np.arange(64) < 32
    depth = np.where(near, 0.6, 0.9).astype(np.float32) * np.ones((48, 1), dtype=np.float32)
    light = np.repeat(np.where(near, 0.2, 1.0)[None, :, None], 48, axis=0) * np.ones(3)
    np.testing.assert_allclose(smooth_light(light.astype(np.float32), depth, CAMERA), light, rtol=2e-2)


def test_light_from_nothing_stays_as_it_is() -> None:
    light = rng().random((48, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(smooth_light(light, np.zeros((48, 64), dtype=np.float32), CAMERA), light)


def square_roof(rise: float) -> TexturedMesh:
    """Two faces that meet along the y axis, each falling by `rise` over a width of 1; their seam is split."""
    vertices = np.array([[0.0, 0, 0], [0, 1, 0], [-1, 0, -rise], [0, 0, 0], [0, 1, 0], [1, 0, -rise]])
    faces = np.array([[0, 1, 2], [4, 3, 5]])
    grey = np.full((1, 1, 3), 128, dtype=np.uint8)
    return TexturedMesh(vertices, faces, np.zeros((6, 2)), grey)


def test_normals_are_shared_over_flat_edges_and_split_at_creases() -> None:
    # A rise of 0.1 is a bend of 11 degrees, below the crease; a rise of 1 is one of 90.
    flat, sharp = shade(square_roof(0.1)), shade(square_roof(1.0))
    ridge = np.abs(flat.vertices[:, 0]) < 1e-9
    np.testing.assert_allclose(flat.normals[ridge], np.tile([0, 0, 1], (ridge.sum(), 1)), atol=1e-9)
    ridge = np.abs(sharp.vertices[:, 0]) < 1e-9
    np.testing.assert_allclose(np.abs(sharp.normals[ridge][:, 0]), np.sqrt(0.5), atol=1e-9)


def test_shading_keeps_every_face_in_place() -> None:
    surface = square_roof(0.5)
    shaded = shade(surface)
    np.testing.assert_array_equal(shaded.vertices[shaded.faces], surface.vertices[surface.faces])
    np.testing.assert_array_equal(shaded.uv[shaded.faces], surface.uv[surface.faces])
