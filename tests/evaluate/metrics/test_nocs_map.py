"""Box overlaps worked by hand, and the whole of mAP against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from nocs_by_loops import average_precision as plain_precision
from nocs_by_loops import map_by_loops
from scipy.spatial.transform import Rotation

from crisp.errors import InputError
from crisp.evaluate.metrics.boxes import (
    Boxes,
    Overlap,
    bounds_overlap,
    box_overlaps,
    original_overlap,
    shift_errors_cm,
    turn_errors_deg,
)
from crisp.evaluate.metrics.nocs_map import (
    FIXED,
    ORIGINAL,
    NocsEstimates,
    NocsLabels,
    average_precision,
    match,
    mean_average_precision,
)

Y = 1
NOT = np.array([False])


def box(
    size: tuple[float, float, float], turn_deg: tuple[float, float, float] = (0, 0, 0), t=(0.0, 0.0, 0.0)
) -> Boxes:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(turn_deg, degrees=True).as_matrix()
    T[:3, 3] = t
    return Boxes(T[None], np.zeros((1, 3)), np.array([size], dtype=np.float64))


def iou(a: Boxes, b: Boxes, overlap: Overlap, *, free: bool = False) -> float:
    return float(box_overlaps(a, b, free=np.array([free]), axis=Y, overlap=overlap)[0])


def test_shifted_cubes() -> None:
    # Unit cubes half a side apart along x: common 1/2, union 3/2.
    cube, beside = box((1, 1, 1)), box((1, 1, 1), t=(0.5, 0, 0))
    assert iou(cube, beside, bounds_overlap) == pytest.approx(1 / 3)
    assert iou(cube, box((1, 1, 1), t=(1.5, 0, 0)), bounds_overlap) == 0


def test_a_rotated_box_by_the_fixed_and_by_the_original_bounds() -> None:
    # A box of 4 x 2 x 2 beside itself turned by 90 degrees about z, so 2 x 4 x 2, both around the origin.
    # Fixed: common 2 x 2 x 2 = 8, each 16, union 24: 1/3.
    lying, standing = box((4, 2, 2)), box((4, 2, 2), (0, 0, 90))
    assert iou(lying, standing, bounds_overlap) == pytest.approx(1 / 3)
    # Original: of each corner its largest and smallest coordinate. Lying, the corners are (+-2, +-1, +-1):
    #   (2,1,1), (2,1,-1), (2,-1,1), (2,-1,-1): from 1, -1, -1, -1 to 2, lengths 1, 3, 3, 3
    #   (-2,1,1), (-2,1,-1), (-2,-1,1): from -2 to 1, length 3; (-2,-1,-1): from -2 to -1, length 1
    #   product 1 * 3^6 * 1 = 729.
    # Standing, the same corners of the one box (4 x 2 x 2) go from (x, y, z) to (-y, x, z):
    #   (2,1,1) to (-1,2,1): -1 to 2, before 1 to 2. Common 1.
    #   (2,1,-1) to (-1,2,-1): -1 to 2, before the same. Common 3.
    #   (2,-1,1) to (1,2,1): 1 to 2, before -1 to 2. Common 1.
    #   (2,-1,-1) to (1,2,-1): -1 to 2, before the same. Common 3.
    #   (-2,1,1) to (-1,-2,1): -2 to 1, before the same. Common 3.
    #   (-2,1,-1) to (-1,-2,-1): -2 to -1, before -2 to 1. Common 1.
    #   (-2,-1,1) to (1,-2,1): -2 to 1, before the same. Common 3.
    #   (-2,-1,-1) to (1,-2,-1): -2 to 1, before -2 to -1. Common 1.
    # Lengths of the standing one: 3, 3, 1, 3, 3, 1, 3, 3: 3^6 = 729. Common 3^4 = 81.
    # So 81 / (729 + 729 - 81) = 81 / 1377 = 1 / 17: a third has become a seventeenth.
    assert iou(lying, standing, original_overlap) == pytest.approx(1 / 17)


def test_the_original_bounds_see_no_distance_along_the_diagonal() -> None:
    # Moved by (d, d, d), every coordinate of a corner grows by d, and so do its largest and smallest. A unit
    # cube about the origin has a corner (1/2, 1/2, 1/2): its length is 0, and so are the products, and so is
    # the overlap of the box with itself.
    cube = box((1, 1, 1))
    assert iou(cube, cube, original_overlap) == 0
    assert iou(cube, cube, bounds_overlap) == 1
    # Far ahead, at (0, 0, 10), each corner spans from -1/2 or 1/2 to about 10: nearly all lengths agree, and
    # a cube half a side beside itself, of which a third is common, passes for the same at IoU 0.5.
    here, beside = box((1, 1, 1), t=(0, 0, 10)), box((1, 1, 1), t=(0.5, 0, 10))
    assert iou(here, beside, bounds_overlap) == pytest.approx(1 / 3)
    assert iou(here, beside, original_overlap) > 0.5


def test_a_turn_by_45_degrees_about_y() -> None:
    # A bar of 2 x 1 x 1 turned by 45 degrees about y is bounded by (2 + 1) / sqrt 2 in x and z, and 1 in y.
    # Common with the bar at rest: 2 x 1 x 1 = 2 (1 < 2.12). Union 4.5 + 2 - 2: 2 / 4.5.
    bar, turned = box((2, 1, 1)), box((2, 1, 1), (0, 45, 0))
    assert iou(bar, turned, bounds_overlap) == pytest.approx(4 / 9)


def test_an_object_that_may_turn_loses_nothing_by_turning() -> None:
    # 90 degrees are five of twenty turns of 18 degrees: exactly undone. Of 45 degrees, 9 are left.
    bar = box((2, 1, 1), (10, 0, 0), t=(0.1, 0.2, 3))
    for angle, least in ((90.0, 1 - 1e-9), (45.0, 0.7)):
        turned = Boxes(bar.T @ box((1, 1, 1), (0, angle, 0)).T, bar.centre, bar.size)
        assert iou(turned, bar, bounds_overlap, free=True) >= least
        assert angle != 90 or iou(turned, bar, original_overlap, free=True) >= least
        assert iou(turned, bar, bounds_overlap) < 0.7
        assert turn_errors_deg(turned, bar, free=np.array([True]), axis=Y)[0] == pytest.approx(0, abs=1e-6)
        assert turn_errors_deg(turned, bar, free=NOT, axis=Y)[0] == pytest.approx(angle)
        assert shift_errors_cm(turned, bar)[0] == 0


def test_a_tilted_axis_costs_its_tilt() -> None:
    upright, tilted = box((1, 2, 1)), box((1, 2, 1), (7, 0, 0), t=(0.03, 0.04, 0))
    assert turn_errors_deg(tilted, upright, free=np.array([True]), axis=Y)[0] == pytest.approx(7)
    assert shift_errors_cm(tilted, upright)[0] == pytest.approx(5)


def test_average_precision_worked_case() -> None:
    # Four labels; right, wrong, right: precision 1, 1/2, 2/3 at recall 1/4, 1/4, 1/2.
    # Made to fall: 1, 2/3, 2/3.
    # Area: 1/4 * 1 + 1/4 * 2/3 = 5/12.
    hit = np.array([True, False, True])
    found = average_precision(hit, np.ones((1, 3)), total=np.array([4.0]))
    assert found[0] == pytest.approx(5 / 12)
    assert plain_precision([0.9, 0.8, 0.7], [True, False, True], 4) == pytest.approx(5 / 12)
    # Weights of a draw are repetitions: the last frame twice.
    weighted = average_precision(hit, np.array([[1.0, 1.0, 2.0]]), total=np.array([5.0]))
    assert weighted[0] == pytest.approx(plain_precision([0.9, 0.8, 0.7, 0.7], [True, False, True, True], 5))


def world(frames: int, seed: int = 0) -> tuple[NocsLabels, NocsEstimates]:
    """Labels of three categories; estimates near them, some far off, some missing, some double."""
    rng = np.random.default_rng(seed)
    n = frames * 5
    frame, category = np.repeat(np.arange(frames), 5), rng.integers(0, 3, n)
    T = np.tile(np.eye(4), (n, 1, 1))
    T[:, :3, :3] = Rotation.random(n, random_state=seed).as_matrix()
    T[:, :3, 3] = rng.uniform((-0.3, -0.2, 0.6), (0.3, 0.2, 1.2), (n, 3))
    size = rng.uniform(0.05, 0.25, (n, 3))
    free = (category == 0) | ((category == 1) & (rng.random(n) < 0.5))
    labels = NocsLabels(Boxes(T, np.zeros((n, 3)), size), frame, category, free)
    kept = np.concatenate([np.flatnonzero(rng.random(n) < 0.8), rng.integers(0, n, n // 5)])
    strength = rng.choice([0.02, 0.15, 1.0], len(kept))
    ours = T[kept]
    wobble = Rotation.from_rotvec(strength[:, None] * rng.normal(size=(len(kept), 3))).as_matrix()
    ours[:, :3, :3] = ours[:, :3, :3] @ wobble
    ours[:, :3, 3] += 0.2 * strength[:, None] * rng.normal(size=(len(kept), 3))
    centre = 0.02 * strength[:, None] * rng.normal(size=(len(kept), 3))
    sizes = size[kept] * np.exp(strength[:, None] * rng.normal(size=(len(kept), 3)))
    score = rng.permutation(len(kept)) / len(kept)
    return labels, NocsEstimates(Boxes(ours, centre, sizes), frame[kept], category[kept], score)


@pytest.mark.parametrize("variant", [FIXED, ORIGINAL], ids=["fixed", "original"])
@pytest.mark.parametrize("axis", [1, 2])
def test_equals_the_plain_loops(variant, axis: int) -> None:
    labels, estimates = world(12)
    found = mean_average_precision(match(labels, estimates, variant, axis=axis))[0]
    plain = map_by_loops(labels, estimates, axis=axis, original=variant is ORIGINAL)
    assert found == pytest.approx(plain, abs=1e-12)
    assert plain.min() > 0.05 and plain.max() < 0.9  # a case that tells right from wrong


def test_the_truth_is_perfect_and_every_label_counts() -> None:
    labels, _ = world(6)
    n = len(labels.frame)
    truth = NocsEstimates(labels.boxes, labels.frame, labels.category, np.ones(n))
    for variant in (FIXED, ORIGINAL):
        assert mean_average_precision(match(labels, truth, variant, axis=Y))[0] == pytest.approx([1.0] * 7)
    # Without the first frame's estimates, those labels are missed by all figures of the fixed variant.
    kept = np.flatnonzero(labels.frame > 0)
    part = NocsEstimates(
        labels.boxes.take(kept), labels.frame[kept], labels.category[kept], np.ones(len(kept))
    )
    share = [np.mean((labels.frame > 0)[labels.category == c]) for c in np.unique(labels.category)]
    fixed = mean_average_precision(match(labels, part, FIXED, axis=Y))[0]
    assert fixed == pytest.approx([np.mean(share)] * 7)
    # The published code leaves them out of the figures of poses.
    original = mean_average_precision(match(labels, part, ORIGINAL, axis=Y))[0]
    assert original == pytest.approx([np.mean(share)] * 3 + [1.0] * 4)


def test_nothing_said_and_nothing_there() -> None:
    labels, estimates = world(2)
    none = np.zeros(0, dtype=np.int64)
    silent = NocsEstimates(estimates.boxes.take(none), none, none, np.zeros(0))
    assert mean_average_precision(match(labels, silent, FIXED, axis=Y))[0].tolist() == [0.0] * 7
    assert mean_average_precision(match(labels, silent, ORIGINAL, axis=Y))[0].tolist() == [0.0] * 7
    empty = NocsLabels(labels.boxes.take(none), none, none, np.zeros(0, dtype=bool))
    with pytest.raises(InputError, match="no labelled object"):
        match(empty, silent, FIXED, axis=Y)
