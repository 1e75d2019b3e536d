"""Several views of one scene (Remark 3): single frames against the pooled points of tracks.

It renders scenes of the procedural objects with six views each and its own seed. The same frames are
estimated twice: one by one, and in order by a tracker that associates objects by their position in the
world (`crisp estimate --tracks auto`). Labels serve as masks and for scoring, but not for tracks. An
object's first view is the same in both, so the comparison uses results that had a pool, on the same objects
and frames.

    python -m experiments.paper.multi_view [--quick]
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from crisp.data.bop.reader import BopDataset, FrameKey, Instance
from crisp.evaluate.calibrate import within_claim
from crisp.evaluate.cases import TrueModel
from crisp.evaluate.metrics.chamfer import shape_error
from crisp.evaluate.metrics.statistics import auc, binomial_interval, bootstrap_interval
from crisp.model import Model, load_model
from crisp.output.sink import described
from crisp.progress import track
from crisp.synth.config import SynthesisConfig
from crisp.synth.procedural import catalogue
from crisp.synth.render.looks import LookName
from crisp.synth.synthesise import synthesise
from crisp.types import Estimate, Result
from experiments.support.errors import MESHING, Error, Truth, fall, mean_finite
from experiments.support.evidence import RESULTS, Claim, write_evidence

LOOKS: tuple[LookName, ...] = ("hard",)  # the look on which single views have errors to improve
SEEDS = {"clean": 5001, "hard": 5002}
SCENES, VIEWS = 6, 6
LEAST_VISIBLE, WELL_VISIBLE = 0.1, 0.7
WAYS = ("single view", "pooled")


@dataclass(frozen=True)
class Seen:
    """One object in one frame, one way.

    Args:
        error: of pose and shape; its `frame_id` names the object in its scene, over which intervals are
            taken: views of one object are not independent.
        right: whether pose and shape are right as 'certified' promises.
        frames: number of frames in its track before this one; 0 without a track.
    """

    error: Error
    chamfer_m: float
    right: bool
    certified: bool
    visib_fract: float
    track: str | None
    frames: int
    correct_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one clean scene of three views")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--work", type=Path, default=Path(".cache/multi_view"), help="renders")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    start = time.perf_counter()
    model = replace(load_model(options.weights), meshing=MESHING)
    claims: list[Claim] = []
    for look in ("clean",) if options.quick else LOOKS:
        claims += claims_of(look, *measured(model, rendered(look, options), work=options.work))
    settings = {
        "scenes": 1 if options.quick else SCENES,
        "views": 3 if options.quick else VIEWS,
        "seeds": SEEDS,
        "least_visible": LEAST_VISIBLE,
        "masks": "ground truth",
        "tracks": "auto, from certified poses",
        "tracking": described(model.tracker().config),
        "interval": "95 %, over objects of a scene",
        "kept": "rows of each scene beside the renders; seconds are without those that were there already",
        "mesh_resolution": MESHING.resolution,
        "weights": options.weights,
        "model_sha256": model.sha256,
    }
    seconds = time.perf_counter() - start
    write_evidence(
        "paper.multi_view", claims, settings=settings, seconds=seconds, folder=RESULTS, quick=options.quick
    )


def rendered(look: LookName, options: argparse.Namespace) -> BopDataset:
    """Render what is missing."""
    scenes, views = (1, 3) if options.quick else (SCENES, VIEWS)
    root, split = options.work / "procedural", f"{look}_{scenes}x{views}"
    config = SynthesisConfig(split=split, scenes=scenes, views_per_scene=views, look=look, seed=SEEDS[look])
    synthesise(catalogue(), out=root, config=config, workers=options.workers)
    return BopDataset(root, split)


def measured(model: Model, dataset: BopDataset, *, work: Path) -> tuple[list[Seen], list[Seen]]:
    """Every object in every frame, single and pooled, row by row; each scene's rows are cached."""
    single: list[Seen] = []
    pooled: list[Seen] = []
    scenes = dataset.scene_ids
    for scene_id in track(scenes, dataset.split, total=len(scenes)):
        kept = work / f"seen_{dataset.split}_{scene_id}_{model.sha256[:12]}.json"
        if not kept.exists():
            rows = [[asdict(row) for row in way] for way in _scene(model, dataset, scene_id)]
            partial = kept.with_suffix(".partial")
            partial.write_text(json.dumps(rows))
            partial.replace(kept)
        for rows, way in zip((single, pooled), json.loads(kept.read_text()), strict=True):
            rows += [Seen(**row | {"error": Error(**row["error"])}) for row in way]
    return single, pooled


def _scene(model: Model, dataset: BopDataset, scene_id: int) -> tuple[list[Seen], list[Seen]]:
    judge, tracker = _Judge(dataset), model.tracker()
    rows: tuple[list[Seen], list[Seen]] = ([], [])
    held: Counter[str] = Counter()  # frames of each track
    for key in [key for key in dataset.keys if key.scene_id == scene_id]:
        frame = dataset.load_frame(key)
        labels = [item for item in dataset.instances(key) if item.visib_fract >= LEAST_VISIBLE]
        masks = [dataset.mask(key, item.index) for item in labels]
        single = model.estimate(frame, masks)
        pooled = tracker.estimate(frame, masks, T_world_camera=dataset.T_world_camera(key))
        for place, label in enumerate(labels):
            before = held[pooled[place].track or ""]  # of the frames before this one
            rows[0].append(judge(key, label, single[place], frames=before))
            rows[1].append(judge(key, label, pooled[place], frames=before))
        held.update(r.track for r in pooled if r.track is not None and _certified(r))
    return rows


