"""The shape errors of the paper's tables, worked by hand on a few points."""

from __future__ import annotations

import numpy as np
import pytest

from crisp.evaluate.metrics.shape import SurfaceSample, chamfer_l1, chamfer_squared, normalised_error


def sample(*points: tuple[float, float, float]) -> SurfaceSample:
    return SurfaceSample(np.array(points, dtype=np.float64))


def test_crisp_shape_worked_case() -> None:
    # The truth is 2 across, so it becomes 0 and 1 along x; the estimate, 4 across, becomes 0, 0.5 and 1.
    # Nearest to the truth's points: 0 and 0.
    truth = sample((0, 0, 0), (2, 0, 0))
    assert normalised_error(sample((0, 0, 0), (2, 0, 0), (4, 0, 0)), truth) == 0
    # Estimate (1,0,0), (2,0,0), 1 across: divided by 1. From (0,0,0): 1. From (1,0,0): 0. Mean 0.5.
    assert normalised_error(sample((1, 0, 0), (2, 0, 0)), truth) == pytest.approx(0.5)


def test_crisp_shape_is_blind_to_size_and_to_surplus() -> None:
    points = np.random.default_rng(0).normal(size=(200, 3))
    truth = SurfaceSample(points)
    assert normalised_error(SurfaceSample(3 * points), truth) == pytest.approx(0, abs=1e-12)
    # A point at the middle of the cloud changes no diameter and costs nothing.
    more = np.vstack([points, points.mean(axis=0)])
    assert normalised_error(SurfaceSample(more), truth) == pytest.approx(0, abs=1e-12)
    assert normalised_error(truth, SurfaceSample(more)) > 0


def test_l1_worked_case() -> None:
    # Estimate (0,0,0), (4,0,0); truth (1,2,0). To the truth: 1+2 = 3 and 3+2 = 5, mean 4; back: 3. Sum 7.
    # In the L2 norm it would be sqrt 5 and sqrt 13.
    assert chamfer_l1(sample((0, 0, 0), (4, 0, 0)), sample((1, 2, 0))) == pytest.approx(7)


def test_l1_depends_on_the_axes() -> None:
    # (3,4,0) away is 7 by L1; turned so that the offset lies along x it is 5.
    assert chamfer_l1(sample((0, 0, 0)), sample((3, 4, 0))) == pytest.approx(14)
    assert chamfer_l1(sample((0, 0, 0)), sample((5, 0, 0))) == pytest.approx(10)


def test_squared_worked_case() -> None:
    # To the truth: 1 and 9, mean 5; back: 1. The sum is 6, of squares.
    assert chamfer_squared(sample((0, 0, 0), (4, 0, 0)), sample((1, 0, 0))) == pytest.approx(6)
