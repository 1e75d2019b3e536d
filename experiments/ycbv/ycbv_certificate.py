"""Precision on real frames of the YCB model's certificate, which is calibrated on renderings.

A view is one object in one scene, with all its nearly equal images. It counts as certified if any of its
images is, and as wrong if any certified image is: ADD-S above 10 % of the diameter. The experiment also
measures the names given to the two clamps, which the paper names as its weakness, on renderings and real
frames; and the results for the eight objects of an LM-O frame (`lmo/test`), none of which the model knows.
All objects with a visible fraction of at least 10 % count, in the renderings, too.

    python -m experiments.ycbv.ycbv_certificate --data FOLDER [--quick]
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from crisp.data.bop.reader import BopDataset
from crisp.model import Model, load_model
from crisp.types import Result
from experiments.support.evidence import RESULTS, Claim, write_evidence
from experiments.ycbv.ycbv_figures import equal, share, verdicts, weights_of
from experiments.ycbv.ycbv_sets import (
    LEAST_VISIBLE,
    OWN,
    RENDERED_FRAMES,
    Row,
    has_real_frames,
    is_there,
    masks_of,
    parser_of,
    real_set,
    rendered_set,
    scored,
    used,
)

CLAMPS = ("051_large_clamp", "052_extra_large_clamp")
LEAST_CERTIFIED, MOST_WRONG = 10, 1


def main() -> None:
    options = parser_of(__doc__, renders=True).parse_args()
    start = time.perf_counter()
    model = load_model(options.weights)
    most = 1 if options.quick else None
    claims: list[Claim] = []
    if has_real_frames(options.data):
        rows = scored(model, OWN, real_set(options.data, options.work), options.work, most_frames=most)
        claims += real_claims(rows) + said("real", rows, weights_of(rows)) + clamps("real", rows)
    if (renders := rendered_set(options.renders)) is not None:
        rows = scored(model, OWN, renders, options.work, most_frames=most or RENDERED_FRAMES)
        claims += said("renders", rows, equal(rows)) + clamps("renders", rows)
    if is_there(options.data, "strangers", "lmo/test"):
        claims += strangers(model, BopDataset(options.data / "lmo", "test"))
    if not claims:
        return
    write_evidence(
        "ycbv.ycbv_certificate",
        claims,
        settings={
            **used(model),
            "masks": "ground truth",
            "min_visible": LEAST_VISIBLE,
        },
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def real_claims(rows: Sequence[Row]) -> list[Claim]:
    """The two claims with goals."""
    views = {row.view for row in rows}
    certified = {row.view for row in rows if row.certified}
    wrong = {row.view for row in rows if row.certified and row.wrong}
    return [
        Claim(
            f"real: distinct views certified, of {len(views)}",
            f">= {LEAST_CERTIFIED}",
            float(len(certified)),
            unit="views",
        ),
        Claim("real: of these, wrong", f"<= {MOST_WRONG}", float(len(wrong)), unit="views"),
    ]


def said(name: str, rows: Sequence[Row], weights: np.ndarray) -> list[Claim]:
    """Certified shares, and the share of right names, among all and among the certified."""
    claims = verdicts(name, rows, weights)
    certified = [i for i, row in enumerate(rows) if row.certified]
    for who, chosen in (("all", list(range(len(rows)))), ("the certified", certified)):
        some, w = [rows[i] for i in chosen], weights[chosen]
        if some:
            claims += [
                share(f"{name}: names of {who} that are right", some, w, lambda row: row.label == row.name),
                share(
                    f"{name}: names of {who} that are 'unknown'", some, w, lambda row: row.label == "unknown"
                ),
            ]
    return claims


def clamps(name: str, rows: Sequence[Row]) -> list[Claim]:
    """The confusion table, one row per clamp; a view with two names counts in both columns."""
    claims = []
    for clamp, other in zip(CLAMPS, reversed(CLAMPS), strict=True):
        own = [row for row in rows if row.name == clamp]
        if not own:
            continue
        counted = {
            f"called {clamp}": [row for row in own if row.label == clamp],
            f"called {other}": [row for row in own if row.label == other],
            "called 'unknown'": [row for row in own if row.label == "unknown"],
            "called something else": [row for row in own if row.label not in (*CLAMPS, "unknown")],
            "certified": [row for row in own if row.certified],
            f"certified and called {other}": [row for row in own if row.certified and row.label == other],
        }
        views = len({(row.view, row.frame_id) for row in own})
        for what, found in counted.items():
            claims.append(
                Claim(f"{name}, {clamp}, {views} seen: {what}", "report", float(len(found)), unit="pictures")
            )
    return claims


def strangers(model: Model, dataset: BopDataset) -> list[Claim]:
    """Unknown objects: none should be certified, and all should be named `unknown`."""
    found: list[Result] = []
    for key in dataset.keys:
        found += model.estimate(dataset.load_frame(key), masks_of(dataset, key))
    counts = {
        "certified": sum(r.certificate is not None and r.certificate.certified for r in found),
        "called 'unknown'": sum(r.label == "unknown" for r in found),
    }
    return [
        Claim(f"LM-O, {len(found)} strangers: {what}", "report", float(count), unit="objects")
        for what, count in counts.items()
    ]


if __name__ == "__main__":
    main()
