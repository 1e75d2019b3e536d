"""Render a data set of objects on tables, or of satellites: reproducible, resumable, parallel."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from crisp.data.layout import SceneWriter
from crisp.errors import InputError
from crisp.files import write_whole
from crisp.progress import track
from crisp.sources.frames import read_json
from crisp.synth.config import SynthesisConfig
from crisp.synth.layouts import run_scenes, scene_frames, scene_models, scene_writer
from crisp.types import ObjectModel

RECORD = "synthesis.json"


class ScenesFailedError(RuntimeError):
    """Some scenes could not be rendered; the message names them and the first one's error."""


@dataclass(frozen=True, eq=False)
class _SceneTask:
    """All that a worker needs to render one scene; ids are those of the data set."""

    scene_id: int
    seed: int
    object_ids: tuple[int, ...]
    models: tuple[ObjectModel, ...]
    config: SynthesisConfig
    out: Path


def synthesise(
    models: Sequence[ObjectModel],
    *,
    out: Path,
    config: SynthesisConfig,
    workers: int = 1,
    progress: bool = True,
) -> None:
    """Render `config.scenes` scenes with `models` into the data set `out`.

    Existing scenes are kept. An interrupted run continues when called again, and ends with the same files as
    an uninterrupted one. `out` may hold other splits of the same models.

    Args:
        out: the data set's folder; created if missing.
        workers: processes, each rendering one scene at a time with one thread; 1 renders in this process.
        progress: show a bar.

    Raises:
        InputError: no models, or `out` was started with other models, another configuration or version.
        ScenesFailedError: some scenes failed. All others are written.
    """
    models = tuple(models)
    if not models:
        raise InputError("there is nothing to render: give at least one object model.")
    writer = scene_writer(out, config, dict(enumerate(models, start=1)))
    _begin(writer, models, config)
    wanted = list(_tasks(models, config, Path(out)))
    tasks = [task for task in wanted if not writer.has_scene(task.scene_id)]
    failures: dict[int, Exception] = {}
    outcomes = run_scenes(tasks, _render, workers)
    if progress:
        total = len(wanted)
        outcomes = track(outcomes, "rendering", total=total, done=total - len(tasks))
    for scene_id, error in outcomes:
        if error is not None:
            failures[scene_id] = error
    writer.finish(models)
    if failures:
        first = min(failures)
        raise ScenesFailedError(
            f"scene(s) {', '.join(map(str, sorted(failures)))} of {out} failed, all others are written; "
            f"the error of scene {first}: {failures[first]!r}."
        ) from failures[first]


def _render(task: _SceneTask) -> None:
    models = dict(zip(task.object_ids, task.models, strict=True))
    shown = scene_models(models, task.config, seed=task.seed)
    frames = scene_frames(shown, task.config, seed=task.seed)
    scene_writer(task.out, task.config, shown).write_scene(task.scene_id, frames)


def _tasks(models: tuple[ObjectModel, ...], config: SynthesisConfig, out: Path) -> Iterable[_SceneTask]:
    for scene_id, chosen in _scenes(len(models), config):
        yield _SceneTask(
            scene_id=scene_id,
            seed=_scene_seed(config, scene_id),
            object_ids=tuple(index + 1 for index in chosen),
            models=tuple(models[index] for index in chosen),
            config=config,
            out=out,
        )


def _scenes(count: int, config: SynthesisConfig) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Number of each scene, and the indices of its models; in space each object is one scene."""
    if config.writing.scene == "table":
        yield from enumerate(_deal(count, config), start=config.first_scene)
        return
    places = config.writing.members(config.split, count)
    if not places:
        raise InputError(f"none of {count} objects belongs to the split '{config.split}': give more models.")
    yield from ((place, (place,)) for place in places[: config.scenes])


def _deal(count: int, config: SynthesisConfig) -> Iterator[tuple[int, ...]]:
    """Which models each scene holds: those used least so far, ties broken at random."""
    start = (config.first_scene,) if config.first_scene else ()
    rng = np.random.default_rng((config.seed, zlib.crc32(config.split.encode()), *start))
    turns = np.zeros(count, dtype=np.int64)
    for _ in range(config.scenes):
        size = min(count, int(rng.integers(config.objects_per_scene[0], config.objects_per_scene[1] + 1)))
        chosen = rng.permutation(np.lexsort((rng.random(count), turns))[:size])
        turns[chosen] += 1
        yield tuple(int(index) for index in chosen)


def _scene_seed(config: SynthesisConfig, scene_id: int) -> int:
    """Derive each scene's seed on its own, so that its images do not depend on which others exist."""
    sequence = np.random.SeedSequence((config.seed, zlib.crc32(config.split.encode()), scene_id))
    return int(sequence.generate_state(1)[0])


def _begin(writer: SceneWriter, models: tuple[ObjectModel, ...], config: SynthesisConfig) -> None:
    """Write models and record of a new data set or split, or check those of an existing one."""
    path = writer.root / RECORD
    record: dict[str, Any] = {
        "crisp_version": version("crisp-pose"),
        "models": [{"name": model.name, "sha256": _fingerprint(model)} for model in models],
        "splits": {},
    }
    split = {
        "config": _recorded(config),
        "scene_seeds": [_scene_seed(config, config.first_scene + place) for place in range(config.scenes)],
    }
    if path.exists():
        known = read_json(path)
        if not isinstance(known.get("splits"), dict):
            raise InputError(f"{path} is damaged (it has no splits): choose another folder.")
        for key in ("crisp_version", "models"):
            if known.get(key) != record[key]:
                raise InputError(f"{writer.root} was started with other {key}: choose another folder.")
        if known["splits"].get(config.split, split) != split:
            raise InputError(
                f"{path} says that split '{config.split}' was started with another configuration: "
                "choose another folder or split, or use the old configuration."
            )
        record["splits"] = known["splits"]
    elif writer.has_models() or (writer.root / "models").exists():
        raise InputError(
            f"{writer.root} holds a data set that crisp synthesise did not make: choose another folder."
        )
    record["splits"] |= {config.split: split}
    writer.root.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(record, indent=1) + "\n")
    if not writer.has_models():
        writer.write_models(models)


def _recorded(config: SynthesisConfig) -> dict[str, Any]:
    """The configuration as JSON. Settings that were added later are omitted at their default, so that older
    records still match."""
    record = json.loads(json.dumps(dataclasses.asdict(config)))
    for name in ("layout", "any_pose_share", "usual_pose_share", "first_scene"):
        if record[name] == getattr(SynthesisConfig, name):
            del record[name]
    return record


def _fingerprint(model: ObjectModel) -> str:
    """SHA-256 of all that affects a model's appearance and labels."""
    digest = hashlib.sha256()
    arrays = [model.mesh.vertices, model.mesh.faces, model.surface.vertices, model.surface.faces]
    arrays += [model.surface.uv, model.surface.texture, *model.rest, *model.symmetries.discrete]
    arrays += [part for pair in model.symmetries.continuous for part in pair]
    arrays.append(np.array([model.roughness]))
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    return digest.hexdigest()
