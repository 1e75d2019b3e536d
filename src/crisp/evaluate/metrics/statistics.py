"""From errors of many objects to one figure and its interval (method.md, section 9).

An object that was skipped or failed has the error infinity, and counts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.stats import beta

from crisp.errors import InputError


def auc(errors: Float[np.ndarray, " n"], threshold: float) -> float:
    """Area under the recall curve from 0 to the threshold, as a share: mean of max(0, 1 - e / threshold).

    Raises:
        InputError: no errors, an error that is negative or not a number, or a threshold that is not positive.
    """
    errors = _checked(errors)
    if not threshold > 0:
        raise InputError(f"the threshold of an AUC must be positive, got {threshold}.")
    return float(np.maximum(0.0, 1.0 - errors / threshold).mean())


def recall_curve(
    errors: Float[np.ndarray, " n"], thresholds: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """Share of objects whose error is at most each threshold.

    Raises:
        InputError: as `auc`.
    """
    ordered = np.sort(_checked(errors))
    return np.searchsorted(ordered, thresholds, side="right") / len(ordered)


def bootstrap_interval(
    errors: Float[np.ndarray, " n"],
    statistic: Callable[[Float[np.ndarray, " m"]], float],
    *,
    clusters: Shaped[np.ndarray, " n"] | None = None,
    n: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval of a statistic, objects drawn with replacement.

    Args:
        statistic: of the errors of some objects, such as `lambda e: auc(e, 0.02)`.
        clusters: what each object belongs to, such as its scene or its view; then whole clusters are drawn,
            because their members are not independent.
        n: draws.

    Raises:
        InputError: as `auc`.
    """
    errors = _checked(errors)
    groups = np.arange(len(errors)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    by_group, sizes = errors[np.argsort(groups, kind="stable")], np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    drawn = np.random.default_rng(seed).integers(len(sizes), size=(n, len(sizes)))
    values = [statistic(by_group[_ranges(starts[row], sizes[row])]) for row in drawn]
    low, high = np.percentile(values, [2.5, 97.5], method="inverted_cdf")
    return float(low), float(high)


def _ranges(starts: Int[np.ndarray, " k"], sizes: Int[np.ndarray, " k"]) -> Int[np.ndarray, " m"]:
    """start, start + 1, ... of each, one after the other."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1]) + np.repeat(starts - (ends - sizes), sizes)


def _checked(errors: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    if len(errors) == 0:
        raise InputError("there is no object to score.")
    if np.isnan(errors).any() or (errors < 0).any():
        raise InputError("errors must not be negative or NaN: use infinity for an object that failed.")
    return errors


def binomial_interval(
    successes: Int[np.ndarray, "*n"], trials: Int[np.ndarray, "*n"]
) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """95 % interval of a share, after Clopper and Pearson: never too narrow, 0 to 1 without trials."""
    successes, trials = np.asarray(successes), np.asarray(trials)
    failures = trials - successes
    low = beta.ppf(0.025, np.maximum(successes, 1), failures + 1)
    high = beta.ppf(0.975, successes + 1, np.maximum(failures, 1))
    return np.where(successes > 0, low, 0.0), np.where(failures > 0, high, 1.0)
