"""What the parts of the search among known objects save or gain, and at what cost.

Five settings on the same frames, in turn: as shipped; without the coarse step, so that all candidates are
improved on as many points as those that it keeps; with all known shapes for every object, even where one of
the nearest fits; without trying the place of the measured points; and without letting the network's
coordinates decide between orientations that fit. First real frame of each scene, masks are the labels'. Times
are of the stage `correct`.

    python -m benchmarks.known_search --data FOLDER [--quick]
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from experiments.support.evidence import Claim, write_evidence
from experiments.ycbv.ycbv_figures import BACKWARDS_DEG
from experiments.ycbv.ycbv_sets import OWN, has_real_frames, masks_of, parser_of, real_set, shown, used

from crisp.data.bop.reader import BopDataset, FrameKey
from crisp.evaluate.cases import TrueModels
from crisp.evaluate.metrics.add_s import pose_error
from crisp.evaluate.metrics.statistics import auc
from crisp.model import Model, load_model
from crisp.pipeline import Stages, estimate
from crisp.refine.search.known import KnownSearch
from crisp.stages import detections_of, standard_stages, without_meshes

WAYS: dict[str, dict[str, float]] = {
    "as shipped": {},
    "without the coarse step": {"medium_candidates": 10**6},
    "all shapes for every object": {"accept_m": 0.0},
    "only at the registered place": {"relocate_m": 1e3},
    "without disambiguation": {"coordinates_weight": 0.0},
}
THREADS = 2
AUC_M = 0.02
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = parser_of(__doc__).parse_args()
    if not has_real_frames(options.data):
        return
    torch.set_num_threads(THREADS)
    start = time.perf_counter()
    model = load_model(options.weights, device="cpu").with_correction(OWN)
    dataset = real_set(options.data, options.work)
    firsts = {key.scene_id: key for key in reversed(dataset.keys)}
    keys = sorted(firsts.values(), key=lambda key: key.scene_id)[: 1 if options.quick else None]
    stages = {way: _stages(model, changes) for way, changes in WAYS.items()}
    truths = TrueModels(dataset)
    _timed(stages["as shipped"], dataset, keys[0], truths)
    found: dict[str, list[_Timed]] = {way: [] for way in WAYS}
    for key in keys:
        for way in WAYS:
            found[way].append(_timed(stages[way], dataset, key, truths))
    write_evidence(
        "known_search",
        _claims(found),
        settings={
            "frames": len(keys),
            "objects": sum(len(frame.add_s_m) for frame in found["as shipped"]),
            "threads": THREADS,
            "ways": WAYS,
            **used(model),
        },
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


@dataclass(frozen=True)
class _Timed:
    """One frame: milliseconds per object; every object's ADD-S, and the rotation errors of those without
    symmetry (infinite without an estimate)."""

    ms: float
    add_s_m: tuple[float, ...]
    rotation_deg: tuple[float, ...]


def _stages(model: Model, changes: dict[str, float]) -> Stages:
    corrector = model.corrector
    assert corrector is not None and isinstance(corrector.search, KnownSearch)
    search = replace(corrector.search, **changes)  # type: ignore[arg-type]
    changed = replace(model, corrector=replace(corrector, search=search))
    library = model.info.library
    return without_meshes(
        standard_stages(changed.network, changed.known_shapes, changed.settings, library=library)
    )


def _timed(stages: Stages, dataset: BopDataset, key: FrameKey, truths: TrueModels) -> _Timed:
    results = estimate(dataset.load_frame(key), detections_of(masks_of(dataset, key)), stages)
    add_s_m, rotation_deg = [], []
    for instance, result in zip(shown(dataset, key), results, strict=True):
        truth = truths.of(instance)
        error = pose_error(truth, result.T_camera_object, instance.T_camera_object)
        add_s_m.append(error.add_s_m)
        if truth.model.symmetries.none:
            rotation_deg.append(error.rotation_deg)
    return _Timed(results[0].timing_ms["correct"], tuple(add_s_m), tuple(rotation_deg))


def _claims(found: dict[str, list[_Timed]]) -> list[Claim]:
    first, *others = WAYS
    claims = []
    for way in others:
        ratio = [other.ms / one.ms for one, other in zip(found[first], found[way], strict=True)]
        said = f"{way}: time of the correction over that of {first}, median over frames (interval: range)"
        claims.append(Claim(said, "report", float(np.median(ratio)), (min(ratio), max(ratio)), unit="times"))
    for way, frames in found.items():
        ms, errors = [frame.ms for frame in frames], np.concatenate([frame.add_s_m for frame in frames])
        said = f"{way}: correction, per object, median over frames (interval: range)"
        claims.append(Claim(said, "report", float(np.median(ms)), (min(ms), max(ms)), unit="ms"))
        claims.append(Claim(f"{way}: ADD-S AUC at 2 cm", "report", auc(errors, AUC_M), unit="share"))
        back = np.concatenate([frame.rotation_deg for frame in frames]) > BACKWARDS_DEG
        said = f"{way}: turned by more than {BACKWARDS_DEG} degrees, objects without symmetry"
        claims.append(Claim(said, "report", float(back.mean()), unit="share"))
    return claims


if __name__ == "__main__":
    main()
