"""A depth sensor's faults, each on a surface where the others are silent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crisp.geometry.camera import Camera
from crisp.synth.render.sensor import DepthSensor

CAMERA = Camera(np.array([[200.0, 0, 79.5], [0, 200.0, 59.5], [0, 0, 1]]), 160, 120)
PERFECT = DepthSensor(
    noise_m=0.0,
    noise_per_m=0.0,
    lateral_px=0.0,
    disparity_step_px=1e-6,
    grazing_deg=0.0,
    edge_hole_share=0.0,
    edge_mix_share=0.0,
    blob_share=0.0,
)


def wall(distance_m: float) -> np.ndarray:
    return np.full((120, 160), distance_m, dtype=np.float32)


def slope(angle_deg: float) -> np.ndarray:
    """A plane through (0, 0, 1), turned about x, that the middle ray meets at `angle_deg`."""
    normal = np.array([0, np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))])
    return (normal[2] / (CAMERA.rays() @ normal)).astype(np.float32)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_sensor_without_faults_changes_nothing() -> None:
    depth = np.where(np.arange(160) < 80, wall(0.8), wall(1.2))
    depth[:10] = 0
    np.testing.assert_allclose(PERFECT.measure(depth, CAMERA, rng()), depth, rtol=1e-5)


@pytest.mark.parametrize(("distance_m", "sigma_m"), [(0.4, 0.0012), (1.4, 0.0031), (2.4, 0.0088)])
def test_noise_grows_with_the_square_of_distance(distance_m: float, sigma_m: float) -> None:
    # 1.2 mm + 1.9 mm (z - 0.4)^2: 1.2 at 0.4 m, 3.1 at 1.4 m, 8.8 at 2.4 m.
    sensor = replace(PERFECT, noise_m=0.0012, noise_per_m=0.0019)
    measured = sensor.measure(wall(distance_m), CAMERA, rng())
    assert measured.std() == pytest.approx(sigma_m, rel=0.05)
    assert measured.mean() == pytest.approx(distance_m, abs=0.1 * sigma_m)


def test_quantisation_steps_are_those_of_disparity() -> None:
    # f b = 200 px x 0.075 m = 15 px m: at 1 m the disparity is 15 px; with steps of 1/2 px the next one is
    # 15 / 15.5 = 0.9677 m, so 0.99 m (15.15 px) is measured as 1 m and 0.98 m (15.31 px) as 0.9677 m.
    sensor = replace(PERFECT, disparity_step_px=0.5)
    assert sensor.measure(wall(0.99), CAMERA, rng())[60, 80] == pytest.approx(1.0)
    assert sensor.measure(wall(0.98), CAMERA, rng())[60, 80] == pytest.approx(15 / 15.5, rel=1e-6)


def test_surfaces_at_grazing_angles_give_no_value() -> None:
    sensor = replace(PERFECT, grazing_deg=12.0)
    assert sensor.measure(slope(40.0), CAMERA, rng())[60, 80] > 0
    assert sensor.measure(slope(5.0), CAMERA, rng())[60, 80] == 0
    assert PERFECT.measure(slope(5.0), CAMERA, rng())[60, 80] > 0


def test_edges_lose_values_or_mix_both_sides_and_nothing_else_does() -> None:
    depth = np.where(np.arange(160) < 80, wall(0.8), wall(1.2))
    holes = replace(PERFECT, edge_hole_share=0.5).measure(depth, CAMERA, rng()) == 0
    assert holes[:, 79:81].mean() == pytest.approx(0.5, abs=0.1)
    assert not holes[:, :76].any()
    assert not holes[:, 84:].any()
    mixed = replace(PERFECT, edge_mix_share=0.5).measure(depth, CAMERA, rng())
    between = (mixed > 0.801) & (mixed < 1.199)
    assert between[:, 79:81].mean() == pytest.approx(0.5, abs=0.1)
    assert not between[:, :76].any()
    assert not between[:, 84:].any()


def test_lateral_wobble_frays_edges_and_leaves_planes() -> None:
    sensor = replace(PERFECT, lateral_px=0.8)
    np.testing.assert_allclose(sensor.measure(wall(1.0), CAMERA, rng()), 1.0, rtol=1e-5)
    depth = np.where(np.arange(160) < 80, wall(0.8), wall(1.2))
    frayed = (sensor.measure(depth, CAMERA, rng()) < 1.0).sum(axis=1)
    assert 0.2 < frayed.std() < 2
    assert frayed.mean() == pytest.approx(80, abs=0.5)


def test_blobs_take_the_stated_share_in_few_pieces() -> None:
    lost = replace(PERFECT, blob_share=0.05).measure(wall(1.0), CAMERA, rng()) == 0
    assert lost.mean() == pytest.approx(0.05, abs=0.002)
    # Scattered pixels would have as many borders as twice their number.
    assert np.abs(np.diff(lost.astype(int), axis=1)).sum() < lost.sum()


def test_one_seed_gives_one_measurement() -> None:
    depth = slope(40.0)
    first, second = (DepthSensor().measure(depth, CAMERA, rng()) for _ in range(2))
    assert (first == second).all()
