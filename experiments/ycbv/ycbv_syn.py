"""The bundled YCB model, trained on renderings alone: on renderings of other scenes, and on real frames.

It compares the network alone, Alg. 1, Alg. 2, and the search among known objects, which is the model's
default and to which the goals refer. In rendered scenes objects with a visible fraction of at least 70 %
count, as in `held_out`; in real frames every labelled object with at least 10 %. Masks are the labels'. In
the real frames, nearly equal images of an object count as one. Intervals are over scenes; there are only
six real ones.

    python -m experiments.ycbv.ycbv_syn --data FOLDER [--quick]
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from crisp.data.bop.reader import BopDataset
from crisp.model import load_model
from experiments.support.evidence import RESULTS, Claim, write_evidence
from experiments.support.rendered_sets import MIN_VISIBLE
from experiments.ycbv.ycbv_figures import by_object, claims_of, equal, weights_of
from experiments.ycbv.ycbv_sets import (
    LEAST_VISIBLE,
    OWN,
    RENDERED_FRAMES,
    WAYS,
    Row,
    has_real_frames,
    parser_of,
    real_set,
    rendered_set,
    scored,
    used,
)

GOALS = {"renders": {"ADD-S AUC at 2 cm": ">= 0.70"}, "real": {"ADD-S AUC at 2 cm": ">= 0.42"}}


def main() -> None:
    options = parser_of(__doc__, renders=True).parse_args()
    start = time.perf_counter()
    model = load_model(options.weights)
    sets: dict[str, tuple[BopDataset, float, int | None]] = {}
    if (renders := rendered_set(options.renders)) is not None:
        sets["renders"] = renders, MIN_VISIBLE, RENDERED_FRAMES
    if has_real_frames(options.data):
        sets["real"] = real_set(options.data, options.work), LEAST_VISIBLE, None
    if not sets:
        return
    claims: list[Claim] = []
    for name, (dataset, least, frames) in sets.items():
        most = 1 if options.quick else frames
        found = {}
        for way, correct in WAYS.items():
            rows = scored(model, correct, dataset, options.work, most_frames=most)
            found[way] = [row for row in rows if row.visib_fract >= least]
        claims += reported(name, found)
    write_evidence(
        "ycbv.ycbv_syn",
        claims,
        settings={
            **used(model),
            "masks": "ground truth",
            "min_visible": {name: least for name, (_, least, _) in sets.items()},
            "frames": {
                n: 1 if options.quick else frames or len(d.keys) for n, (d, _, frames) in sets.items()
            },
            "ways": WAYS,
        },
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def reported(name: str, found: Mapping[str, list[Row]]) -> list[Claim]:
    """First the figure that is aimed at, then counts, all figures of every way, and each object."""
    weights = weights_for(name, found[OWN])
    aimed = claims_of(f"{name}, {OWN}", found[OWN], weights, goals=GOALS[name])
    claims = [claim for claim in aimed if claim.goal != "report"]
    claims.append(Claim(f"{name}: objects scored", "report", float(len(weights)), unit="objects"))
    claims.append(Claim(f"{name}: distinct views", "report", float(weights.sum()), unit="views"))
    for way, rows in found.items():
        claims += claims_of(f"{name}, {way}", rows, weights_for(name, rows))
    return claims + by_object(f"{name}, {OWN}", found[OWN], weights)


def weights_for(name: str, rows: list[Row]) -> np.ndarray:
    """Two renderings of a scene have cameras of their own; the real pictures of one are nearly equal."""
    return weights_of(rows) if name == "real" else equal(rows)


if __name__ == "__main__":
    main()
