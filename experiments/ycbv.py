"""What the experiments on the objects of YCB-Video share: the frames, the model's estimates, their scores.

Real frames come from a folder (`--data`, or the variable `CRISP_REAL_FRAMES`) that holds `ycbv` in BOP's
layout (`train_real`, `test`, `models`), `dexycb/test` and `lmo/test`. Rendered ones lie in `--renders`, made
with the commands of docs/ycb.md. Where a folder is not there, what needs it is not measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crisp.data.bop import BopDataset
from crisp.errors import InputError
from crisp.evaluate.evidence import Claim
from crisp.evaluate.predict import predict
from crisp.evaluate.protocols import E_SHAPE_AUC, Protocol
from crisp.evaluate.score import score
from crisp.evaluate.score_rows import ObjectScore
from crisp.frame_files import read_json
from crisp.metrics.scores import bootstrap_interval
from crisp.model import Model
from crisp.results import described
from experiments.real_frames import VARIABLE

RESULTS = Path(__file__).parent / "results"
REAL_SPLITS = ("train_real", "test")
WAYS = {"no corrector": "none", "Alg. 1": "bcd", "Alg. 2": "default", "search": "search"}
OWN = "search"
"""What the model uses unless told otherwise, and what the goals are of."""
RENDERED_FRAMES = 16
"""Of the rendered test split, the first so many: two of each scene."""
PROTOCOLS: tuple[Protocol, ...] = ("add-s", "crisp-shape", "chamfer-mm")
LEAST_VISIBLE = 0.1  # as BOP: what is hidden but for that is asked of nobody
WRONG_SHARE = 0.1
"""An estimate is wrong from an ADD-S of this share of the diameter on."""
OBJECTS = tuple(range(1, 22))
Statistic = Callable[[np.ndarray, np.ndarray], float]
"""Of values and their weights."""


@dataclass(frozen=True)
class Row:
    """One labelled object and what was said of it; infinite errors where there is no estimate.

    Args:
        view: scene and object: in the real frames all pictures of one scene are nearly equal.
        certified: None without a verdict.
        label: the name that the model gave to it.
    """

    frame_id: str
    scene: str
    view: str
    name: str
    visib_fract: float
    diameter_m: float
    symmetric: bool
    add_s_m: float
    rotation_deg: float
    crisp_shape: float
    chamfer_m: float
    certified: bool | None
    label: str | None

    @property
    def wrong(self) -> bool:
        """In its pose."""
        return not self.add_s_m < WRONG_SHARE * self.diameter_m


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """What all of these experiments are told. Estimates are kept in `--work` and shared among them."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a few frames of each set")
    parser.add_argument("--data", type=Path, default=os.environ.get(VARIABLE), help="real frames")
    parser.add_argument("--weights", default="ycbv-small")
    parser.add_argument("--work", type=Path, default=Path(".cache/ycbv"), help="predictions and runs")
    return parser


def add_renders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--renders", type=Path, default=Path(".cache/ycbv/renders"), help="docs/ycb.md")


def is_there(folder: Path | None, what: str, *parts: str) -> bool:
    """Whether there is such a folder with these parts; if not, that is said."""
    there = folder is not None and all((folder / part).is_dir() for part in parts or (".",))
    if not there:
        print(f"not measured: there are no {what} at {folder} (docs/ycb.md says where they come from).")
    return there


def has_real_frames(data: Path | None) -> bool:
    return is_there(data, "real frames", "ycbv/models", *(f"ycbv/{split}" for split in REAL_SPLITS))


def real_set(data: Path, work: Path, *, scenes: Sequence[int] | None = None) -> BopDataset:
    """The real frames of all splits as one split `real` of a set in `work`, made of links.

    Args:
        scenes: only these.
    """
    source, out = data.resolve() / "ycbv", work / "real"
    split = "real" if scenes is None else "real_" + "_".join(map(str, scenes))
    (out / split).mkdir(parents=True, exist_ok=True)
    found = {int(p.name): p for part in REAL_SPLITS for p in sorted((source / part).iterdir()) if p.is_dir()}
    for scene, folder in found.items():
        if scenes is None or scene in scenes:
            link(out / split / folder.name, folder)
    link(out / "models", source / "models")
    return BopDataset(out, split)


