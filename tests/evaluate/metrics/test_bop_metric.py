"""VSD, MSSD, MSPD and their matching, worked by hand and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from crisp.errors import InputError
from crisp.evaluate.metrics.bop import THRESHOLDS, mspd, mssd, recalls, symmetry_motions, vsd
from crisp.types import Symmetries

K = np.array([[500.0, 0, 320], [0, 500.0, 240], [0, 0, 1]])
Z = np.array([0.0, 0.0, 1.0])
NONE = symmetry_motions(Symmetries())
CAN = Symmetries(continuous=((Z, np.zeros(3)),))


def motion(rotvec_deg: tuple[float, float, float] = (0, 0, 0), t: tuple[float, float, float] = (0, 0, 0)):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotvec_deg, degrees=True).as_matrix()
    T[:3, 3] = t
    return T


AHEAD = motion((20, -30, 50), (0.02, 0.01, 0.8))


def test_motions_of_a_continuous_axis_leave_it_alone() -> None:
    offset = np.array([0.1, 0.2, 0.0])
    half = motion((180, 0, 0))
    motions = symmetry_motions(Symmetries((half,), ((Z, offset),)))
    # ceil(pi / 0.01) = 315 turns, each after the identity and after the half turn about x.
    assert motions.shape == (630, 4, 4)
    np.testing.assert_allclose(motions[0], np.eye(4))
    on_axis = np.array([0.1, 0.2, 0.7, 1.0])
    np.testing.assert_allclose(motions[:315] @ on_axis, np.tile(on_axis, (315, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(motions[:, :3, :3]), 1)


def test_mssd_worked_case() -> None:
    # Turned by 90 degrees about z, (1,0,0) goes to (0,1,0): sqrt 2 apart; (0,0,5) stays. The farthest counts.
    vertices = np.array([[1.0, 0, 0], [0, 0, 5]])
    quarter = AHEAD @ motion((0, 0, 90))
    assert mssd(vertices, quarter, AHEAD, motions=NONE) == pytest.approx(np.sqrt(2))
    # A declared quarter turn makes it free.
    quarters = symmetry_motions(Symmetries(tuple(motion((0, 0, a)) for a in (90, 180, 270))))
    assert mssd(vertices, quarter, AHEAD, motions=quarters) == pytest.approx(0, abs=1e-12)
    # A shift moves all vertices alike: 3-4-5.
    assert mssd(vertices, motion(t=(0.03, 0.04, 0)) @ AHEAD, AHEAD, motions=NONE) == pytest.approx(0.05)


def test_turning_a_can_about_its_axis_costs_less_than_any_threshold() -> None:
    # 315 turns are 1.14 degrees apart, so at most 0.57 degrees are left: 0.01 rad x 30 mm = 0.3 mm. The
    # strictest threshold is 5 % of the diameter of 117 mm: 5.8 mm.
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    ring = 0.03 * np.stack([np.cos(angle), np.sin(angle), np.zeros(64)], axis=1)
    vertices = np.vstack([ring + 0.05 * Z, ring - 0.05 * Z])
    motions = symmetry_motions(CAN)
    for turn in (1.0, 37.3, 180.0):
        turned = AHEAD @ motion((0, 0, turn))
        assert mssd(vertices, turned, AHEAD, motions=motions) <= 0.01 * 0.03 * 1.001
        assert mspd(vertices, turned, AHEAD, motions=motions, K=K) < 0.3
    assert mssd(vertices, AHEAD @ motion((0, 0, 37.3)), AHEAD, motions=NONE) > 0.015


def test_the_hull_has_the_farthest_vertex() -> None:
    vertices = np.random.default_rng(0).normal(scale=0.05, size=(400, 3))
    hull = vertices[ConvexHull(vertices).vertices]
    estimated = AHEAD @ motion((25, 70, -10), (0.01, 0, 0.02))
    motions = symmetry_motions(CAN)
    assert mssd(hull, estimated, AHEAD, motions=motions) == pytest.approx(
        mssd(vertices, estimated, AHEAD, motions=motions), rel=1e-12
    )


def test_mspd_worked_case() -> None:
    # At 1 m, 10 mm aside are 500 * 0.01 = 5 px; the vertex at 2 m moves by half of that. The larger counts.
    vertices = np.array([[0.0, 0, 0], [0, 0, 1.0]])
    true, shifted = motion(t=(0, 0, 1)), motion(t=(0.01, 0, 1))
    assert mspd(vertices, shifted, true, motions=NONE, K=K) == pytest.approx(5)
    # Along the optical axis the middle of the image does not move at all.
    assert mspd(vertices, motion(t=(0, 0, 1.3)), true, motions=NONE, K=K) == pytest.approx(0, abs=1e-9)
    assert mspd(vertices, motion(t=(0, 0, -0.5)), true, motions=NONE, K=K) == np.inf


def test_vsd_worked_case() -> None:
    # One row of pixels, diameter 1 m. The truth is in the first three, the estimate in the last four; 0.07 m
    # apart where both are. The last pixel is hidden: what was measured stands 0.1 m before the estimate.
    true = np.array([[1.0, 1.0, 1.0, 0.0, 0.0]])
    ours = np.array([[0.0, 1.07, 1.07, 1.0, 1.0]])
    measured = np.array([[1.0, 1.0, 0.0, 0.0, 0.9]])
    found = vsd(ours, true, measured, diameter_m=1.0)
    # Visible truth: pixels 0, 1, 2. The estimate lies 7 cm behind what is measured in pixel 1, but counts as
    # visible there, since the truth is; in 2 and 3 nothing was measured. Union 0, 1, 2, 3; both: 1, 2.
    # tau 0.05: both of those are wrong, and 2 of 4 are in one mask alone: 4/4. From 0.1 on: 2/4.
    assert found == pytest.approx([1.0, *[0.5] * 9])
    assert vsd(true, true, measured, diameter_m=1.0).tolist() == [0.0] * 10


def test_vsd_of_what_nobody_sees_is_one() -> None:
    nothing = np.zeros((2, 2))
    assert vsd(nothing, nothing, nothing, diameter_m=0.1).tolist() == [1.0] * 10
    with pytest.raises(InputError, match="positive diameter"):
        vsd(nothing, nothing, nothing, diameter_m=0.0)


def test_recall_of_one_object_is_its_share_of_thresholds() -> None:
    # 0.12 is below 0.15 to 0.5: 8 of 10. Exactly at the threshold is not below it: 0.5 is never found.
    thresholds = np.array(THRESHOLDS)
    assert recalls(np.array([[0.12]]), thresholds) == pytest.approx([0.8])
    assert recalls(np.array([[0.5]]), thresholds).tolist() == [0.0]
    assert recalls(np.array([[np.inf]]), thresholds).tolist() == [0.0]


def test_two_labels_are_not_found_by_one_place() -> None:
    # Both estimates are at the first label: the first takes it; to the other label they are 0.3 away.
    errors = np.array([[0.01, 0.3], [0.02, 0.3]])
    # First label: found at all ten. Second: from 0.35 on, which are 4.
    assert recalls(errors, np.array(THRESHOLDS)) == pytest.approx([1.0, 0.4])


def plain_recalls(errors: np.ndarray, thresholds: np.ndarray) -> list[float]:
    found = np.zeros((errors.shape[1], errors.shape[2], len(thresholds)))
    for a in range(errors.shape[2]):
        for k, threshold in enumerate(thresholds):
            used: set[int] = set()
            for row in errors[:, :, a]:
                best, least = -1, threshold
                for g, error in enumerate(row):
                    if g not in used and error < least:
                        best, least = g, error
                if best >= 0:
                    used.add(best)
                    found[best, a, k] = 1
    return found.mean(axis=(1, 2)).tolist()


def test_recalls_equal_the_plain_loops() -> None:
    rng = np.random.default_rng(1)
    for shape in ((1, 1, 10), (3, 2, 10), (2, 4, 3)):
        errors = rng.uniform(0, 0.7, shape)
        thresholds = np.array(THRESHOLDS)
        assert recalls(errors, thresholds) == pytest.approx(plain_recalls(errors, thresholds))
