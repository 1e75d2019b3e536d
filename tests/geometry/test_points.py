import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from crisp.errors import InputError
from crisp.geometry.points import box_diagonal, diameter, nearest_distance


def test_nearest_distance_worked_case():
    reference = np.array([[0.0, 0, 0], [10, 0, 0]])
    query = np.array([[1.0, 0, 0], [9, 2, 2]])
    # 1 to the first; (-1, 2, 2) has length 3 from the second.
    assert nearest_distance(query, reference).tolist() == [1, 3]
    assert nearest_distance(query, cKDTree(reference)).tolist() == [1, 3]


def test_box_diagonal():
    # The box of these points is 1 x 2 x 2.
    assert box_diagonal(np.array([[0.0, 0, 0], [1, 2, 0], [0, 0, 2]])) == 3


@pytest.mark.parametrize("extent", [(1, 2, 3), (1, 2, 0), (0, 2, 0)], ids=["solid", "plane", "line"])
def test_diameter_equals_the_largest_pair(extent):
    points = np.random.default_rng(0).normal(size=(300, 3)) * extent + [5, 6, 7]
    assert diameter(points) == pytest.approx(pdist(points).max(), rel=1e-12)


def test_diameter_of_a_tilted_plane():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(100, 2)) @ rng.normal(size=(2, 3))
    assert diameter(points) == pytest.approx(pdist(points).max(), rel=1e-9)


def test_diameter_of_one_place_is_zero():
    assert diameter(np.ones((1, 3))) == 0
    assert diameter(np.ones((5, 3))) == 0


def test_empty_sets_are_refused():
    empty = np.zeros((0, 3))
    for call in (box_diagonal, diameter, lambda p: nearest_distance(np.ones((2, 3)), p)):
        with pytest.raises(InputError):
            call(empty)
