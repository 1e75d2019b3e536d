"""The figures of the YCB experiments: nearly equal pictures count as one, and intervals are over scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from experiments.ycbv.ycbv_adapt import changed, judged
from experiments.ycbv.ycbv_certificate import clamps, real_claims
from experiments.ycbv.ycbv_figures import (
    by_object,
    claims_of,
    over_scenes,
    verdicts,
    weighted_auc,
    weighted_mean,
    weighted_median,
    weights_of,
)
from experiments.ycbv.ycbv_sets import Row

MUG = Row(
    frame_id="000000/000001",
    scene="000000",
    view="000000 14",
    name="025_mug",
    visib_fract=1.0,
    diameter_m=0.1,
    symmetric=False,
    add_s_m=0.004,
    rotation_deg=10.0,
    crisp_shape=0.02,
    chamfer_m=0.003,
    certified=True,
    label="025_mug",
)
FIVE = [replace(MUG, frame_id=f"000000/00000{k}") for k in range(1, 6)]
CAN = replace(
    MUG,
    frame_id="000003/000001",
    scene="000003",
    view="000003 4",
    name="005_tomato_soup_can",
    add_s_m=0.016,
    certified=False,
    label="unknown",
)


def test_five_pictures_of_one_view_weigh_as_much_as_one_of_another() -> None:
    rows = [*FIVE, CAN]
    np.testing.assert_allclose(weights_of(rows), [0.2] * 5 + [1.0])
    errors = np.array([row.add_s_m for row in rows])
    # 1 - 4 / 20 for the mug, 1 - 16 / 20 for the can, each counting once.
    assert weighted_auc(0.02)(errors, weights_of(rows)) == pytest.approx((0.8 + 0.2) / 2)


def test_a_weighted_median_has_half_of_the_weight_below_it() -> None:
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0])) == 2.0
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([5.0, 1.0, 1.0])) == 3.0


def test_an_interval_draws_whole_scenes() -> None:
    rows = [*FIVE, CAN]
    values = np.array([0.0] * 5 + [1.0])
    found, (low, high) = over_scenes(rows, values, weights_of(rows), weighted_mean)
    assert found == pytest.approx(0.5)
    assert (low, high) == (0.0, 1.0)  # the draws are: one scene twice, the other twice, both


def figure(claims, end: str) -> float:
    (found,) = [claim.figure for claim in claims if claim.claim.endswith(end)]
    return found


def test_verdicts_are_shares_of_views() -> None:
    wrong = replace(CAN, certified=True, add_s_m=0.011)
    rows = [*FIVE, wrong, replace(CAN, view="000003 9", certified=False)]
    claims = verdicts("real", rows, weights_of(rows))
    assert figure(claims, "share that is certified") == pytest.approx(2 / 3)
    assert figure(claims, "within 10 % of the diameter") == pytest.approx(1 / 2)
    assert len(verdicts("real", [CAN], np.ones(1))) == 1, "nothing is certified: nothing to be right about"
    assert verdicts("real", [replace(CAN, certified=None)], np.ones(1)) == []


def test_a_view_is_wrong_if_any_certified_picture_of_it_is() -> None:
    rows = [*FIVE[:4], replace(FIVE[4], add_s_m=0.02), CAN]
    certified, wrong = real_claims(rows)
    assert (certified.figure, wrong.figure) == (1.0, 1.0)
    assert certified.passed is False and wrong.passed is True


def test_all_figures_of_a_way_have_goals_and_units() -> None:
    rows = [*FIVE, replace(CAN, rotation_deg=170.0)]
    claims = claims_of("real", rows, weights_of(rows), goals={"ADD-S AUC at 2 cm": ">= 0.42"})
    aimed = [claim for claim in claims if claim.goal != "report"]
    assert [claim.passed for claim in aimed] == [True]
    assert figure(claims, "median chamfer") == pytest.approx(3.0)
    assert figure(claims, "turned by more than 90 degrees, objects without symmetry") == pytest.approx(0.5)
    objects = by_object("real", [*FIVE, CAN], weights_of([*FIVE, CAN]))
    assert figure(objects, "025_mug, 1 seen: ADD-S AUC at 2 cm") == pytest.approx(0.8)


def test_changes_are_paired_by_object_and_lost_ones_are_found() -> None:
    before = [*FIVE, CAN]
    after = [*(replace(row, add_s_m=0.002) for row in reversed(FIVE)), replace(CAN, add_s_m=0.018)]
    changes = list(changed("x", before, after))
    assert figure(changes, "change of ADD-S AUC at 2 cm") == pytest.approx((0.1 - 0.1) / 2)
    assert figure(changes, "change of ADD-S AUC at 1 cm") == pytest.approx(0.2 / 2)
    lowest, raised, surely = judged("x", changes)
    assert lowest.figure == pytest.approx(0.0, abs=1e-12) and raised.figure >= 2 and surely.figure == 0


def test_the_clamps_table_counts_pictures() -> None:
    clamp = replace(MUG, name="051_large_clamp", label="052_extra_large_clamp")
    claims = clamps("real", [clamp, replace(clamp, label="051_large_clamp", certified=False), CAN])
    assert figure(claims, "seen: called 051_large_clamp") == 1
    assert figure(claims, "certified and called 052_extra_large_clamp") == 1
    assert figure(claims, "called 'unknown'") == 0