def link(place: Path, target: Path) -> None:
    """A link that leads there, whatever it led to before."""
    if place.is_symlink() and place.resolve() != target.resolve():
        place.unlink()
    if not place.is_symlink():
        place.symlink_to(target, target_is_directory=True)


def digest_of(*said: object) -> str:
    """Twelve digits that change with any of these values."""
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:12]


def scored(
    model: Model,
    correct: str,
    dataset: BopDataset,
    work: Path,
    *,
    most_frames: int | None = None,
) -> list[Row]:
    """Estimates of a split from the labels' visible masks, and their errors.

    What was estimated before, with the same model, settings and files, is kept.

    Raises:
        InputError: the model does not know YCB-Video's objects by BOP's numbers.
    """
    library = model.info.library
    if library.object_ids != OBJECTS:
        raise InputError(f"{model.name} does not know YCB-Video's 21 objects: give a model that does.")
    changed = model.with_correction(correct)
    frames = [dataset.digest(key) for key in dataset.keys[:most_frames]]
    key = digest_of(model.sha256, described(changed.settings), frames, LEAST_VISIBLE)
    folder = work / f"predictions_{dataset.split}_{correct}_{key}"
    root, split = dataset.root, dataset.split
    predict(changed, root, split, folder, most_frames=most_frames, min_visib_fract=LEAST_VISIBLE)
    found = score(folder, root, split, protocols=PROTOCOLS, predicted_frames_only=True, progress=True)
    labels = {
        (frame["frame_id"], entry["detection"]): entry["label"]
        for frame in read_json(folder / "results.json")["frames"]
        for entry in frame["objects"]
    }
    names = dict(zip(library.object_ids, library.names, strict=True))  # BOP's own files give no names
    return [
        _row(row, dataset, name=names[row.object_id], label=labels.get((row.frame_id, row.detection)))
        for row in found.objects
    ]


def _row(row: ObjectScore, dataset: BopDataset, *, name: str, label: str | None) -> Row:
    assert row.pose and row.normalised and row.shape
    known, scene = dataset.object(row.object_id), row.frame_id.split("/")[0]
    return Row(
        frame_id=row.frame_id,
        scene=scene,
        view=f"{scene} {row.object_id}",
        name=name,
        visib_fract=row.visib_fract,
        diameter_m=known.diameter_m,
        symmetric=not known.symmetries.none,
        add_s_m=row.pose.add_s_m,
        rotation_deg=row.pose.rotation_deg,
        crisp_shape=row.normalised.e_shape,
        chamfer_m=row.shape.chamfer_m,
        certified=row.certified,
        label=label,
    )


def weights_of(rows: Sequence[Row]) -> np.ndarray:
    """Nearly equal pictures of an object count as one, together."""
    count = Counter(row.view for row in rows)
    return np.array([1.0 / count[row.view] for row in rows])


def equal(rows: Sequence[Row]) -> np.ndarray:
    """Every object counts as one."""
    return np.ones(len(rows))


def over_scenes(
    rows: Sequence[Row], values: np.ndarray, weights: np.ndarray, statistic: Statistic
) -> tuple[float, tuple[float, float]]:
    """A statistic of the rows' values and weights, and its 95 % interval: scenes are drawn."""
    places = np.arange(len(rows), dtype=float)  # errors must not be negative, which a change can be

    def of(chosen: np.ndarray) -> float:
        index = chosen.astype(int)
        return statistic(values[index], weights[index])

    scenes = np.array([row.scene for row in rows])
    return of(places), bootstrap_interval(places, of, clusters=scenes)


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> float:
    return float(np.average(values, weights=weights))


def weighted_auc(threshold: float) -> Statistic:
    """Mean of max(0, 1 - e / threshold)."""
    return lambda e, w: weighted_mean(np.maximum(0.0, 1.0 - e / threshold), w)


