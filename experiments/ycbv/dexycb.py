"""The YCB model on one frame of DexYCB (another camera, another laboratory) with four objects.

python -m experiments.ycbv.dexycb --data FOLDER [--quick]
"""

from __future__ import annotations

import time
from pathlib import Path

from crisp.data.bop.reader import BopDataset
from crisp.model import load_model
from experiments.support.evidence import RESULTS, Claim, write_evidence
from experiments.ycbv.ycbv_sets import WAYS, Row, is_there, link, parser_of, scored, used


def main() -> None:
    options = parser_of(__doc__).parse_args()
    if not is_there(options.data, "DexYCB frame", "dexycb/test", "ycbv/models"):
        return
    start = time.perf_counter()
    model = load_model(options.weights)
    dataset = dexycb_set(options.data, options.work / "dexycb")
    ways = {way: WAYS[way] for way in list(WAYS)[: 1 if options.quick else None]}
    claims: list[Claim] = []
    for way, correct in ways.items():
        claims += [c for row in scored(model, correct, dataset, options.work) for c in of_object(way, row)]
    write_evidence(
        "ycbv.dexycb",
        claims,
        settings={**used(model), "masks": "ground truth"},
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def dexycb_set(data: Path, out: Path) -> BopDataset:
    """The frame with the models of YCB-Video."""
    out.mkdir(parents=True, exist_ok=True)
    link(out / "test", data.resolve() / "dexycb" / "test")
    link(out / "models", data.resolve() / "ycbv" / "models")
    return BopDataset(out, "test")


def of_object(way: str, row: Row) -> list[Claim]:
    """Its errors, and what was said of it."""
    title = f"{way}, {row.name}"
    claims = [
        Claim(f"{title}: ADD-S", "report", 1000 * row.add_s_m, unit="mm"),
        Claim(f"{title}: ADD-S over diameter", "report", row.add_s_m / row.diameter_m, unit="share"),
        Claim(f"{title}: two-sided chamfer", "report", 1000 * row.chamfer_m, unit="mm"),
        Claim(f"{title}: the name is right", "report", float(row.label == row.name), unit="1 is yes"),
    ]
    if not row.symmetric:
        claims.append(Claim(f"{title}: rotation error", "report", row.rotation_deg, unit="degrees"))
    if row.certified is not None:
        claims.append(Claim(f"{title}: certified", "report", float(row.certified), unit="1 is yes"))
    return claims


if __name__ == "__main__":
    main()
