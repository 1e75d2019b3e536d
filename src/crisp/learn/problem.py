"""The data of a training run: a labelled split, its objects, and signed distances to their surfaces."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crisp.data.dataset import Dataset, FrameKey, KnownObject
from crisp.data.layouts import open_dataset
from crisp.errors import InputError
from crisp.learn.recipe import Recipe
from crisp.learn.sdf_samples import SdfSampleConfig, SdfSamples, sdf_samples, thickened
from crisp.progress import track

SURFACE_SAMPLES, NEAR_SAMPLES, VOLUME_SAMPLES = 20_000, 60_000, 40_000


@dataclass(frozen=True, eq=False)
class Problem:
    """A data set, its objects sorted by id with signed-distance samples, training and validation frames."""

    dataset: Dataset
    objects: Sequence[KnownObject]
    train: Sequence[FrameKey]
    validation: Sequence[FrameKey]
    samples: Sequence[SdfSamples]
    cube_half_m: float

    @property
    def object_ids(self) -> list[int]:
        return [o.object_id for o in self.objects]

    def digest(self) -> str:
        """SHA-256 over models, symmetries, labels and the choice of frames, but not over images."""
        frames = [[key.frame_id for key in keys] for keys in (self.train, self.validation)]
        labels = [self.object_ids, frames, self.dataset.labels_digest]
        digest = hashlib.sha256(json.dumps(labels).encode())
        for item in self.objects:
            arrays = [item.mesh.vertices, item.mesh.faces, *item.symmetries.discrete]
            arrays += [part for pair in item.symmetries.continuous for part in pair]
            for array in arrays:
                digest.update(f"|{array.shape}|".encode())
                digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()


def open_problem(
    recipe: Recipe, root: Path, split: str, *, cache: Path, most_frames: int | None = None
) -> Problem:
    """Read a labelled split, sample its objects' signed distances and choose validation scenes.

    Raises:
        InputError: the data set cannot be read, or has no annotated object.
    """
    dataset = open_dataset(root, split)
    keys = list(dataset.keys)[:most_frames]
    labels = {key: dataset.instances(key) for key in keys}
    instances = [i for found in labels.values() for i in found]
    if any(i.scale != 1.0 for i in instances):
        raise InputError(
            f"{root}/{split} has models whose size differs from image to image: train on a split with models "
            "of one size, such as real_train."
        )
    present = sorted({i.object_id for i in instances})
    objects = [dataset.object(object_id) for object_id in present]
    if not objects:
        raise InputError(f"{root}/{split} has no annotated object to train on.")
    half = max(float(np.abs(o.mesh.vertices).max()) for o in objects)
    sample_config = SdfSampleConfig(
        surface=SURFACE_SAMPLES,
        near=NEAR_SAMPLES,
        volume=VOLUME_SAMPLES,
        cube_half_m=recipe.cube_margin * half,
        seed=recipe.seed,
    )
    samples = [
        thickened(sdf_samples(o.mesh, sample_config, cache), recipe.least_wall_m)
        for o in track(objects, "distances", total=len(objects))
    ]
    held = _validation({key: {i.object_id for i in found} for key, found in labels.items()}, recipe)
    train_keys = [key for key in keys if key not in held]
    return Problem(dataset, objects, train_keys, sorted(held), samples, sample_config.cube_half_m)


def _validation(visible: Mapping[FrameKey, set[int]], recipe: Recipe) -> set[FrameKey]:
    """The frames to validate on: whole scenes, so that no view of a validation scene is trained on.

    If there is only one scene, its last frame. If whole scenes would remove an object from training, single
    frames instead: in SPE3R a scene is one satellite, and its images have nothing else in common.
    """
    keys = list(visible)
    scenes = sorted({key.scene_id for key in keys})
    if len(scenes) < 2:
        return {keys[-1]} if len(keys) > 1 else set()
    rng = np.random.default_rng(recipe.seed)
    chosen = set(rng.choice(scenes, size=_share_of(scenes, recipe), replace=False).tolist())
    held = {key for key in keys if key.scene_id in chosen}
    if _objects(visible, keys) == _objects(visible, set(keys) - held):
        return held
    return {keys[i] for i in rng.choice(len(keys), size=_share_of(keys, recipe), replace=False)}


def _share_of(what: Sequence[object], recipe: Recipe) -> int:
    return max(1, round(recipe.validation_share * len(what)))


def _objects(visible: Mapping[FrameKey, set[int]], keys: Iterable[FrameKey]) -> set[int]:
    return {object_id for key in keys for object_id in visible[key]}
