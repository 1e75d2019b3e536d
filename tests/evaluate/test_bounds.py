"""Bounds that certify as seldom wrongly as was asked, and as often as they can then."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from crisp.errors import InputError
from crisp.evaluate.bounds import Bounds, Evidence, Point, choose, curve, point

INF = np.inf


def evidence(
    residual_mm: list[float],
    right: list[bool],
    *,
    free: list[float] | None = None,
    minus_mu: list[float] | None = None,
    diameter_m: list[float] | None = None,
) -> Evidence:
    n = len(right)
    return Evidence(
        residual_m=np.array(residual_mm) / 1000,
        diameter_m=np.array(diameter_m or [0.1] * n),
        free_space_share=np.array(free or [0.0] * n),
        minus_mu=np.array(minus_mu or [INF] * n),
        right=np.array(right),
    )


def spread(count: int, low: float, high: float) -> list[float]:
    return np.linspace(low, high, count).tolist()


def test_a_residual_that_costs_nothing_is_tightened() -> None:
    """All are right, and one residual is far off: the loosest bound would let in any stranger."""
    found = evidence([*spread(199, 1, 5), 60.0], [True] * 200)
    bounds = choose(found, target=0.95)
    assert found.residual(bounds.scale)[found.residual(bounds.scale) < bounds.residual].max() < 0.05
    assert bounds.certified(found).sum() >= 0.95 * 199


def test_the_residual_alone_is_cut_where_the_wrong_ones_begin() -> None:
    # 100 right ones of 1 to 5 mm, 50 wrong ones of 6 to 9 mm. 100 of 100 have an interval from 0.964 up
    # (0.025^(1/100)), so 0.95 is reached with all of them; a few wrong ones are affordable (1 of 101: 0.946).
    found = evidence(spread(100, 1, 5) + spread(50, 6, 9), [True] * 100 + [False] * 50)
    bounds = choose(found, target=0.95)
    certified = bounds.certified(found)
    assert point(found, certified).interval[0] >= 0.95
    assert 0.95 * 97 <= certified.sum() <= 100  # tightening may cost a twentieth
    assert bounds.free_space_share == 0.0 and bounds.minus_mu == INF


def test_none_of_fifty_wrong_ones_is_passed_over() -> None:
    """One right one lies below them all and 200 between two of them, place after place: just there the target
    is reached.
    """
    wrong = spread(50, 1, 50)
    for below in range(51):
        right = [0.1, *spread(200, below + 0.4, below + 0.6)]
        found = evidence(wrong + right, [False] * 50 + [True] * 201)
        best = (np.arange(251) < below) | found.right
        chosen = choose(found, target=point(found, best).interval[0])
        assert chosen.certified(found).sum() == 201 + below


def test_each_check_is_used_where_it_alone_tells_right_from_wrong() -> None:
    right = [True] * 100 + [False] * 50
    mixed = np.random.default_rng(0).uniform(1, 5, 150).tolist()
    told = spread(100, 0.0, 0.1) + spread(50, 0.3, 0.6)
    by_free = choose(evidence(mixed, right, free=told), target=0.9)
    assert 0.08 < by_free.free_space_share < 0.3
    by_mu = choose(evidence(mixed, right, minus_mu=[-v for v in told[::-1]][::-1]), target=0.3)
    assert by_mu.certified(evidence(mixed, right, minus_mu=[-v for v in told])).any()


@pytest.mark.parametrize("seed", range(5))
def test_no_combination_of_bounds_certifies_more(seed: int) -> None:
    """All bounds that tell instances apart are tried one by one here."""
    rng = np.random.default_rng(seed)
    right = rng.random(40) < 0.8
    figures = rng.integers(0, 6, (3, 40)) + 2 * ~right  # small numbers: many equals
    found = evidence(figures[0].tolist(), right.tolist(), free=figures[1].astype(float).tolist())
    found = replace(found, minus_mu=np.where(figures[2] > 6, INF, -1.0 / (1 + figures[2])))
    residuals = [value + 1e-9 for value in np.unique(found.residual_m)]
    places = product(residuals, [*np.unique(found.free_space_share), INF], [*np.unique(found.minus_mu), INF])
    reached = [p for place in places if (p := tried(found, *place)).interval[0] >= 0.5]
    most = max(p.certified for p in reached)
    least_right = min(p.certified - p.wrong for p in reached if p.certified == most)
    chosen = point(found, choose(found, target=0.5).certified(found))
    assert chosen.interval[0] >= 0.5
    assert chosen.certified <= most
    assert chosen.certified - chosen.wrong >= least_right - 0.05 * most  # what tightening may cost


def tried(found: Evidence, residual: float, free_space_share: float, minus_mu: float) -> Point:
    return point(found, Bounds("metres", residual, free_space_share, minus_mu).certified(found))


def test_one_wrong_instance_is_shut_out_where_it_lies() -> None:
    """Not at the next of a few places: one small mu must not cost the right ones that are as flat."""
    right = [True] * 400 + [False]
    mu = [*spread(400, -1e-4, -1.1e-6), -1e-6]
    found = evidence([3.0] * 401, right, free=[*spread(400, 0.0, 0.2), 0.1], minus_mu=mu)
    bounds = choose(found, target=0.99)
    assert bounds.certified(found).tolist() == right
    assert bounds.minus_mu == pytest.approx(-1.1e-6)


def test_checks_are_as_strict_as_what_is_certified_allows() -> None:
    """Nothing wrong has a high share of free space here; it is refused all the same, as unheard of."""
    free = [*spread(200, 0.0, 0.1), 0.9]
    found = evidence([3.0] * 200 + [30.0], [True] * 200 + [False], free=free, minus_mu=[-1.0] * 201)
    bounds = choose(found, target=0.95)
    assert bounds.free_space_share == pytest.approx(0.1) and bounds.minus_mu == -1.0
    assert bounds.certified(found).sum() == 200


def test_a_share_of_the_diameter_is_chosen_where_it_tells_more() -> None:
    # Right ones are off by 1 % of very different diameters, wrong ones by 4 %: metres mix them up.
    diameters = spread(100, 0.05, 0.3) + spread(50, 0.05, 0.3)
    residual = [1000 * d * share for d, share in zip(diameters, [0.01] * 100 + [0.04] * 50, strict=True)]
    found = evidence(residual, [True] * 100 + [False] * 50, diameter_m=diameters)
    bounds = choose(found, target=0.95)
    assert bounds.scale == "diameters"
    assert bounds.certified(found)[:100].sum() >= 97


def test_a_stricter_target_certifies_no_more_and_is_kept() -> None:
    rng = np.random.default_rng(1)
    right = rng.random(600) < 0.8
    residual = np.where(right, rng.gamma(2, 1.0, 600), rng.gamma(4, 1.5, 600))
    found = evidence(residual.tolist(), right.tolist(), free=rng.random(600).tolist())
    counts = []
    for target in (0.85, 0.9, 0.95):
        chosen = point(found, choose(found, target=target).certified(found))
        assert chosen.interval[0] >= target
        counts.append(chosen.certified)
    assert counts == sorted(counts, reverse=True) and counts[-1] > 0


def test_a_target_that_nothing_reaches_is_refused() -> None:
    few = evidence(spread(20, 1, 5), [True] * 20)  # 20 of 20: from 0.83 up
    with pytest.raises(InputError, match=r"no bounds certify .* 20 of 20 estimates are right"):
        choose(few, target=0.95)
    assert choose(few, target=0.8).certified(few).sum() >= 19
    with pytest.raises(InputError, match="no bounds certify"):
        choose(evidence([INF] * 3, [False] * 3), target=0.5)


def test_what_has_no_estimate_is_never_certified_and_counts_as_not_covered() -> None:
    found = evidence([INF] * 100 + spread(100, 1, 5), [False] * 100 + [True] * 100)
    bounds = Bounds("metres", INF)
    assert bounds.certified(found).tolist() == [False] * 100 + [True] * 100
    assert point(found, bounds.certified(found)).coverage == 0.5


def test_a_curve_covers_more_and_more() -> None:
    found = evidence(spread(50, 1, 5) + spread(50, 4, 9), [True] * 50 + [False] * 50)
    points = curve(found, found.residual("metres"))
    assert [p.certified for p in points] == sorted(p.certified for p in points)
    assert points[-1].coverage == 1.0 and points[-1].wrong == 50
    assert points[0].precision == 1.0
