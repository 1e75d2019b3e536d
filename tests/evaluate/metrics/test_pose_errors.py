"""Worked cases, and the law that a symmetric motion costs nothing."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crisp.evaluate.metrics.pose import add, add_s, rotation_error_deg, translation_error_m
from crisp.types import Symmetries


def _T(rotvec_deg=(0, 0, 0), t=(0, 0, 0)):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotvec_deg, degrees=True).as_matrix()
    T[:3, 3] = t
    return T


SOMEWHERE = _T((30, -50, 70), (0.1, 0.2, 0.9))


def test_add_and_add_s_worked_case():
    # Half a turn about z swaps (1,0,0) and (-1,0,0) and moves (0,1,0) to (0,-1,0).
    points = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0]])
    estimated = SOMEWHERE @ _T((0, 0, 180))
    # Each point moves by 2. Nearest: 0, 0 and, from (0,1,0) to (+-1,0,0), sqrt(2).
    assert add(points, estimated, SOMEWHERE) == pytest.approx(2)
    assert add_s(points, estimated, SOMEWHERE) == pytest.approx(np.sqrt(2) / 3)


def test_add_s_goes_from_the_true_to_the_estimated_points():
    # Moved by 3 along x: true points 0 and 1, estimated 3 and 4. From the truth 3 and 2.
    points = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert add_s(points, _T(t=(3, 0, 0)), np.eye(4)) == pytest.approx(2.5)
    # Asymmetric under a turn: (2,0,0) and (0,1,0), quarter turn about z: estimated (0,2,0), (-1,0,0).
    points = np.array([[2.0, 0, 0], [0, 1, 0]])
    # True (2,0,0): min(sqrt 8, 3) = sqrt 8; true (0,1,0): min(1, sqrt 2) = 1. Reversed it would be 1, sqrt 2.
    assert add_s(points, _T((0, 0, 90)), np.eye(4)) == pytest.approx((np.sqrt(8) + 1) / 2)


def test_the_truth_has_no_error():
    points = np.random.default_rng(0).normal(size=(100, 3))
    assert add_s(points, SOMEWHERE, SOMEWHERE) == 0
    assert add(points, SOMEWHERE, SOMEWHERE) == pytest.approx(0, abs=1e-15)
    # The angle comes from |R'R - I|, which is a rounding error.
    assert rotation_error_deg(SOMEWHERE, SOMEWHERE) == pytest.approx(0, abs=1e-12)
    assert translation_error_m(SOMEWHERE, SOMEWHERE) == 0


def test_errors_do_not_depend_on_the_camera():
    points = np.random.default_rng(0).normal(size=(50, 3))
    estimated = SOMEWHERE @ _T((5, 0, 3), (0.01, 0, 0.02))
    camera = _T((10, 20, 30), (1, 2, 3))
    for error in (add, add_s):
        assert error(points, camera @ estimated, camera @ SOMEWHERE) == pytest.approx(
            error(points, estimated, SOMEWHERE)
        )


@pytest.mark.parametrize("angle", [1e-7, 1.0, 90.0, 179.9])
def test_rotation_error_is_the_angle(angle):
    axis = np.array([1, 2, 2]) / 3
    assert rotation_error_deg(SOMEWHERE @ _T(angle * axis), SOMEWHERE) == pytest.approx(angle, rel=1e-6)


def test_discrete_symmetries_cost_nothing():
    quarter = Symmetries(discrete=tuple(_T((0, 0, a)) for a in (90, 180, 270)))
    for a in (90, 180, 270):
        assert rotation_error_deg(SOMEWHERE @ _T((0, 0, a)), SOMEWHERE, quarter) == pytest.approx(0, abs=1e-6)
    # 80 degrees is 10 from the nearest quarter; about x nothing is symmetric.
    assert rotation_error_deg(SOMEWHERE @ _T((0, 0, 80)), SOMEWHERE, quarter) == pytest.approx(10)
    assert rotation_error_deg(SOMEWHERE @ _T((80, 0, 0)), SOMEWHERE, quarter) == pytest.approx(80)


def test_turning_about_a_continuous_axis_costs_nothing():
    axis = Symmetries(continuous=((np.array([0.0, 0, 1]), np.zeros(3)),))
    for a in np.linspace(0, 360, 17):
        turned = SOMEWHERE @ _T((0, 0, a))
        assert rotation_error_deg(turned, SOMEWHERE, axis) == pytest.approx(0, abs=1e-6)
        assert rotation_error_deg(turned @ _T((25, 0, 0)), SOMEWHERE, axis) == pytest.approx(25)


def test_continuous_closed_form_equals_a_fine_search():
    a = np.array([0.6, 0.0, 0.8])
    both = Symmetries(
        discrete=(_T(180 * np.array([0.0, 1, 0])),),
        continuous=((a, np.zeros(3)),),
    )
    estimated = SOMEWHERE @ _T((50, 60, -20))
    fine = [
        rotation_error_deg(estimated, SOMEWHERE @ S @ _T(phi * a))
        for S in (np.eye(4), *both.discrete)
        for phi in np.arange(0, 360, 0.25)
    ]
    exact = rotation_error_deg(estimated, SOMEWHERE, both)
    # The error is flat at its minimum: a step of 0.25 degrees leaves less than 0.001.
    assert exact <= min(fine) + 1e-9
    assert exact == pytest.approx(min(fine), abs=1e-3)


def test_a_sphere_has_no_rotation_error():
    x, z, zero = np.array([1.0, 0, 0]), np.array([0.0, 0, 1]), np.zeros(3)
    sphere = Symmetries(continuous=((x, zero), (z, zero)))
    assert rotation_error_deg(_T((10, 20, 30)), SOMEWHERE, sphere) == 0
    # The same axis twice, once reversed, is one axis.
    same = Symmetries(continuous=((z, zero), (-z, zero)))
    assert rotation_error_deg(SOMEWHERE @ _T((20, 0, 0)), SOMEWHERE, same) == pytest.approx(20)


def test_translation_error_ignores_symmetric_motions_off_the_origin():
    offset = np.array([0.1, 0.2, 0.0])
    shift, back = _T(t=offset), _T(t=-offset)
    axis = Symmetries(continuous=((np.array([0.0, 0, 1]), offset),))
    half = Symmetries(discrete=(shift @ _T((0, 0, 180)) @ back,))
    for symmetries, angle in ((axis, 77), (half, 180)):
        turned = SOMEWHERE @ shift @ _T((0, 0, angle)) @ back
        assert translation_error_m(turned, SOMEWHERE) > 0.2
        assert translation_error_m(turned, SOMEWHERE, symmetries) == pytest.approx(0, abs=1e-12)
    # 3-4-5: a shift costs its length.
    assert translation_error_m(_T(t=(0.3, 0.4, 0)) @ SOMEWHERE, SOMEWHERE, axis) == pytest.approx(0.5)


def test_add_s_of_a_ring_turned_about_its_axis_is_zero():
    phi = np.arange(36) * np.pi / 18
    ring = np.stack([np.cos(phi), np.sin(phi), np.zeros(36)], axis=1)
    turned = SOMEWHERE @ _T((0, 0, 120))
    assert add_s(ring, turned, SOMEWHERE) == pytest.approx(0, abs=1e-12)
    # Every point moves by the chord of 120 degrees, sqrt(3).
    assert add(ring, turned, SOMEWHERE) == pytest.approx(np.sqrt(3))