def weighted_median(e: np.ndarray, w: np.ndarray) -> float:
    """The least value that half of the weight does not exceed."""
    order = np.argsort(e)
    return float(e[order][np.searchsorted(np.cumsum(w[order]), 0.5 * w.sum())])


def values_of(rows: Sequence[Row], name: str) -> np.ndarray:
    return np.array([getattr(row, name) for row in rows], dtype=float)


def claims_of(
    title: str, rows: Sequence[Row], weights: np.ndarray, *, goals: Mapping[str, str] | None = None
) -> list[Claim]:
    """All figures of one way on one set.

    Args:
        goals: by figure, such as "ADD-S AUC at 2 cm"; the others are a report.
    """
    parts = [(f"ADD-S AUC at {cm} cm", "add_s_m", weighted_auc(cm / 100), "share") for cm in (1, 2, 3)]
    parts += [(f"e_shape AUC at {b:g}", "crisp_shape", weighted_auc(b), "share") for b in E_SHAPE_AUC]
    parts += [("median chamfer", "chamfer_m", weighted_median, "mm")]
    claims = []
    for what, name, statistic, unit in parts:
        scale = 1000.0 if unit == "mm" else 1.0
        found, interval = over_scenes(rows, scale * values_of(rows, name), weights, statistic)
        claims.append(
            Claim(f"{title}: {what}", (goals or {}).get(what, "report"), found, interval, unit=unit)
        )
    plain = [i for i, row in enumerate(rows) if not row.symmetric]
    if plain:
        some = [rows[i] for i in plain]
        turned = values_of(some, "rotation_deg")
        found, interval = over_scenes(some, turned, weights[plain], weighted_median)
        what = f"{title}: median rotation error, objects without symmetry"
        claims.append(Claim(what, "report", found, interval, unit="degrees"))
    return claims + verdicts(title, rows, weights)


def verdicts(title: str, rows: Sequence[Row], weights: np.ndarray) -> list[Claim]:
    """How many are certified, and how many of those have the right pose; nothing without a certificate."""
    if all(row.certified is None for row in rows):
        return []
    claims = [share(f"{title}: share that is certified", rows, weights, lambda row: row.certified is True)]
    chosen = [i for i, row in enumerate(rows) if row.certified]
    if chosen:
        what = f"{title}: share of the certified within 10 % of the diameter"
        claims.append(share(what, [rows[i] for i in chosen], weights[chosen], lambda row: not row.wrong))
    return claims


def share(what: str, rows: Sequence[Row], weights: np.ndarray, holds: Callable[[Row], bool]) -> Claim:
    """The share of the rows, by weight, of which that holds."""
    values = np.array([float(holds(row)) for row in rows])
    found, interval = over_scenes(rows, values, weights, weighted_mean)
    return Claim(what, "report", found, interval, unit="share")


def by_object(title: str, rows: Sequence[Row], weights: np.ndarray) -> list[Claim]:
    """Of each object ADD-S AUC at 2 cm, e_shape AUC at 0.05, chamfer, and the share that is certified."""
    claims = []
    for name in sorted({row.name for row in rows}):
        chosen = [i for i, row in enumerate(rows) if row.name == name]
        own, w = [rows[i] for i in chosen], weights[chosen]
        what = f"{title}, {name}, {w.sum():.0f} seen"
        for figure, field, statistic, unit in (
            ("ADD-S AUC at 2 cm", "add_s_m", weighted_auc(0.02), "share"),
            ("e_shape AUC at 0.05", "crisp_shape", weighted_auc(0.05), "share"),
            ("median chamfer", "chamfer_m", weighted_median, "mm"),
        ):
            scale = 1000.0 if unit == "mm" else 1.0
            found, interval = over_scenes(own, scale * values_of(own, field), w, statistic)
            claims.append(Claim(f"{what}: {figure}", "report", found, interval, unit=unit))
        if any(row.certified is not None for row in own):
            claims.append(
                share(f"{what}: share that is certified", own, w, lambda row: row.certified is True)
            )
    return claims
