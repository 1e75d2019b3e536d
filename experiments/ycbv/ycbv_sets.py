"""Common part of the experiments on YCB-Video's objects: frames, the model's estimates, and their scores.

Real frames come from a folder (`--data`, or the variable `CRISP_REAL_FRAMES`) that holds `ycbv` in BOP's
layout (`train_real`, `test`, `models`), `dexycb/test` and `lmo/test`. Rendered frames are in `--renders`,
made with the commands of docs/ycb.md. If a folder is missing, the figures that need it are not measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crisp.data.bop.reader import BopDataset, FrameKey
from crisp.data.dataset import Instance
from crisp.documents import read_json
from crisp.errors import InputError
from crisp.evaluate.metrics.metric import ObjectScore
from crisp.evaluate.options import PredictOptions, ScoreOptions
from crisp.evaluate.predict import predict
from crisp.evaluate.score import score
from crisp.model import Model
from crisp.output.sink import described
from experiments.layouts.real_frames import VARIABLE

REAL_SPLITS = ("train_real", "test")
WAYS = {"no corrector": "none", "Alg. 1": "bcd", "Alg. 2": "default", "search": "search"}
OWN = "search"
"""The model's default corrector, to which the goals refer."""
RENDERED_FRAMES = 16
"""Number of frames used from the start of the rendered test split: two per scene."""
PROTOCOLS: tuple[str, ...] = ("add-s", "crisp-shape", "chamfer-mm")
LEAST_VISIBLE = 0.1  # as in BOP: objects with a smaller visible fraction are not evaluated
WRONG_SHARE = 0.1
"""An estimate is wrong if its ADD-S is at least this share of the diameter."""
OBJECTS = tuple(range(1, 22))


@dataclass(frozen=True)
class Row:
    """One labelled object and its result; infinite errors if there is no estimate.

    Args:
        view: scene and object; in the real frames all images of one scene are nearly equal.
        certified: None without a certificate.
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


def parser_of(description: str | None, *, renders: bool = False) -> argparse.ArgumentParser:
    """Options of all these experiments. Estimates are cached in `--work` and shared among them.

    Args:
        renders: the experiment also uses rendered scenes.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a few frames of each set")
    parser.add_argument("--data", type=Path, default=os.environ.get(VARIABLE), help="real frames")
    parser.add_argument("--weights", default="ycbv-small")
    parser.add_argument("--work", type=Path, default=Path(".cache/ycbv"), help="predictions and runs")
    if renders:
        parser.add_argument("--renders", type=Path, default=Path(".cache/ycbv/renders"), help="docs/ycb.md")
    return parser


def used(model: Model) -> dict[str, Any]:
    """What figures depend on beside the frames, for the evidence: the settings of all stages are its own."""
    return {"weights": model.name, "model_sha256": model.sha256, "stages": described(model.settings)}


def is_there(folder: Path | None, what: str, *parts: str) -> bool:
    """Whether the folder exists with these parts; prints a message if not."""
    there = folder is not None and all((folder / part).is_dir() for part in parts or (".",))
    if not there:
        print(f"not measured: there are no {what} at {folder} (docs/ycb.md says where they come from).")
    return there


def has_real_frames(data: Path | None) -> bool:
    return is_there(data, "real frames", "ycbv/models", *(f"ycbv/{split}" for split in REAL_SPLITS))


def rendered_set(folder: Path) -> BopDataset | None:
    """The rendered test split, if present."""
    return BopDataset(folder, "test") if is_there(folder, "renderings", "test", "models") else None


def shown(dataset: BopDataset, key: FrameKey) -> list[Instance]:
    """A frame's objects that count."""
    return [i for i in dataset.instances(key) if i.visib_fract >= LEAST_VISIBLE]


def masks_of(dataset: BopDataset, key: FrameKey) -> list[np.ndarray]:
    """Visible masks of a frame's evaluated objects."""
    return [dataset.mask(key, instance.index) for instance in shown(dataset, key)]


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
    """Make a link to the target, replacing an older link."""
    if place.is_symlink() and place.resolve() != target.resolve():
        place.unlink()
    if not place.is_symlink():
        place.symlink_to(target, target_is_directory=True)


def digest_of(*said: object) -> str:
    """A digest of twelve digits over these values."""
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
    predict(changed, root, PredictOptions(split, frames=most_frames, min_visible=LEAST_VISIBLE), out=folder)
    found = score(
        ScoreOptions(folder, root, split, protocols=tuple(METRICS), predicted_frames_only=True), progress=True
    )
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
    pose, shape = row.errors["add-s"], row.errors["chamfer-mm"]
    known, scene = dataset.object(row.object_id), row.frame_id.split("/")[0]
    return Row(
        frame_id=row.frame_id,
        scene=scene,
        view=f"{scene} {row.object_id}",
        name=name,
        visib_fract=row.visib_fract,
        diameter_m=known.diameter_m,
        symmetric=not known.symmetries.none,
        add_s_m=pose.add_s_m,
        rotation_deg=pose.rotation_deg,
        crisp_shape=row.errors["crisp-shape"].e_shape,
        chamfer_m=shape.chamfer_m,
        certified=row.certified,
        label=label,
    )
