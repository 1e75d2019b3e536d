"""Precision of the certificate on held-out scenes of known objects, and on unknown objects.

It renders calibration sets and test sets of the procedural objects (with other seeds than training, different
from each other) and scenes of strangers, objects that no model is trained on. The bounds are those of the
model's calibration or, if it has none, of one on the calibration sets; the test sets are not used for them.
An estimate is right if ADD-S is below 10 % and chamfer below 5 % of the diameter; for strangers, which share
no object frame with the model, if the chamfer distance in the camera frame is below 5 %.

    python -m experiments.paper.certificate [--quick]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from crisp.certify.certificate import UNCALIBRATED, CertificateConfig
from crisp.data.bop.reader import BopDataset
from crisp.evaluate.bounds import Bounds, Evidence, curves, point
from crisp.evaluate.calibrate import (
    MESHING,
    Judged,
    bounds_of,
    calibrate,
    evidence_of,
    judge,
    measuring,
    sentence,
)
from crisp.evaluate.metrics.statistics import binomial_interval
from crisp.model import Model, load_model
from crisp.synth.config import SynthesisConfig
from crisp.synth.procedural import catalogue, strangers
from crisp.synth.render.looks import LookName
from crisp.synth.synthesise import synthesise
from crisp.types import Certificate
from experiments.support.evidence import RESULTS, Claim, write_evidence

MIN_VISIBLE = 0.7
TARGET = 0.97  # above the claimed 0.95, because bounds look better on the set that chose them
VIEWS = 2
CHECKS = ("residual", "free space", "mu")


@dataclass(frozen=True)
class Rendered:
    """A set of scenes, of the catalogue's objects or of strangers."""

    name: str
    look: LookName
    seed: int
    scenes: int
    strange: bool = False


