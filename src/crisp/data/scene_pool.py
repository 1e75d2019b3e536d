"""Renders scenes in parallel; one that fails does not lose the others."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Protocol, TypeVar, runtime_checkable

from crisp.render.backend import limit_threads


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
