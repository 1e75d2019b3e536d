"""Bounds for the certificate's checks: chosen so that those it certifies are right often enough.

`precision` is the share of certified instances that are right, `coverage` the share of all instances that
are certified. Bounds are chosen so that the lower end of precision's 95 % interval (Clopper and Pearson, over
instances) reaches a target, with the greatest coverage; then each is made as strict as costs little.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from crisp.errors import InputError
from crisp.evaluate.metrics.statistics import binomial_interval
from crisp.files import finite

Scale = Literal["metres", "diameters"]
CANDIDATES = 51
"""Of each check, at most: all combinations are tried. None is passed over of up to 50 wrong instances: one
bound below each, and one above all."""
CURVE_POINTS = 50
UNBOUNDED = np.inf
TIGHTENING = 0.05
"""The share of the certified that a stricter residual may cost. The other checks may cost nothing more."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Figures of N instances; larger is worse for each.

    Args:
        residual_m: quantile of the residual; infinite where there is no estimate.
        diameter_m: as the certificate measures it.
        free_space_share: infinite where nothing could be checked.
        minus_mu: infinite where it was not judged.
        right: whether the estimate is.
    """

    residual_m: Float[np.ndarray, " n"]
    diameter_m: Float[np.ndarray, " n"]
    free_space_share: Float[np.ndarray, " n"]
    minus_mu: Float[np.ndarray, " n"]
    right: Bool[np.ndarray, " n"]

    def residual(self, scale: Scale) -> Float[np.ndarray, " n"]:
        """In metres or in diameters."""
        return self.residual_m / (1.0 if scale == "metres" else self.diameter_m)


@dataclass(frozen=True)
class Point:
    """One point of a curve: the bound, and what it certifies."""

    bound: float
    certified: int
    wrong: int
    coverage: float
    precision: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Bounds:
    """What a residual (in its scale) must lie below, and what free-space share and -mu may not exceed.

    An infinite bound is not asked for: it is passed by what was not judged, too.
    """

    scale: Scale
    residual: float
    free_space_share: float = UNBOUNDED
    minus_mu: float = UNBOUNDED

    def certified(self, evidence: Evidence, *, without: str = "") -> Bool[np.ndarray, " n"]:
        """Which instances pass.

        Args:
            without: "residual", "free space" or "mu": leave that check out.
        """
        checks = {
            "residual": evidence.residual(self.scale) < self.residual,
            "free space": evidence.free_space_share <= self.free_space_share,
            "mu": evidence.minus_mu <= self.minus_mu,
        }
        there = np.isfinite(evidence.residual_m)
        return there & np.logical_and.reduce([ok for name, ok in checks.items() if name != without])


def choose(evidence: Evidence, *, target: float) -> Bounds:
    """The bounds with the greatest coverage among those whose precision reaches the target.

    Raises:
        InputError: none does.
    """
    found = [_best(evidence, scale, target=target) for scale in ("metres", "diameters")]
    reached = [choice for choice in found if choice is not None]
    if not reached:
        raise InputError(
            f"no bounds certify with a precision of at least {target:g} at the interval's lower end: "
            f"{int(evidence.right.sum())} of {len(evidence.right)} estimates are right; calibrate on more "
            "instances, or ask for less."
        )
    best = max(reached, key=lambda bounds: int(bounds.certified(evidence).sum()))
    return _tightened(evidence, best, target=target)


def _tightened(evidence: Evidence, bounds: Bounds, *, target: float) -> Bounds:
    """The strictest residual that keeps the target and nearly all of the coverage, then the strictest others
    that keep all right ones: what is unlike anything that was certified here is not certified elsewhere.
    """
    certified = bounds.certified(evidence)
    enough = math.ceil((1 - TIGHTENING) * certified.sum())
    residuals = np.sort(evidence.residual(bounds.scale)[certified])[enough - 1 :]
    stricter = (replace(bounds, residual=_above(residual)) for residual in residuals)
    # The last of them certifies the same as before, which reaches the target.
    found = next(b for b in stricter if point(evidence, b.certified(evidence)).interval[0] >= target)
    kept = found.certified(evidence) & evidence.right
    return replace(
        found,
        free_space_share=float(evidence.free_space_share[kept].max()),
        minus_mu=float(evidence.minus_mu[kept].max()),
    )


def _best(evidence: Evidence, scale: Scale, *, target: float) -> Bounds | None:
    """All combinations of candidates at once."""
    residual, there = evidence.residual(scale), np.isfinite(evidence.residual_m)
    if not there.any():
        return None
    wrong = there & ~evidence.right
    residuals = [_above(value) for value in _inside(residual[there], residual[wrong])]
    others = list(
        product(
            _inside(evidence.free_space_share[there], evidence.free_space_share[wrong]),
            _inside(evidence.minus_mu[there], evidence.minus_mu[wrong]),
        )
    )
    first = np.array([there & (residual < bound) for bound in residuals])
    rest = np.array([(evidence.free_space_share <= a) & (evidence.minus_mu <= b) for a, b in others])
    count = first.astype(np.int64) @ rest.T.astype(np.int64)
    right = (first & evidence.right).astype(np.int64) @ rest.T.astype(np.int64)
    reached = binomial_interval(right, count)[0] >= target
    if not reached.any():
        return None
    i, j = np.unravel_index(np.where(reached, count, -1).argmax(), count.shape)
    return Bounds(scale, residuals[i], *others[j])


def _inside(values: Float[np.ndarray, " n"], wrong: Float[np.ndarray, " m"]) -> list[float]:
    """Where a bound can lie that is passed by what is no larger: at the greatest of all values, and at the
    greatest below each wrong one. Any other admits no more than one of these, and as many wrong ones.
    """
    known = np.unique(values)
    places = np.unique([*(np.searchsorted(known, np.unique(wrong)) - 1), len(known) - 1])
    places = places[places >= 0]
    if len(places) > CANDIDATES:
        places = np.unique(np.quantile(places, np.linspace(0, 1, CANDIDATES), method="nearest"))
    return known[places].tolist()


def _above(value: float) -> float:
    """A residual must lie below its bound: the least that this one does."""
    return float(np.nextafter(value, np.inf))


def curve(
    evidence: Evidence, values: Float[np.ndarray, " n"], *, others: Bool[np.ndarray, " n"] | None = None
) -> list[Point]:
    """Precision against coverage as a bound on `values` is loosened.

    Args:
        others: what passes all other checks; everything unless given.
    """
    passed = np.isfinite(evidence.residual_m) if others is None else others
    return [point(evidence, passed & (values <= bound), bound=bound) for bound in _quantiles(values)]


def _quantiles(values: Float[np.ndarray, " n"]) -> list[float]:
    finite = np.unique(values[np.isfinite(values)])
    if len(finite) == 0:
        return []
    return sorted(set(np.quantile(finite, np.linspace(0, 1, min(CURVE_POINTS, len(finite)))).tolist()))


def point(evidence: Evidence, certified: Bool[np.ndarray, " n"], *, bound: float = float("nan")) -> Point:
    """What certifying just these gives."""
    count, right = int(certified.sum()), int((certified & evidence.right).sum())
    low, high = binomial_interval(np.array(right), np.array(count))
    return Point(
        bound=bound,
        certified=count,
        wrong=count - right,
        coverage=count / max(len(certified), 1),
        precision=right / count if count else float("nan"),
        interval=(float(low), float(high)),
    )


def curves(evidence: Evidence, bounds: Bounds) -> dict[str, list[dict[str, Any]]]:
    """Precision against coverage: of each check alone, and of the residual with the others as chosen."""
    alone = {
        "residual in metres": evidence.residual("metres"),
        "residual in diameters": evidence.residual("diameters"),
        "free space": evidence.free_space_share,
        "minus mu": evidence.minus_mu,
    }
    found = {name: curve(evidence, values) for name, values in alone.items()}
    others = bounds.certified(evidence, without="residual")
    found[f"all, by residual in {bounds.scale}"] = curve(
        evidence, evidence.residual(bounds.scale), others=others
    )
    return {name: [point_json(p) for p in points] for name, points in found.items()}


def point_json(point: Point) -> dict[str, Any]:
    """Plain JSON values; null where a number is not finite."""
    return finite(asdict(point))