CALIBRATION = (
    Rendered("calibration_clean", "clean", 4001, 20),
    Rendered("calibration_hard", "hard", 4002, 12),
)
TEST = (
    Rendered("clean", "clean", 3001, 24),
    Rendered("hard", "hard", 3002, 16),
    Rendered("strangers_clean", "clean", 3003, 14, strange=True),
    Rendered("strangers_hard", "hard", 3004, 6, strange=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one scene a set, target 0.5: does it run?")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--work", type=Path, default=Path(".cache/certificate"), help="renders")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    start = time.perf_counter()
    model = load_model(options.weights)
    config = certificate_of(model, options)
    judged = {part.name: judged_once(model, part, options) for part in TEST}
    known = {row.kind for row in judged["clean"] + judged["hard"]}
    bounds = bounds_of(config)
    tested = evidence_of(visible(judged["clean"] + judged["hard"]))
    claims = claims_of(judged, bounds, known=known) + ablation(judged, bounds)
    settings = {
        "sets": [asdict(part) for part in CALIBRATION + TEST],
        "views_per_scene": 1 if options.quick else VIEWS,
        "min_visible": MIN_VISIBLE,
        "mesh_resolution": MESHING.resolution,
        "target": 0.5 if options.quick else TARGET,
        "interval": "95 %, Clopper and Pearson, over instances",
        "certificate": asdict(config),
        "curves": curves(tested, bounds),
        "weights": options.weights,
        "model_sha256": model.sha256,
    }
    seconds = time.perf_counter() - start
    write_evidence(
        "paper.certificate", claims, settings=settings, seconds=seconds, folder=RESULTS, quick=options.quick
    )
    if not options.quick:
        draw(settings["curves"], RESULTS / "certificate.png")


def rendered(part: Rendered, options: argparse.Namespace) -> BopDataset:
    """Render what is missing."""
    scenes, views = (1, 1) if options.quick else (part.scenes, VIEWS)
    root = options.work / ("strangers" if part.strange else "procedural")
    split = f"{part.name}_{scenes}x{views}"
    config = SynthesisConfig(
        split=split, scenes=scenes, views_per_scene=views, look=part.look, seed=part.seed
    )
    models = strangers() if part.strange else catalogue()
    synthesise(models, out=root, config=config, workers=options.workers)
    return BopDataset(root, split)


def judged_once(model: Model, part: Rendered, options: argparse.Namespace) -> list[Judged]:
    """Estimates and their truths, cached beside the renders; they do not depend on the bounds."""
    dataset = rendered(part, options)
    kept = options.work / f"judged_{part.name}_{dataset.split}_{model.sha256[:12]}.json"
    if not kept.exists():
        own = model.certificate or CertificateConfig()
        rows = judge(replace(model, certificate=measuring(own)), dataset, progress=True)
        partial = kept.with_suffix(".partial")
        partial.write_text(json.dumps([asdict(row) for row in rows]))
        partial.replace(kept)
    return [_read(row) for row in json.loads(kept.read_text())]


def _read(row: dict[str, Any]) -> Judged:
    said = row.pop("certificate")
    certificate = None if said is None else Certificate(**said | {"reasons": tuple(said["reasons"])})
    return Judged(certificate=certificate, **row)


def certificate_of(model: Model, options: argparse.Namespace) -> CertificateConfig:
    """The model's own bounds if it is calibrated."""
    own = model.certificate
    if own is not None and not own.calibration.startswith(UNCALIBRATED):
        return own
    sets = [rendered(part, options) for part in CALIBRATION]
    found = calibrate(model, sets, target=0.5 if options.quick else TARGET)
    print(sentence(found))
    return found.config


def visible(rows: Sequence[Judged]) -> list[Judged]:
    return [row for row in rows if not row.visib_fract < MIN_VISIBLE]


def claims_of(judged: dict[str, list[Judged]], bounds: Bounds, *, known: set[str]) -> list[Claim]:
    """The claims with goals, and their parts as reports."""
    strange = visible(judged["strangers_clean"] + judged["strangers_hard"])
    everything = sum(len(visible(rows)) for rows in judged.values())
    both = judged["clean"] + judged["hard"]
    claims = [Claim("instances judged", ">= 600", float(everything), unit="instances")]
    for name, rows, goal in (
        ("clean and hard", visible(both), ">= 0.95"),
        ("clean", visible(judged["clean"]), "report"),
        ("hard", visible(judged["hard"]), "report"),
        ("clean and hard, however occluded", both, "report"),
    ):
        claims += [precision(name, evidence_of(rows), bounds, goal=goal)]
        covered = ">= 0.60" if name == "clean" else "report"
        claims += [
            coverage(name, evidence_of(rows), bounds, goal=covered),
            *base_rate(name, evidence_of(rows)),
        ]
    for name, rows in (
        ("strangers of known kinds", [row for row in strange if row.kind in known]),
        ("strangers of unknown kinds", [row for row in strange if row.kind not in known]),
    ):
        evidence = evidence_of(rows, in_camera=True)
        claims += [wrongly_certified(name, evidence, bounds, goal="<= 0.05")]
        claims += [coverage(name, evidence, bounds), *base_rate(name, evidence)]
    paper = Bounds("metres", CertificateConfig().eps_m or 0.0)
    evidence = evidence_of(visible(both))
    name = "clean and hard, published bounds"
    return [*claims, precision(name, evidence, paper), coverage(name, evidence, paper)]


def ablation(judged: dict[str, list[Judged]], bounds: Bounds) -> list[Claim]:
    """Each check alone and each left out, under the same bounds."""
    tested = evidence_of(visible(judged["clean"] + judged["hard"]))
    strange = evidence_of(visible(judged["strangers_clean"] + judged["strangers_hard"]), in_camera=True)
    free = {"residual": np.inf, "free_space_share": np.inf, "minus_mu": np.inf}
    names = dict(zip(CHECKS, free, strict=True))
    claims = []
    for check, key in names.items():
        alone = replace(bounds, **{k: v for k, v in free.items() if k != key})
        for what, some in ((f"{check} alone", alone), (f"without {check}", replace(bounds, **{key: np.inf}))):
            claims += [precision(f"clean and hard, {what}", tested, some)]
            claims += [coverage(f"clean and hard, {what}", tested, some)]
            claims += [wrongly_certified(f"all strangers, {what}", strange, some)]
    return claims


def precision(name: str, evidence: Evidence, bounds: Bounds, *, goal: str = "report") -> Claim:
    found = point(evidence, bounds.certified(evidence))
    text = f"{name}: share of the {found.certified} certified that are right"
    if goal == "report":
        return Claim(text, goal, found.precision, found.interval, unit="share")
    return Claim(text, goal, found.precision, found.interval, unit="share", judge="interval")


def coverage(name: str, evidence: Evidence, bounds: Bounds, *, goal: str = "report") -> Claim:
    certified = bounds.certified(evidence)
    return _share(f"{name}: share that is certified", certified, goal=goal)


def wrongly_certified(name: str, evidence: Evidence, bounds: Bounds, *, goal: str = "report") -> Claim:
    wrong = bounds.certified(evidence) & ~evidence.right
    return _share(f"{name}: share of all that is certified and wrong", wrong, goal=goal)


def base_rate(name: str, evidence: Evidence) -> list[Claim]:
    return [
        _share(f"{name}: share of the {len(evidence.right)} that is right, certified or not", evidence.right)
    ]


def _share(text: str, chosen: np.ndarray, *, goal: str = "report") -> Claim:
    low, high = binomial_interval(chosen.sum(), np.array(len(chosen)))
    figure = float(chosen.mean()) if len(chosen) else float("nan")
    return Claim(text, goal, figure, (float(low), float(high)), unit="share")


def draw(found: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Precision against coverage, one curve per check."""
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for name, points in found.items():
        if points:
            axes.plot([p["coverage"] for p in points], [p["precision"] for p in points], label=name)
    axes.set(xlabel="coverage", ylabel="precision", xlim=(0, 1), title="clean and hard, test sets")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
