"""Makes a BOP data set of objects on tables: reproducible, resumable, parallel over processes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from crisp.data.bop_writer import BopFrame, BopInstance, BopWriter
from crisp.data.synthesis_config import SynthesisConfig
from crisp.errors import InputError
from crisp.frame_files import read_json
from crisp.objects import ObjectModel
from crisp.progress import track
from crisp.render.arrangement import Spacing
from crisp.render.backend import limit_threads
from crisp.render.looks import look
from crisp.render.tabletop import Picture, pictures
from crisp.render.viewpoints import Viewpoints

__all__ = ["ScenesFailedError", "SynthesisConfig", "synthesise"]

RECORD = "synthesis.json"


class ScenesFailedError(RuntimeError):
    """Some scenes could not be rendered; the message names them and what the first one said."""


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
    """Render `config.scenes` tables with `models` into the BOP data set `out`.

    Scenes that are there already are kept, so a run that was broken off continues where it was, and ends
    with the files of an unbroken run. `out` may hold other splits of the same models.

    Args:
        out: the data set's folder; made where it is missing.
        workers: processes, each rendering one scene at a time with one thread; 1 renders in this process.
        progress: show a bar.

    Raises:
        InputError: no models, or `out` was begun with other models, another configuration or version.
        ScenesFailedError: some scenes failed. All others are written.
    """
    models = tuple(models)
    if not models:
        raise InputError("there is nothing to render: give at least one object model.")
    writer = BopWriter(out, config.split)
    _begin(writer, models, config)
    tasks = [task for task in _tasks(models, config, Path(out)) if not writer.has_scene(task.scene_id)]
    failures: dict[int, Exception] = {}
    outcomes = _run(tasks, workers)
    if progress:
        done = config.scenes - len(tasks)
        outcomes = track(outcomes, "rendering", total=config.scenes, done=done)
    for scene_id, error in outcomes:
        if error is not None:
            failures[scene_id] = error
    if failures:
        first = min(failures)
        raise ScenesFailedError(
            f"scene(s) {', '.join(map(str, sorted(failures)))} of {out} failed, the others are written; "
            f"scene {first} said: {failures[first]!r}."
        ) from failures[first]


def _run(tasks: Sequence[_SceneTask], workers: int) -> Iterator[tuple[int, Exception | None]]:
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield task.scene_id, _outcome(lambda task=task: _render(task))  # type: ignore[misc]
        return
    # A fork would copy the renderer's locks in whatever state they are; a fresh process has its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=_start_worker) as pool:
        futures = {pool.submit(_render, task): task.scene_id for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], _outcome(future.result)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _start_worker() -> None:
    limit_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker that outlives a killed run would write into the same folders as the run that resumes it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _outcome(work: Callable[[], None]) -> Exception | None:
    """What went wrong, for the report at the end: one scene must not lose the others."""
    try:
        work()
    except Exception as error:
        return error
    return None


def _render(task: _SceneTask) -> None:
    config = task.config
    viewpoints = Viewpoints(
        width=config.width,
        height=config.height,
        elevation_deg=config.elevation_deg,
        distance_m=config.distance_m,
        focal_px=config.focal_px,
        roll_deg=config.roll_deg,
    )
    views = pictures(
        task.models,
        views=config.views_per_scene,
        viewpoints=viewpoints,
        look=look(config.look),
        seed=task.seed,
        spacing=Spacing(*config.gap_m),
    )
    frames = (_frame(im_id, picture, task.object_ids) for im_id, picture in enumerate(views))
    BopWriter(task.out, config.split).write_scene(task.scene_id, frames)


def _frame(im_id: int, picture: Picture, object_ids: tuple[int, ...]) -> BopFrame:
    instances = tuple(
        BopInstance(object_ids[seen.index], seen.T_camera_object, seen.mask, seen.mask_visible)
        for seen in picture.objects
    )
    return BopFrame(
        im_id, picture.rgb, picture.depth_m, picture.camera, instances, T_world_camera=picture.T_world_camera
    )


def _tasks(models: tuple[ObjectModel, ...], config: SynthesisConfig, out: Path) -> Iterable[_SceneTask]:
    for scene_id, chosen in enumerate(_deal(len(models), config)):
        yield _SceneTask(
            scene_id=scene_id,
            seed=_scene_seed(config, scene_id),
            object_ids=tuple(index + 1 for index in chosen),
            models=tuple(models[index] for index in chosen),
            config=config,
            out=out,
        )


def _deal(count: int, config: SynthesisConfig) -> Iterator[tuple[int, ...]]:
    """Which models stand on each table: those that had fewest turns so far, ties drawn at random."""
    rng = np.random.default_rng((config.seed, zlib.crc32(config.split.encode())))
    turns = np.zeros(count, dtype=np.int64)
    for _ in range(config.scenes):
        size = min(count, int(rng.integers(config.objects_per_scene[0], config.objects_per_scene[1] + 1)))
        chosen = rng.permutation(np.lexsort((rng.random(count), turns))[:size])
        turns[chosen] += 1
        yield tuple(int(index) for index in chosen)


def _scene_seed(config: SynthesisConfig, scene_id: int) -> int:
    """Own seeds for each scene, so that its pictures do not depend on which others were rendered before."""
    sequence = np.random.SeedSequence((config.seed, zlib.crc32(config.split.encode()), scene_id))
    return int(sequence.generate_state(1)[0])


def _begin(writer: BopWriter, models: tuple[ObjectModel, ...], config: SynthesisConfig) -> None:
    """Write models and record of a new data set or split, or hold an old one's against this run."""
    path = writer.root / RECORD
    record: dict[str, Any] = {
        "crisp_version": version("crisp-pose"),
        "models": [{"name": model.name, "sha256": _fingerprint(model)} for model in models],
        "splits": {},
    }
    split = {
        "config": json.loads(json.dumps(dataclasses.asdict(config))),
        "scene_seeds": [_scene_seed(config, scene_id) for scene_id in range(config.scenes)],
    }
    if path.exists():
        known = read_json(path)
        if not isinstance(known.get("splits"), dict):
            raise InputError(f"{path} is damaged (it has no splits): choose another folder.")
        for key in ("crisp_version", "models"):
            if known.get(key) != record[key]:
                raise InputError(f"{writer.root} was begun with other {key}: choose another folder.")
        if known["splits"].get(config.split, split) != split:
            raise InputError(
                f"{path} says that split '{config.split}' was begun with another configuration: "
                "choose another folder or split, or repeat the old configuration."
            )
        record["splits"] = known["splits"]
    elif (writer.root / "models").exists():
        raise InputError(f"{writer.root} holds a data set that was not made here: choose another folder.")
    record["splits"] |= {config.split: split}
    writer.root.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.replace(path)
    if not (writer.root / "models" / "models_info.json").exists():  # the last file that write_models writes
        writer.write_models(models)


def _fingerprint(model: ObjectModel) -> str:
    """SHA-256 of all that decides how a model looks and what its labels mean."""
    digest = hashlib.sha256()
    arrays = [model.mesh.vertices, model.mesh.faces, model.surface.vertices, model.surface.faces]
    arrays += [model.surface.uv, model.surface.texture, *model.rest, *model.symmetries.discrete]
    arrays += [part for pair in model.symmetries.continuous for part in pair]
    arrays.append(np.array([model.roughness]))
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    return digest.hexdigest()
