"""The guard's judgement: worse only beyond the noise of the same objects' own changes."""

from __future__ import annotations

import numpy as np
import pytest

from crisp.adapt.guard import Measure, compare
from crisp.adapt.recipe import GuardConfig
from crisp.errors import InputError

CONFIG = GuardConfig(noise=2.0, residual_change=0.02)


def measure(certified: int, of: int, residual_m: float = 0.004) -> Measure:
    return Measure.of([i < certified for i in range(of)], [residual_m] * of)


def test_no_change_is_never_worse() -> None:
    rng = np.random.default_rng(0)
    same = Measure(rng.random(30) < 0.5, rng.random(30))
    verdict = compare(same, same, CONFIG)
    assert not verdict.worse and verdict.share_change == verdict.residual_change == 0


def test_a_lost_certificate_is_noise_and_many_are_not() -> None:
    # Of 100 objects k lost theirs and none won one: mean -k/100, standard error sqrt(k/100 (1 - k/100) / 99).
    # k = 3: -0.03 against 2 x 0.0171; k = 5: -0.05 against 2 x 0.0219.
    before = measure(60, 100)
    assert not compare(before, measure(57, 100), CONFIG).worse
    verdict = compare(before, measure(55, 100), CONFIG)
    assert verdict.worse and verdict.share_error == pytest.approx(0.0219, abs=1e-4)
    assert verdict.reasons[0].startswith("the certified share fell from 60.0% to 55.0%")


def test_as_many_won_as_lost_is_no_change() -> None:
    before = Measure.of([True] * 10 + [False] * 10, [0.004] * 20)
    after = Measure.of([False] * 10 + [True] * 10, [0.004] * 20)
    assert not compare(before, after, CONFIG).worse


def test_all_lost_is_worse_although_nothing_scatters() -> None:
    assert compare(measure(20, 20), measure(0, 20), CONFIG).worse


def test_residuals_are_compared_object_by_object() -> None:
    """Sizes of 1 to 100 mm scatter by far more than 5 %, but each grew by that: worse. Mixed ones are not."""
    rng = np.random.default_rng(1)
    sizes, sure = 10 ** rng.uniform(-3, -1, 60), np.ones(60, bool)
    before = Measure(sure, sizes)
    assert compare(before, Measure(sure, 1.05 * sizes), CONFIG).worse
    assert not compare(before, Measure(sure, 1.015 * sizes), CONFIG).worse, "within residual_change"
    scattered = sizes * np.exp(0.3 * rng.standard_normal(60))
    assert not compare(before, Measure(sure, scattered), CONFIG).worse
    assert not compare(before, Measure(sure, 0.5 * sizes), CONFIG).worse, "better is not worse"


def test_objects_that_came_to_nothing_count() -> None:
    before = Measure.of([False] * 9, [0.004] * 9)
    lost = Measure.of([False] * 9, [np.inf] * 9)
    assert compare(before, lost, CONFIG).worse
    assert not compare(lost, lost, CONFIG).worse
    assert not compare(lost, before, CONFIG).worse


def test_measures_add_up_in_order() -> None:
    both = measure(1, 2, 0.001).and_also(measure(0, 1, 0.003))
    assert both.certified.tolist() == [True, False, False]
    assert both.certified_share == pytest.approx(1 / 3) and both.median_residual_m == 0.001


def test_different_objects_are_not_compared() -> None:
    with pytest.raises(ValueError, match="2 and of 3"):
        compare(measure(1, 2), measure(1, 3), CONFIG)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"every": 1}, "at least 2"),
        ({"least": 10, "objects": 9}, "no step"),
        ({"noise": float("nan")}, "not be negative"),
        ({"rate_factor": 1.0}, "between 0 and 1"),
        ({"most_failures": 0}, "most_failures"),
    ],
)
def test_settings_that_contradict(settings: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        GuardConfig(**settings)  # type: ignore[arg-type]
