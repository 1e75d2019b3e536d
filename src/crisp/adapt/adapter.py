"""Self-training on a stream of frames without labels (method, section 7), watched by a guard.

Predict, correct, certify; certified estimates queue up as pseudo-labels; both heads step on each batch of
them. Decoder and backbone never change, and no label of a data set has a way in.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from crisp.adapt.guard import GuardFrame, GuardFrames, Measure, compare, measure_of
from crisp.adapt.pseudo_labels import Features16, LabelledObject, Masks, Target, look, object_points
from crisp.adapt.recipe import AdaptRecipe, load_adapt_recipe
from crisp.adapt.snapshot import Progress, Queued, Snapshot, gathered, guard_line, label_line
from crisp.adapt.update import Updater
from crisp.errors import InputError, ObjectFailure
from crisp.model import Model
from crisp.networks.model import CrispNetwork
from crisp.pipeline import Stages
from crisp.stages import detections_of, standard_stages
from crisp.types import Detection, Frame, Result

Log = Callable[[Mapping[str, Any]], None]
QUEUED_BATCHES = 8
"""Labels that wait, while the guard is still small; the oldest make room."""


def _silent(line: Mapping[str, Any]) -> None:
    """The null log."""


class Adapter:
    """Feed frames, get results, and have the model adapt in between.

    Args:
        model: where it starts from; it is not changed.
        recipe: by name, as a TOML file, or made.
        log: gets a line for every pseudo-label, step, check and roll-back.
        fabric: of several processes or another device; by default one process where the model is.
        stages: what estimates, for a given network; the standard ones by default.
        target: what coordinates a certified estimate teaches.

    Raises:
        InputError: no such recipe, or a corrector "none", without which nothing could be learnt.
    """

    def __init__(
        self,
        model: Model,
        recipe: AdaptRecipe | str = "default",
        *,
        log: Log = _silent,
        fabric: Fabric | None = None,
        stages: Callable[[Model], Stages] | None = None,
        target: Target = object_points,
    ) -> None:
        self.recipe = load_adapt_recipe(recipe) if isinstance(recipe, str) else recipe
        if self.recipe.correct == "none":
            raise InputError("adaptation learns from corrected, certified estimates: correct cannot be none.")
        self._fabric = fabric or Fabric(accelerator=model.device.type, devices=1)
        network = _with_heads_of_its_own(model.network).to(self._fabric.device)
        self._model = replace(model.with_correction(self.recipe.correct), network=network)
        self._log, self._target = log, target
        self._updater = Updater(network, self.recipe, self._fabric)
        self._stages = (stages or _standard)(self._model)
        self._start: Mapping[str, Tensor] = self._updater.state()
        self._good: Mapping[str, Tensor] = self._start
        self._queue: deque[Queued] = deque(maxlen=QUEUED_BATCHES * self.recipe.batch)
        self._guard = GuardFrames()
        self.progress = Progress()

    @property
    def model(self) -> Model:
        """With the present weights; it changes as the adapter goes on."""
        return self._model

    def feed(self, frame: Frame, masks: Sequence[np.ndarray | Detection | ObjectFailure]) -> list[Result]:
        """Results as `Model.estimate` gives them, and a lesson for the model.

        Args:
            frame: one RGB-D frame.
            masks: as for `Model.estimate`.
        """
        seen = self.look(frame, detections_of(masks), meshes=True)
        return [item.result for item in seen]

    def look(
        self,
        frame: Frame,
        detections: Masks,
        *,
        features: Features16 | None = None,
        meshes: bool = False,
        learn: bool = True,
    ) -> list[LabelledObject]:
        """One frame: estimate, queue what is certified, step where enough has queued up.

        With several processes all of them must call this equally often.

        Args:
            features: kept ones of the same frame.
            meshes: make them for the results.
            learn: False for a frame of the guard that comes again.
        """
        features = features or Features16(self._model.network)
        seen = self._look(frame, detections, features, meshes=meshes)
        guarded = self._takes_guard_frame() and learn
        if guarded:
            self._guard_with(GuardFrame(frame, detections, features), seen)
        fates = [self._fate(item, guarded or not learn) for item in seen]
        for item, fate in zip(seen, fates, strict=True):
            self._log(label_line(frame.frame_id, item, fate))
            if fate == "queued" and item.label is not None:
                self._wait(Queued(frame.frame_id, item.found.slot, item.label))
        self.progress = replace(self.progress, frames=self.progress.frames + 1)
        self._train()
        return seen

    def skip(self) -> None:
        """In place of `look` where this process has no frame left but others have."""
        self._takes_guard_frame()  # the other processes ask, too
        self.progress = replace(self.progress, frames=self.progress.frames + 1)
        self._train()

    def finish(self) -> Model:
        """Check a last time, and fall back on the last good weights if need be. What still waits is left."""
        if not self._same(self._updater.state(), self._good):
            self._check()
        left = [[item.frame_id, item.detection] for item in self._queue]
        self._queue.clear()
        self._log({"event": "end", "unused": left, **asdict(self.progress)})
        return self._model

    @property
    def guard_ids(self) -> set[str]:
        """Names of the guard's frames, of all processes."""
        mine = [item.frame.frame_id for item in self._guard.frames]
        return {name for names in gathered(mine, self._fabric) for name in names}

    def snapshot(self) -> Snapshot:
        """All that this process needs to go on from here, beside the guard's frames themselves."""
        return Snapshot(
            progress=self.progress,
            rates=self._updater.rates,
            now=self._updater.state(),
            good=None if self._good is self._start else dict(self._good),
            queue=tuple(self._queue),
            guard_ids=tuple(item.frame.frame_id for item in self._guard.frames),
            guard_start=self._guard.start,
            guard_good=self._guard.good,
        )

    def resume(self, found: Snapshot, guard_frames: Sequence[tuple[Frame, Masks]]) -> None:
        """Go on from a snapshot.

        Args:
            guard_frames: those of `guard_ids`, in that order.
        """
        self.progress = found.progress
        self._updater.restore(found.now, found.rates)
        self._good = self._start if found.good is None else found.good
        self._queue.extend(found.queue)
        self._guard.frames = [
            GuardFrame(frame, detections, Features16(self._model.network))
            for frame, detections in guard_frames
        ]
        self._guard.start, self._guard.good = found.guard_start, found.guard_good

    # -- one frame ---------------------------------------------------------------------------------

    def _look(
        self, frame: Frame, detections: Masks, features: Features16, *, meshes: bool = False
    ) -> list[LabelledObject]:
        return look(
            frame,
            detections,
            self._stages,
            network=self._model.network,
            features=features,
            target=self._target,
            meshes=meshes,
        )

    def _takes_guard_frame(self) -> bool:
        """Until the guard can judge at all, every second frame goes to it."""
        guard, objects = self.recipe.guard, self._guard_objects()
        stride = 2 if objects < guard.least else guard.every
        return objects < guard.objects and self.progress.frames % stride == 0

    def _guard_objects(self) -> int:
        return sum(gathered(self._guard.objects, self._fabric))

    def _fate(self, item: LabelledObject, guarded: bool) -> str:
        if guarded:
            return "guard"
        if item.label is None:
            return "not certified" if item.found.estimate is not None else item.result.status
        return "stopped" if self.progress.stopped else "queued"

    def _guard_with(self, item: GuardFrame, seen: Sequence[LabelledObject]) -> None:
        now = measure_of(seen)
        present = self._updater.state()
        good = now if self._same(present, self._good) else self._measured(item, self._good)
        start = good if self._good is self._start else self._measured(item, self._start)
        self._updater.load_weights(present)
        self._guard.add(item, start=start, good=good)

    def _measured(self, item: GuardFrame, weights: Mapping[str, Tensor]) -> Measure:
        self._updater.load_weights(weights)
        return measure_of(self._look(item.frame, item.detections, item.features))

    def _wait(self, item: Queued) -> None:
        """Queue a label; where the queue is full, the oldest makes room, and the log says so."""
        if len(self._queue) == self._queue.maxlen:
            oldest = self._queue[0]
            self._log({"event": "dropped", "frame": oldest.frame_id, "detection": oldest.detection})
        self._queue.append(item)

    # -- training ----------------------------------------------------------------------------------

    def _train(self) -> None:
        while not self.progress.stopped and self._ready():
            batch = [self._queue.popleft() for _ in range(self.recipe.batch)]
            for _ in range(self.recipe.steps_per_batch):
                losses = self._updater.step([item.label for item in batch])
                self.progress = replace(self.progress, steps=self.progress.steps + 1)
                self._log({"event": "step", "step": self.progress.steps, **asdict(losses)})
            if self.progress.steps % self._check_interval() < self.recipe.steps_per_batch:
                self._check()

    def _check_interval(self) -> int:
        return max(self.recipe.guard.check_every, self.recipe.steps_per_batch)

    def _ready(self) -> bool:
        """Every process has a batch, and together they have a guard."""
        enough = min(gathered(len(self._queue), self._fabric)) >= self.recipe.batch
        return enough and self._guard_objects() >= self.recipe.guard.least

    @staticmethod
    def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
        return all(torch.equal(one[k], v) for k, v in other.items() if k.startswith("heads."))

    def _check(self) -> None:
        """Keep the weights if the guard bears them, else go back to the last that it bore."""
        mine = self._guard.measure(self._look)
        now, start, good = (self._everyone(m) for m in (mine, self._guard.start, self._guard.good))
        guard = self.recipe.guard
        against = {name: compare(m, now, guard) for name, m in (("start", start), ("good", good))}
        self._log(guard_line(self.progress.steps, now, source=start, against=against))
        reasons = [reason for verdict in against.values() for reason in verdict.reasons]
        if not reasons:
            self._good, self._guard.good = self._updater.state(), mine
            self.progress = replace(self.progress, failures=0)
            return
        self._roll_back(reasons)

    def _roll_back(self, reasons: Sequence[str]) -> None:
        discarded = [[item.frame_id, item.detection] for item in self._queue]
        self._queue.clear()  # what worse weights made of the frames
        self._updater.load_weights(self._good)
        self._updater.slow_down(self.recipe.guard.rate_factor)
        failures = self.progress.failures + 1
        stopped = failures >= self.recipe.guard.most_failures
        self.progress = replace(self.progress, failures=failures, stopped=stopped)
        line = {"event": "roll-back", "step": self.progress.steps, "reasons": list(reasons)}
        line |= {"rates": list(self._updater.rates), "stopped": stopped, "unused": discarded}
        self._log(line)

    def _everyone(self, mine: Measure) -> Measure:
        """The objects of all processes, in the order of their ranks."""
        parts = gathered((mine.certified.tolist(), mine.residual_m.tolist()), self._fabric)
        return Measure.of([c for part in parts for c in part[0]], [r for part in parts for r in part[1]])


def _standard(model: Model) -> Stages:
    return standard_stages(model.network, model.known_shapes, model.settings, library=model.info.library)


def _with_heads_of_its_own(network: CrispNetwork) -> CrispNetwork:
    """A copy whose heads are its own; backbone and decoder, which never change, are shared."""
    shared = {id(part): part for part in (network.backbone, network.decoder)}
    return copy.deepcopy(network, shared)