def _certified(result: Result) -> bool:
    return result.certificate is not None and result.certificate.certified


class _Judge:
    """Results against labels; each true model is sampled once."""

    def __init__(self, dataset: BopDataset) -> None:
        self._dataset = dataset
        self._truths: dict[int, Truth] = {}
        self._models: dict[int, TrueModel] = {}

    def __call__(self, key: FrameKey, label: Instance, result: Result, *, frames: int) -> Seen:
        number = label.object_id
        if number not in self._truths:
            self._truths[number] = Truth.of(self._dataset, number)
            self._models[number] = TrueModel(self._dataset.object(number))
        name = f"{key.scene_id}/{number}"
        mesh = result.mesh if result.status == "ok" else None
        error = self._truths[number].error(name, _estimate(result), mesh, label.T_camera_object)
        chamfer_m = shape_error(self._models[number], mesh).chamfer_m
        right = within_claim(error.add_s_m, chamfer_m, diameter_m=self._truths[number].diameter_m)
        spent = result.timing_ms.get("correct", float("nan"))
        return Seen(
            error, chamfer_m, right, _certified(result), label.visib_fract, result.track, frames, spent
        )


def _estimate(result: Result) -> Estimate | None:
    if result.status != "ok":
        return None
    T, code = torch.as_tensor(result.T_camera_object), torch.as_tensor(result.shape_code)
    return Estimate(T, code, float(result.inlier_share or 0.0))


def claims_of(look: str, single: Sequence[Seen], pooled: Sequence[Seen]) -> list[Claim]:
    """The effect of pooling on the results that had a pool, and the quality of the tracks."""
    claims = tracks_of(look, pooled)
    for name, chosen in (
        ("with a pool", [row.frames > 0 for row in pooled]),
        ("with a pool of 3 frames or more", [row.frames >= 3 for row in pooled]),
        (
            "with a pool, less than 70 % visible",
            [row.frames > 0 and row.visib_fract < WELL_VISIBLE for row in pooled],
        ),
    ):
        before = [row for row, yes in zip(single, chosen, strict=True) if yes]
        after = [row for row, yes in zip(pooled, chosen, strict=True) if yes]
        title = f"{look}, {name}"
        claims.append(Claim(f"{title}: results", "report", float(len(before)), unit="results"))
        if not before:
            continue
        for what in ("shape", "pose"):
            errors = [row.error for row in before], [row.error for row in after]
            claims.append(fall(title, what, *errors, goal="report"))
        if name == "with a pool":
            claims += figures(title, before, after)
    return claims


def tracks_of(look: str, pooled: Sequence[Seen]) -> list[Claim]:
    """Whether a track is one object, and an object one track; labels are used only here."""
    named = [(row.error.frame_id.split("/")[0], row.track, row.error.frame_id) for row in pooled if row.track]
    objects: dict[tuple[str, str], Counter[str]] = {}
    for scene, name, truth in named:
        objects.setdefault((scene, name), Counter())[truth] += 1
    pure = sum(count.most_common(1)[0][1] for count in objects.values())
    share, (low, high) = pure / max(len(named), 1), binomial_interval(np.array(pure), np.array(len(named)))
    return [
        Claim(f"{look}: results", "report", float(len(pooled)), unit="results"),
        Claim(f"{look}: objects, each in its scene", "report",
              float(len({row.error.frame_id for row in pooled})), unit="objects"),
        Claim(f"{look}: tracks", "report", float(len(objects)), unit="tracks"),
        Claim(f"{look}: results on a track that are of the object that most of it are", "report", share,
              (float(low), float(high)), unit="share"),
    ]  # fmt: skip


def figures(title: str, before: Sequence[Seen], after: Sequence[Seen]) -> list[Claim]:
    """Both ways side by side."""
    objects = np.array([row.error.frame_id for row in before])
    median: Callable[[np.ndarray], float] = lambda v: float(np.median(v))  # noqa: E731
    share: Callable[[np.ndarray], float] = lambda v: float(np.mean(v))  # noqa: E731
    claims = []
    for way, rows in zip(WAYS, (before, after), strict=True):

        def claim(
            what: str, values: np.ndarray, of: Callable[[np.ndarray], float], unit: str, *, way: str = way
        ) -> Claim:
            interval = bootstrap_interval(values, of, clusters=objects)
            return Claim(f"{title}, {way}: {what}", "report", of(values), interval, unit=unit)

        shape = np.array([row.error.shape for row in rows])
        chamfer_mm = np.array([1000 * row.chamfer_m for row in rows])
        certified = np.array([float(row.certified) for row in rows])
        sure = [row for row in rows if row.certified]
        wrong = sum(not row.right for row in sure)
        claims += [
            claim("mean e_shape", shape, mean_finite, model="diameters"),
            claim("median e_shape", shape, median, model="diameters"),
            claim("median two-sided chamfer", chamfer_mm, median, model="mm"),
            claim("ADD-S AUC at 2 cm", np.array([row.error.add_s_m for row in rows]),
                  lambda e: auc(e, 0.02), model="share"),
            claim("share certified", certified, share, model="share"),
            Claim(f"{title}, {way}: wrong among the {len(sure)} certified", "report", float(wrong),
                  unit="results"),
            Claim(f"{title}, {way}: corrector's time per object, median", "report",
                  median(np.array([row.correct_ms for row in rows])), unit="ms"),
        ]  # fmt: skip
    return claims


if __name__ == "__main__":
    main()
