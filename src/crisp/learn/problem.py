"""What there is to learn: a labelled data set, its objects, and the distances to their surfaces."""

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
    """Data set, objects in the order of their ids, and the frames to train and to validate on."""

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
        """SHA-256 over what is learnt from: models, symmetries, labels and the choice of frames; no image."""
        frames = [[key.frame_id for key in keys] for keys in (self.train, self.validation)]
        said = [self.object_ids, frames, self.dataset.labels_digest]
        digest = hashlib.sha256(json.dumps(said).encode())
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
    """Read a labelled split, sample its objects' distances and set validation scenes aside.

    Raises:
        InputError: the data set cannot be read, or has no annotated object.
    """
    dataset = open_dataset(root, split)
    keys = list(dataset.keys)[:most_frames]
    labels = {key: dataset.instances(key) for key in keys}
    instances = [i for found in labels.values() for i in found]
    if any(i.scale != 1.0 for i in instances):
        raise InputError(
            f"{root}/{split} has models that are of another size in each image: train on a split with models "
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


def _validation(shown: Mapping[FrameKey, set[int]], recipe: Recipe) -> set[FrameKey]:
    """Whole scenes, so that no view of a validation scene is trained on; one frame of a single scene.

    Single frames where whole scenes would take along an object that no other scene shows: in SPE3R a scene
    is a satellite, and its images have nothing else in common.
    """
    keys = list(shown)
    scenes = sorted({key.scene_id for key in keys})
    if len(scenes) < 2:
        return {keys[-1]} if len(keys) > 1 else set()
    rng = np.random.default_rng(recipe.seed)
    chosen = set(rng.choice(scenes, size=_share_of(scenes, recipe), replace=False).tolist())
    held = {key for key in keys if key.scene_id in chosen}
    if _objects(shown, keys) == _objects(shown, set(keys) - held):
        return held
    return {keys[i] for i in rng.choice(len(keys), size=_share_of(keys, recipe), replace=False)}


def _share_of(what: Sequence[object], recipe: Recipe) -> int:
    return max(1, round(recipe.validation_share * len(what)))


def _objects(shown: Mapping[FrameKey, set[int]], keys: Iterable[FrameKey]) -> set[int]:
    return {object_id for key in keys for object_id in shown[key]}
