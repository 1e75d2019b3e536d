"""Adaptation to a split without labels, in any layout: resumable at any moment, by one process or several."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save

import crisp
from crisp.adapt.adapter import Adapter
from crisp.adapt.options import AdaptOptions
from crisp.adapt.pseudo_labels import Features16, Masks
from crisp.adapt.recipe import AdaptRecipe
from crisp.adapt.snapshot import AuditLog, claim, mask_source, read_snapshot, write_snapshot
from crisp.certify.certificate import NAME as CALIBRATION
from crisp.certify.certificate import write_calibration
from crisp.data.dataset import DetectedMasks, FrameKey
from crisp.data.layouts import open_dataset
from crisp.documents import read_json, write_json
from crisp.errors import InputError
from crisp.files import write_whole
from crisp.model import Model, load_model
from crisp.networks.backbone import Features
from crisp.networks.checkpoint import JSON_NAME, save_checkpoint, sha256
from crisp.output.sink import prepare_folder
from crisp.progress import track
from crisp.types import Frame

STATE, FEATURES, CHECKPOINT = "state", "features", "checkpoint"


def adapt(recipe: AdaptRecipe, options: AdaptOptions) -> Path:
    """Adapt as the recipe says; returns the checkpoint's folder. Called again, it goes on where it stopped.

    Raises:
        InputError: the data set cannot be used, or the run folder belongs to another run.
    """
    if options.processes < 1 or options.snapshot_every < 1 or (options.frames or 1) < 1:
        raise InputError("processes, frames and snapshot_every must be at least 1.")
    prepare_folder(options.out)
    dataset = open_dataset(options.dataset, options.split)
    model = load_model(options.weights)
    claim(recipe, options, dataset, model=model)
    if (options.out / CHECKPOINT / JSON_NAME).is_file():
        return options.out / CHECKPOINT
    if options.processes == 1:
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
        _process(Fabric(accelerator=accelerator, devices=1), model, recipe=recipe, options=options)
    else:
        # One GPU a process where there are enough of them, else processors.
        gpus = torch.cuda.device_count() >= options.processes
        accelerator, strategy = ("cuda", "ddp_spawn") if gpus else ("cpu", "ddp_spawn")
        fabric = Fabric(accelerator=accelerator, devices=options.processes, strategy=strategy)
        fabric.launch(partial(_loaded, recipe=recipe, options=options))
    return options.out / CHECKPOINT


def audit_path(out: Path, rank: int = 0) -> Path:
    """The audit log of one process."""
    return out / ("audit.jsonl" if rank == 0 else f"audit.{rank}.jsonl")


def _loaded(fabric: Fabric, *, recipe: AdaptRecipe, options: AdaptOptions) -> None:
    """One process of several, which share no memory."""
    model = load_model(options.weights, device=fabric.device.type)
    _process(fabric, model, recipe=recipe, options=options)


def _process(fabric: Fabric, model: Model, *, recipe: AdaptRecipe, options: AdaptOptions) -> None:
    """What each process does; all of them take part in every step."""
    course = _Course(fabric, recipe, options, model=model)
    try:
        course.resume()
        course.run()
        adapted = course.finish()
    finally:
        course.close()
    if fabric.global_rank == 0:
        _save(adapted, model, recipe, options=options)
    fabric.barrier()


class _Course:
    """The frames of one process, in rounds: in each, every process looks at one frame or has none left."""

    def __init__(self, fabric: Fabric, recipe: AdaptRecipe, options: AdaptOptions, *, model: Model) -> None:
        self._fabric, self._options, self._model = fabric, options, model
        self._dataset = open_dataset(options.dataset, options.split)
        self._masks = mask_source(self._dataset, options)
        self._keys = self._dataset.bare_keys[: options.frames]
        self._order = _order(len(self._keys), recipe)
        self._keep = recipe.passes > 1
        self._log: AuditLog | None = None
        self._adapter = Adapter(model, recipe, log=self._write, fabric=fabric)

    def _write(self, line: Mapping[str, Any]) -> None:
        assert self._log is not None
        self._log(line)

    @property
    def _rounds(self) -> int:
        return -(-len(self._order) // self._fabric.world_size)

    def resume(self) -> None:
        """From the last snapshot that all processes finished; from the start where there is none."""
        length = 0
        mark = self._options.out / STATE / "current.json"
        if mark.is_file():
            number = read_json(mark)["round"]
            found, length = read_snapshot(self._snapshot_path(number))
            by_id = {key.frame_id: key for key in self._keys}
            # One that can no longer be read ends the run: what it measured would have no counterpart.
            self._adapter.resume(found, [self._read(by_id[name]) for name in found.guard_ids])
        self._log = AuditLog(audit_path(self._options.out, self._fabric.global_rank), length=length)
        if not mark.is_file() and self._fabric.global_rank == 0:
            self._name_faults()

    def _name_faults(self) -> None:
        """What is left out of the whole run."""
        faults = self._dataset.bare_faults
        faults += self._masks.faults if isinstance(self._masks, DetectedMasks) else ()
        for message in faults:
            self._write({"event": "fault", "message": message})

    def run(self) -> None:
        """All rounds that are left, with a snapshot now and then."""
        start = self._adapter.progress.frames
        shown = track(range(start, self._rounds), "adapting", total=self._rounds, done=start)
        for number in shown:
            self._round(number)
            if (number + 1) % self._options.snapshot_every == 0 and number + 1 < self._rounds:
                self._snapshot(number + 1)

    def _round(self, number: int) -> None:
        guarded = self._adapter.guard_ids  # asked of all processes, before any of them looks
        place = number * self._fabric.world_size + self._fabric.global_rank
        key = self._keys[self._order[place]] if place < len(self._order) else None
        item = None if key is None else self._load(key)
        if key is None or item is None:
            self._adapter.skip()
            return
        features = Features16(self._model.network, self._kept_features(key))
        new = features.kept is None
        self._adapter.look(*item, features=features, learn=key.frame_id not in guarded)
        if self._keep and new and features.kept is not None:
            self._store_features(key, features.kept)

    def _load(self, key: FrameKey) -> tuple[Frame, Masks] | None:
        """A frame and its masks; one that cannot be read is named in the log."""
        try:
            return self._read(key)
        except InputError as error:
            self._write({"event": "frame", "frame": key.frame_id, "message": str(error)})
            return None

    def _read(self, key: FrameKey) -> tuple[Frame, Masks]:
        return self._dataset.load_frame(key), self._masks.masks(key)

    def _feature_path(self, key: FrameKey) -> Path:
        return self._options.out / FEATURES / f"{key.scene_id:06d}_{key.im_id:06d}.safetensors"

    def _kept_features(self, key: FrameKey) -> Features | None:
        path = self._feature_path(key)
        if not path.is_file():
            return None
        found = load_file(path)
        return Features(found["taps"], found["cls"])

    def _store_features(self, key: FrameKey, features: Features) -> None:
        path = self._feature_path(key)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, save({"taps": features.taps.contiguous(), "cls": features.cls.contiguous()}))

    def _snapshot_path(self, number: int) -> Path:
        return self._options.out / STATE / f"{number:08d}.{self._fabric.global_rank}.safetensors"

    def _snapshot(self, number: int) -> None:
        """All processes write, then the first one says that this is now the state; then the old ones go."""
        assert self._log is not None
        path = self._snapshot_path(number)
        path.parent.mkdir(exist_ok=True)
        write_snapshot(path, self._adapter.snapshot(), log_bytes=self._log.flushed())
        self._fabric.barrier()
        if self._fabric.global_rank == 0:
            write_json(path.parent / "current.json", {"round": number})
        self._fabric.barrier()
        for old in path.parent.glob(f"*.{self._fabric.global_rank}.safetensors"):
            if old != path:
                old.unlink(missing_ok=True)

    def finish(self) -> Model:
        return self._adapter.finish()

    def close(self) -> None:
        if self._log is not None:
            self._log.close()


def _order(frames: int, recipe: AdaptRecipe) -> list[int]:
    """Every pass has its own order."""
    passes = [np.random.default_rng([recipe.seed, n]).permutation(frames) for n in range(recipe.passes)]
    return np.concatenate(passes).tolist()


def _save(adapted: Model, source: Model, recipe: AdaptRecipe, *, options: AdaptOptions) -> None:
    """The checkpoint, with the source's library and the bounds of its certificate; the scratch goes."""
    training = dict(source.info.training) | {
        "adapted": {
            "crisp_version": crisp.__version__,
            "from_sha256": source.sha256,
            "recipe": asdict(recipe),
            "dataset": options.dataset.resolve().name,
            "split": options.split,
        }
    }
    info = dataclasses.replace(source.info, name=f"{source.info.name}-adapted", training=training)
    folder = options.out / CHECKPOINT
    save_checkpoint(folder, adapted.network, info)
    if source.certificate is not None:
        digest = sha256(folder / JSON_NAME)
        evidence = {"taken_over_from": source.sha256, "measured_again": False}
        write_calibration(folder / CALIBRATION, source.certificate, model_sha256=digest, evidence=evidence)
    for name in (STATE, FEATURES):
        shutil.rmtree(options.out / name, ignore_errors=True)
