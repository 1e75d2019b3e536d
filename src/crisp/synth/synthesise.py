"""Render a data set of objects on tables, or of satellites: reproducible, resumable, parallel.

A scene that fails does not lose the others. Writer, camera and contents of a scene follow from the layout's
descriptor (`crisp.data.layout`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from crisp.data.bop.writer import BopFrame, BopInstance
from crisp.data.layout import SceneWriter
from crisp.documents import read_json
from crisp.errors import InputError
from crisp.files import write_whole
from crisp.progress import track
from crisp.synth.config import SynthesisConfig
from crisp.synth.render.arrangement import Resting, Spacing, Viewpoints
from crisp.synth.render.looks import look
from crisp.synth.render.scene import limit_threads
from crisp.synth.render.space import space_pictures
from crisp.synth.render.tabletop import Picture, pictures
from crisp.types import Mesh, ObjectModel, TexturedMesh

SIZE_RANGE = (0.8, 1.25)  # of objects that have another size in each scene, against their models


def scene_writer(out: Path, config: SynthesisConfig, models: Mapping[int, ObjectModel]) -> SceneWriter:
    """The writer of the layout.

    Args:
        models: by object id; those of one scene are enough to write that scene.
    """
    return config.writing.writer(out, config.split, models)


def scene_models(
    models: Mapping[int, ObjectModel], config: SynthesisConfig, *, seed: int
) -> dict[int, ObjectModel]:
    """The models as a scene shows them: CAMERA's are of another size in each."""
    if not config.writing.resized(config.split):
        return dict(models)
    sizes = np.random.default_rng((seed, 9)).uniform(*SIZE_RANGE, len(models))
    return {i: resized(m, float(s)) for (i, m), s in zip(models.items(), sizes, strict=True)}


def scene_frames(
    models: Mapping[int, ObjectModel], config: SynthesisConfig, *, seed: int
) -> Iterator[BopFrame]:
    """The frames of one scene that shows these models, by object id."""
    ids, shown, writing = tuple(models), tuple(models.values()), config.writing
    numbers = writing.image_numbers(config.split, config.views_per_scene)
    camera = writing.camera(config.split, (config.width, config.height))
    if writing.scene == "space":
        assert camera is not None
        views = space_pictures(shown[0], views=len(numbers), camera=camera, seed=seed)
    else:
        views = _tables(shown, config, seed)
    for im_id, picture in zip(numbers, views, strict=True):
        yield _frame(im_id, picture, ids)


def with_categories(models: Sequence[ObjectModel], categories: Sequence[str]) -> tuple[ObjectModel, ...]:
    """The same models, each of that category with whose name its own begins, if there is one."""
    return tuple(
        replace(model, kind=next((c for c in categories if model.name.startswith(c)), model.kind))
        for model in models
    )


def resized(model: ObjectModel, factor: float) -> ObjectModel:
    """The same object `factor` times as large; for the picture alone, its symmetries are not asked for."""
    mesh, surface = model.mesh, model.surface
    return replace(
        model,
        mesh=Mesh(mesh.vertices * factor, mesh.faces),
        surface=TexturedMesh(surface.vertices * factor, surface.faces, surface.uv, surface.texture),
    )


def _tables(models: tuple[ObjectModel, ...], config: SynthesisConfig, seed: int) -> Iterator[Picture]:
    viewpoints = Viewpoints(
        width=config.width,
        height=config.height,
        elevation_deg=config.elevation_deg,
        distance_m=config.distance_m,
        focal_px=config.focal_px,
        roll_deg=config.roll_deg,
        camera=config.writing.camera(config.split, (config.width, config.height)),
    )
    return pictures(
        models,
        views=config.views_per_scene,
        viewpoints=viewpoints,
        look=look(config.look),
        seed=seed,
        spacing=Spacing(*config.gap_m),
        resting=Resting(usual_share=config.usual_pose_share, any_share=config.any_pose_share),
    )


def _frame(im_id: int, picture: Picture, object_ids: tuple[int, ...]) -> BopFrame:
    instances = tuple(
        BopInstance(object_ids[seen.index], seen.T_camera_object, seen.mask, seen.mask_visible)
        for seen in picture.objects
    )
    return BopFrame(
        im_id, picture.rgb, picture.depth_m, picture.camera, instances, T_world_camera=picture.T_world_camera
    )


@runtime_checkable
class NumberedTask(Protocol):
    """A scene to render; travels to another process."""

    @property
    def scene_id(self) -> int: ...


Task = TypeVar("Task", bound=NumberedTask)


def run_scenes(
    tasks: Sequence[Task], render: Callable[[Task], None], workers: int
) -> Iterator[tuple[int, Exception | None]]:
    """Each task's number as it is done, and what went wrong with it.

    Args:
        workers: processes, each with one thread; 1 renders in this process.
    """
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield task.scene_id, _outcome(lambda task=task: render(task))  # type: ignore[misc]
        return
    # A fork would copy the renderer's locks in whatever state they are; a fresh process has its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=_start_worker) as pool:
        futures = {pool.submit(render, task): task.scene_id for task in tasks}
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
