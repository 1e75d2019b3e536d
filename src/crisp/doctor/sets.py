"""Checks of a data set: what is there, what is missing, and whether poses, masks, depth and models agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crisp.data.dataset import Dataset, FrameKey, Instance, KnownObject
from crisp.data.layout import Layout
from crisp.data.layouts import layout_of, open_dataset, splits_of
from crisp.doctor.frames import (
    LEAST_COVERED,
    MOST_DISTANCE_M,
    MOST_DISTANCE_SHARE,
    Agreement,
    Diagnosis,
    Finding,
    agreement,
    attempt,
    depth_findings,
    mask_findings,
    spread,
)
from crisp.errors import InputError
from crisp.types import Frame

MOST_FRAMES = 20


@dataclass(frozen=True)
class Checked:
    """One labelled object that was held against mask and depth."""

    frame_id: str
    name: str
    agreement: Agreement


@dataclass(frozen=True)
class SetDiagnosis(Diagnosis):
    """The findings, and the figures behind them."""

    checked: tuple[Checked, ...] = field(default=())


def check_dataset(root: Path, split: str | None = None, *, most_frames: int = MOST_FRAMES) -> SetDiagnosis:
    """Check a data set of any layout; all of its splits unless one is named.

    Args:
        most_frames: of each split, evenly chosen; files are counted of all.

    Raises:
        InputError: there is no such folder, or it has the layout of no data set.
    """
    layout = layout_of(root)
    findings = [Finding("found", "layout", f"{root} has the layout of {layout.name}.")]
    checked: list[Checked] = []
    for name in splits_of(root) if split is None else (split,):
        dataset = attempt("split", lambda name=name: open_dataset(root, name), findings)  # type: ignore[misc]
        if dataset is None:
            continue
        findings += _missing_files(root / name, layout)
        found = check_split(dataset, most_frames=most_frames)
        findings += found.findings
        checked += found.checked
    return SetDiagnosis(tuple(findings), tuple(checked))


def check_split(dataset: Dataset, *, most_frames: int = MOST_FRAMES) -> SetDiagnosis:
    """Check one split that is open already."""
    findings: list[Finding] = []
    keys = attempt("frames", lambda: dataset.keys, findings)
    if keys is None:
        return SetDiagnosis(tuple(findings))
    findings += [Finding("fault", "scenes", sentence) for sentence in dataset.faults]
    scenes = len({key.scene_id for key in keys})
    chosen = spread(keys, most_frames)
    findings.append(
        Finding(
            "found",
            "counts",
            f"split '{dataset.split}' has {scenes} scenes with {len(keys)} frames, of which "
            f"{len(chosen)} are checked; lengths are in {dataset.unit}s.",
        )
    )
    ids = attempt("models", lambda: dataset.object_ids, findings)
    if ids is not None:
        findings.append(Finding("found", "models", f"{len(ids)} models are there."))
    judge = _FrameJudge(dataset, findings, models=ids is not None)
    for key in chosen:
        judge.check(key)
    judge.conclude()
    return SetDiagnosis(tuple(findings), tuple(judge.checked))


class _FrameJudge:
    """Checks frame after frame, each model once."""

    def __init__(self, dataset: Dataset, findings: list[Finding], *, models: bool) -> None:
        self._dataset = dataset
        self._ask_for_models = models
        self._findings = findings
        self._models: dict[int, KnownObject | None] = {}
        self.checked: list[Checked] = []

    @property
    def _unit(self) -> str:
        return "m" if self._dataset.unit == "metre" else "units"

    def check(self, key: FrameKey) -> None:
        dataset, findings = self._dataset, self._findings
        frame = attempt("images", lambda: dataset.load_frame(key), findings)
        if frame is not None:
            self._try(
                "depth range", lambda: depth_findings(frame.depth_m, unit=self._unit), where=key.frame_id
            )
        instances = attempt("labels", lambda: dataset.instances(key), findings)
        if instances is None:
            return
        gone = attempt("labels", lambda: dataset.label_faults(key), findings) or ()
        findings += [Finding("note", "out of sight", sentence) for sentence in gone]
        for instance in instances:
            self._check_instance(key, frame, instance)

    def _check_instance(self, key: FrameKey, frame: Frame | None, instance: Instance) -> None:
        model = self._model(instance.object_id)
        mask = attempt("masks", lambda: self._dataset.mask(key, instance.index), self._findings)
        if mask is None or frame is None:
            return
        name = f"object {instance.object_id}" if model is None else model.name
        source = f"{name} (number {instance.index}) in image {key.frame_id}"
        if mask.shape != frame.depth_m.shape:
            sentence = f"the mask of {source} is {mask.shape[1]}x{mask.shape[0]}, unlike the image."
            self._findings.append(Finding("fault", "masks", sentence))
            return
        self._findings += mask_findings(mask, frame.depth_m, source=source)
        if model is None or not mask.any():
            return
        sized = model.scaled(instance.scale)
        found = agreement(frame, mask, sized.mesh, T_camera_object=instance.T_camera_object)
        self.checked.append(Checked(key.frame_id, model.name, found))
        bound = MOST_DISTANCE_M if self._dataset.unit == "metre" else MOST_DISTANCE_SHARE * sized.diameter_m
        self._findings += _judged(found, source, bound_m=bound, unit=self._dataset.unit)

    def _model(self, object_id: int) -> KnownObject | None:
        if not self._ask_for_models:  # that there are none was said already
            return None
        if object_id not in self._models:
            self._models[object_id] = attempt(
                "models", lambda: self._dataset.object(object_id), self._findings
            )
        return self._models[object_id]

    def _try(self, check: str, work: Callable[[], Finding], *, where: str) -> None:
        try:
            found = work()
        except InputError as error:
            self._findings.append(Finding("fault", check, f"image {where}: {error}"))
            return
        self._findings.append(Finding(found.level, check, f"image {where}: {found.sentence}"))

    def conclude(self) -> None:
        distances = np.array([c.agreement.depth_distance_m for c in self.checked])
        distances = distances[np.isfinite(distances)]
        if not len(distances):
            return
        covered = np.median([c.agreement.covered_share for c in self.checked])
        sentence = f"{len(self.checked)} posed models cover {covered:.0%} of their masks (median)."
        self._findings.append(Finding("found", "model on mask", sentence))
        if self._dataset.depth_is_rendered:
            sentence = (
                "the set ships no depth: it is rendered from the models, and cannot disagree with them."
            )
            self._findings.append(Finding("note", "depth against mesh", sentence))
            return
        factor, unit = (1000.0, "mm") if self._dataset.unit == "metre" else (1.0, "model units")
        sentence = (
            f"the median distance of visible points to the depth is {factor * np.median(distances):.2g} "
            f"{unit} for {len(distances)} posed models (largest {factor * distances.max():.2g})."
        )
        self._findings.append(Finding("found", "depth against mesh", sentence))


def _judged(found: Agreement, source: str, *, bound_m: float, unit: str) -> list[Finding]:
    findings = []
    if found.covered_share < LEAST_COVERED:
        sentence = (
            f"{source}: the posed model covers {found.covered_share:.0%} of the mask: pose, K, model and "
            "mask do not belong together."
        )
        findings.append(Finding("fault", "model on mask", sentence))
    if found.depth_distance_m > bound_m:
        said = (
            f"{1000 * found.depth_distance_m:.1f} mm" if unit == "metre" else f"{found.depth_distance_m:.3g}"
        )
        sentence = f"{source}: the posed model's visible points lie {said} from the depth (median)."
        findings.append(Finding("fault", "depth against mesh", sentence))
    return findings


def _missing_files(folder: Path, layout: Layout) -> list[Finding]:
    """What the scenes of a split lack, where the layout keeps a folder for each."""
    if layout.required is None:
        return []
    scenes = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdigit())
    return [
        Finding("note" if name in layout.optional else "fault", "scene files", f"{scene} has no {name}.")
        for scene in scenes
        for name, others in layout.required.items()
        if not any((scene / other).exists() for other in (name, *others))
    ]
