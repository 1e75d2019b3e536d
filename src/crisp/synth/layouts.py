"""What of a rendered set depends on its layout: who writes it, what a scene shows, and with which camera.

Renders scenes in parallel; one that fails does not lose the others.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from crisp.data.bop.writer import BopFrame, BopInstance
from crisp.data.layout import SceneWriter
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
