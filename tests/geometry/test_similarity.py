"""Similarities: found exactly, found among outliers, refused where the points leave them open."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crisp.geometry.align import fit_similarity


def pairs(seed: int, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.uniform(-0.5, 0.5, (400, 3))
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.random(random_state=seed).as_matrix(), rng.uniform(-1, 1, 3)
    return z, scale * z @ T[:3, :3].T + T[:3, 3], T


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("outliers", [0, 150])
@pytest.mark.parametrize("seed", range(4))
def test_the_true_motion_is_found(seed: int, outliers: int, known: bool) -> None:
    scale = 0.3 + 0.1 * seed
    z, x, T = pairs(seed, scale)
    x[:outliers] += np.random.default_rng(seed).uniform(0.05, 0.5, (outliers, 3))
    found = fit_similarity(z, x, inlier_m=0.005, scale=scale if known else None)
    assert found is not None
    np.testing.assert_allclose(found.T, T, atol=1e-9)
    assert found.scale == pytest.approx(scale, rel=1e-9)
    assert found.inlier_share == pytest.approx(1 - outliers / 400)


def test_a_mirror_image_is_no_rotation() -> None:
    z, x, _ = pairs(0, 1.0)
    found = fit_similarity(z, x * [1, 1, -1], inlier_m=0.05)
    assert found is None or np.linalg.det(found.T[:3, :3]) == pytest.approx(1.0)


def test_points_that_leave_the_motion_open_are_refused() -> None:
    z, x, T = pairs(1, 0.5)
    line = np.linspace(-0.5, 0.5, 50)[:, None] * [1.0, 2.0, 3.0]
    assert fit_similarity(line, 0.5 * line @ T[:3, :3].T, inlier_m=0.01) is None
    assert fit_similarity(z[:7], x[:7], inlier_m=0.01) is None
    noise = np.random.default_rng(0).uniform(-5, 5, (60, 3))
    assert fit_similarity(z[:60], noise, inlier_m=0.001) is None
