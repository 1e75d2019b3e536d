import numpy as np
import pytest
import trimesh

from crisp.errors import InputError
from crisp.evaluate.metrics.shape import SurfaceSample, chamfer, compare, sample_surface, sampling_floor
from crisp.types import Mesh


def _box(x=1.0, y=1.0, z=1.0):
    box = trimesh.creation.box((x, y, z))
    return Mesh(np.asarray(box.vertices, dtype=np.float64), np.asarray(box.faces))


def _square(z):
    corners = np.array([[0.0, 0, z], [1, 0, z], [1, 1, z], [0, 1, z]])
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]))


def test_compare_worked_case():
    estimate = SurfaceSample(np.array([[0.0, 0, 0], [4, 0, 0]]))
    truth = SurfaceSample(np.array([[1.0, 0, 0]]))
    found = compare(estimate, truth)
    # To the truth: 1 and 3, mean 2. To the estimate: 1. Average of both directions 1.5.
    assert found.chamfer_m == 1.5
    # Within 2: one of two estimated points, the only true point: F = 2 * 0.5 * 1 / 1.5.
    assert found.f_score(2.0) == pytest.approx(2 / 3)
    assert found.f_score(0.5) == 0
    assert found.f_score(10.0) == 1


def test_parallel_squares_are_their_distance_apart():
    # Nearest points are about 0.7 times a spacing of 0.01 beside; at 1 above, that adds nothing visible.
    assert chamfer(_square(0.0), _square(1.0)).chamfer_m == pytest.approx(1, abs=1e-3)


def test_samples_lie_on_the_surface_by_area():
    points = sample_surface(_box(1, 1, 4), 20_000, seed=3)
    assert np.abs(np.abs(points / [0.5, 0.5, 2.0]).max(axis=1) - 1).max() < 1e-9
    # The two square ends have 2 of 18 units of area.
    ends = (np.abs(points[:, 2]) > 2 - 1e-9).mean()
    assert ends == pytest.approx(2 / 18, abs=0.01)


def test_samples_repeat_by_seed_and_differ_by_stream():
    box = _box()
    first = sample_surface(box, 50, seed=1)
    assert np.array_equal(first, sample_surface(box, 50, seed=1))
    assert not np.array_equal(first, sample_surface(box, 50, seed=2))
    assert not np.array_equal(first, sample_surface(box, 50, seed=1, stream=1))


def test_the_truth_reaches_the_sampling_floor_and_no_less():
    floor = sampling_floor(_box(0.1, 0.1, 0.1)).chamfer_m
    assert chamfer(_box(0.1, 0.1, 0.1), _box(0.1, 0.1, 0.1)).chamfer_m == floor
    # Random points of density d are 0.5 / sqrt(d) from the nearest; 10,000 on 0.06 m^2 give 1.2 mm.
    assert floor == pytest.approx(0.5 * np.sqrt(0.06 / 10_000), rel=0.05)


def test_chamfer_is_symmetric_up_to_sampling_and_grows_with_size():
    small, large = _box(1, 1, 1), _box(1.2, 1.2, 1.2)
    one, other = chamfer(small, large), chamfer(large, small)
    assert one.chamfer_m == pytest.approx(other.chamfer_m, rel=0.02)
    assert one.chamfer_m > 5 * sampling_floor(small).chamfer_m


def test_meshes_without_area_are_refused():
    line = Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]))
    empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    for mesh in (line, empty):
        with pytest.raises(InputError):
            sample_surface(mesh, 10)
    with pytest.raises(InputError):
        sample_surface(_box(), 0)
