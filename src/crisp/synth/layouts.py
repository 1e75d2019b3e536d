"""What of a rendered set depends on its layout: who writes it, what a scene shows, and with which camera.

Renders scenes in parallel; one that fails does not lose the others.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from crisp.data.bop.writer import BopFrame, BopInstance, BopWriter
from crisp.data.nocs.files import CATEGORIES, camera_of, is_real
from crisp.data.nocs.writer import NocsWriter
from crisp.data.spe3r.writer import Role, Spe3rWriter, image_numbers
from crisp.geometry.camera import Camera
from crisp.synth.config import SynthesisConfig
from crisp.synth.render.arrangement import Resting, Spacing, Viewpoints
from crisp.synth.render.looks import look
from crisp.synth.render.scene import limit_threads
from crisp.synth.render.space import space_pictures
from crisp.synth.render.tabletop import Picture, pictures
from crisp.types import Mesh, ObjectModel, TexturedMesh

TEST_SHARE = 7 / 64  # of SPE3R's satellites
SPE3R_SIZE_PX = 256
SPE3R_FOCAL_PX = 398.5
SIZE_RANGE = (0.8, 1.25)  # of a CAMERA scene's objects, against their models


@runtime_checkable
class SceneWriter(Protocol):
    """Writes models once, and scenes one by one; a scene is there whole or not at all."""

    @property
    def root(self) -> Path: ...

    def write_models(self, models: Sequence[ObjectModel]) -> None: ...

    def has_models(self) -> bool: ...

    def has_scene(self, scene_id: int) -> bool: ...

    def write_scene(self, scene_id: int, frames: Iterable[BopFrame]) -> None: ...

    def finish(self, models: Sequence[ObjectModel]) -> None:
        """Write what can only be known when all scenes are there."""
        ...


def scene_writer(out: Path, config: SynthesisConfig, models: Mapping[int, ObjectModel]) -> SceneWriter:
    """The writer of the layout.

    Args:
        models: by object id; those of one scene are enough to write that scene.
    """
    if config.layout == "nocs":
        return NocsWriter(out, config.nocs_split, models)
    if config.layout == "spe3r":
        return _Satellites(out, config, models)
    return BopWriter(out, config.split)


def role_of(number: int, count: int) -> Role:
    """Of `count` satellites the last 7 in 64 are for the test, at least one where there are two or more."""
    held = max(1, round(count * TEST_SHARE)) if count > 1 else 0
    return "test" if number > count - held else "train"


def spe3r_camera() -> Camera:
    """Square pixels, 36 degrees across 256 of them."""
    middle = SPE3R_SIZE_PX / 2
    K = np.array([[SPE3R_FOCAL_PX, 0.0, middle], [0.0, SPE3R_FOCAL_PX, middle], [0.0, 0.0, 1.0]])
    return Camera(K, SPE3R_SIZE_PX, SPE3R_SIZE_PX)


def scene_models(
    models: Mapping[int, ObjectModel], config: SynthesisConfig, *, seed: int
) -> dict[int, ObjectModel]:
    """The models as a scene shows them: CAMERA's are of another size in each."""
    if config.layout != "nocs" or is_real(config.nocs_split):
        return dict(models)
    sizes = np.random.default_rng((seed, 9)).uniform(*SIZE_RANGE, len(models))
    return {i: resized(m, float(s)) for (i, m), s in zip(models.items(), sizes, strict=True)}


def scene_frames(
    models: Mapping[int, ObjectModel], config: SynthesisConfig, *, seed: int
) -> Iterator[BopFrame]:
    """The frames of one scene that shows these models, by object id."""
    ids, shown = tuple(models), tuple(models.values())
    if config.layout == "spe3r":
        numbers = image_numbers(config.views_per_scene, "test" if config.split == "test" else "train")
        views = space_pictures(shown[0], views=len(numbers), camera=spe3r_camera(), seed=seed)
    else:
        numbers, views = list(range(config.views_per_scene)), _tables(shown, config, seed)
    for im_id, picture in zip(numbers, views, strict=True):
        yield _frame(im_id, picture, ids)


def with_categories(models: Sequence[ObjectModel]) -> tuple[ObjectModel, ...]:
    """The same models, each of that NOCS category with whose name its own begins, if there is one."""
    return tuple(
        replace(model, kind=next((c for c in CATEGORIES if model.name.startswith(c)), model.kind))
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
        camera=None
        if config.layout == "bop"
        else camera_of(config.nocs_split, (config.width, config.height)),
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


class _Satellites:
    """SPE3R's writer by numbers: a scene is a satellite, and so is a model."""

    def __init__(self, out: Path, config: SynthesisConfig, models: Mapping[int, ObjectModel]) -> None:
        self.root = Path(out)
        self._models = models
        self._role: Role = "test" if config.split == "test" else "train"

    def write_models(self, models: Sequence[ObjectModel]) -> None:
        self.finish(models)

    def has_models(self) -> bool:
        return (self.root / "splits.csv").is_file()

    def finish(self, models: Sequence[ObjectModel]) -> None:
        """List the satellites that are there, in the order of the models."""
        roles = {model.name: role_of(number, len(models)) for number, model in enumerate(models, start=1)}
        there = {name: role for name, role in roles.items() if (self.root / name).is_dir()}
        Spe3rWriter(self.root, there).write_set(spe3r_camera())

    def has_scene(self, scene_id: int) -> bool:
        return (self.root / self._models[scene_id + 1].name).is_dir()

    def write_scene(self, scene_id: int, frames: Iterable[BopFrame]) -> None:
        model = self._models[scene_id + 1]
        Spe3rWriter(self.root, {model.name: self._role}).write_satellite(model, frames)


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
