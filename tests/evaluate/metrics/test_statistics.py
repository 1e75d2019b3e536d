import numpy as np
import pytest
from scipy.stats import binom

from crisp.errors import InputError
from crisp.evaluate.metrics.statistics import auc, binomial_interval, bootstrap_interval, recall_curve


def test_auc_worked_case():
    # At 2 cm: 1 - 0 = 1; 1 - 0.5 = 0.5; exactly at the threshold 0; beyond it 0; failed 0. Mean 1.5 / 5.
    errors = np.array([0.0, 0.01, 0.02, 0.5, np.inf])
    assert auc(errors, 0.02) == pytest.approx(0.3)


def test_auc_is_the_area_under_the_recall_curve():
    errors = np.random.default_rng(0).gamma(2, 0.01, 500)
    thresholds = np.linspace(0, 0.03, 20_001)
    area = np.trapezoid(recall_curve(errors, thresholds), thresholds) / 0.03
    assert auc(errors, 0.03) == pytest.approx(area, abs=1e-4)


def test_recall_counts_the_threshold_itself():
    errors = np.array([1.0, 2.0, np.inf])
    assert recall_curve(errors, np.array([0.5, 1, 2, 9])).tolist() == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3])


def test_bootstrap_interval_of_a_mean():
    errors = np.abs(np.random.default_rng(1).normal(10, 1, 400))
    low, high = bootstrap_interval(errors, np.mean)
    # The mean of 400 has a deviation of 0.05; 95 % lie within 1.96 of it.
    assert low == pytest.approx(errors.mean() - 0.098, abs=0.015)
    assert high == pytest.approx(errors.mean() + 0.098, abs=0.015)
    assert (low, high) == bootstrap_interval(errors, np.mean)


def test_clusters_widen_the_interval():
    # Ten views, each seen 40 times: only ten independent values.
    values = np.random.default_rng(2).random(10)
    errors, views = np.repeat(values, 40), np.repeat(np.arange(10), 40)
    alone = np.subtract(*bootstrap_interval(errors, np.mean)[::-1])
    together = np.subtract(*bootstrap_interval(errors, np.mean, clusters=views)[::-1])
    # sqrt(40) = 6.3 times wider.
    assert 4 < together / alone < 9


def test_failures_do_not_break_the_interval():
    low, high = bootstrap_interval(np.array([0.0, np.inf]), lambda e: auc(e, 1.0))
    assert (low, high) == (0, 1)
    assert bootstrap_interval(np.array([1.0, np.inf, np.inf]), np.median)[1] == np.inf


@pytest.mark.parametrize("errors", [[], [np.nan], [-1.0]])
def test_errors_out_of_range_are_refused(errors):
    with pytest.raises(InputError):
        auc(np.array(errors), 0.1)


def test_thresholds_out_of_range_are_refused():
    with pytest.raises(InputError):
        auc(np.array([1.0]), 0.0)


def test_exact_intervals_of_shares():
    # 0.025^(1/n) bounds n of n from below, and the same from above for none of n; 7 wrong of 300 is tabled.
    low, high = binomial_interval(np.array([100, 0, 293, 0]), np.array([100, 100, 300, 0]))
    tail = 0.025 ** (1 / 100)
    assert low == pytest.approx([tail, 0.0, 0.95252, 0.0], abs=1e-4)
    assert high == pytest.approx([1.0, 1 - tail, 0.99057, 1.0], abs=1e-4)


def test_exact_intervals_hold_the_truth_at_least_95_times_in_100():
    # Of 40 draws with share 0.9: the outcomes whose interval holds 0.9 have 95 % probability or more.
    outcomes = np.arange(41)
    low, high = binomial_interval(outcomes, np.full(41, 40))
    holds = (low <= 0.9) & (high >= 0.9)
    assert binom.pmf(outcomes, 40, 0.9)[holds].sum() >= 0.95
