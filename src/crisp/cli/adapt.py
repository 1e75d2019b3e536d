"""The verb `crisp adapt`: self-training on frames without labels, and the page that tells of it.

Heavy imports stay inside the verb that needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crisp.config import Adapt, Demo

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from crisp.adapt.options import AdaptOptions
    from crisp.data.dataset import Dataset
    from crisp.output.report.adaptation import BeforeAfter
    from crisp.sources.masks import MaskSource

SHOWN_FRAMES = 3
DEMO_FRAMES = 16


def adapt(config: Adapt) -> int:
    """Self-training on frames without labels. Run again, it goes on where it stopped."""
    from crisp.adapt.recipe import load_adapt_recipe
    from crisp.adapt.run import adapt

    folder = adapt(load_adapt_recipe(config.recipe), _options(config))
    page = report(config, folder)
    print(f"checkpoint: {folder}\nreport: {page}")
    return 0


def _options(config: Adapt) -> AdaptOptions:
    from crisp.adapt.options import AdaptOptions

    return AdaptOptions(
        dataset=config.dataset,
        split=config.split,
        weights=config.weights,
        out=config.out,
        frames=config.frames,
        processes=config.processes,
        snapshot_every=config.snapshot_every,
        detections=config.detections,
        min_score=config.min_score,
    )


def adapt_demo(config: Demo, *, frames: int = DEMO_FRAMES) -> int:
    """Render a stream of hard frames, adapt to it, and score it against labels that had no part in it."""
    from crisp.synth.procedural import catalogue
    from crisp.synth.synthesise import SynthesisConfig, synthesise

    stream = config.out / "stream"
    count = (min(config.objects, 7), config.objects)
    render = SynthesisConfig(
        split="stream",
        scenes=frames,
        views_per_scene=1,
        look="hard",
        seed=config.seed,
        objects_per_scene=count,
    )
    synthesise(catalogue(), out=stream, config=render, workers=2)
    return adapt(
        Adapt(
            dataset=stream,
            split="stream",
            out=config.out / "adaptation",
            weights=config.weights,
            recipe="demo",
            score=True,
        )
    )


def report(config: Adapt, folder: Path) -> Path:
    """The page of a finished adaptation."""
    from crisp.adapt.options import mask_source
    from crisp.adapt.run import audit_path
    from crisp.adapt.snapshot import read_audit
    from crisp.data.layouts import open_dataset
    from crisp.output.report.adaptation import write_adaptation_report

    dataset = open_dataset(config.dataset, config.split)
    masks = mask_source(dataset, _options(config))
    lines = read_audit(audit_path(config.out))
    origin = {
        "from": config.weights,
        "recipe": config.recipe,
        "data set": config.dataset.resolve().name,
        "split": config.split,
        "masks": "beside the frames" if config.detections is None else config.detections.name,
        "labels": "for the scores alone" if config.score else "none",
    }
    return write_adaptation_report(
        config.out / "report.html",
        lines,
        _pictures(config, folder, lines, frames=Frames(dataset, masks)),
        origin=origin,
        add_s_m=_scores(dataset, masks, lines) if config.score else None,
    )


def _scores(
    dataset: Dataset, masks: MaskSource, lines: list[dict[str, Any]]
) -> dict[str, Float[np.ndarray, " n"]]:
    from crisp.evaluate.detections import labels_of_detections
    from crisp.evaluate.stream import stream_scores
    from crisp.sources.masks import DetectedMasks

    if not isinstance(masks, DetectedMasks):
        return stream_scores(dataset, lines)
    found = masks
    return stream_scores(
        dataset, lines, labels_of=lambda key: labels_of_detections(dataset, key, found.found(key))
    )


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames with their masks."""

    dataset: Dataset
    masks: MaskSource


def _pictures(
    config: Adapt, folder: Path, lines: list[dict[str, Any]], *, frames: Frames
) -> list[BeforeAfter]:
    """Frames of the guard under both weights, the network alone: what adaptation changed."""
    from crisp.model import load_model
    from crisp.output.report.adaptation import BeforeAfter

    guarded = [line["frame"] for line in lines if line["event"] == "label" and line["fate"] == "guard"]
    keys = {key.frame_id: key for key in frames.dataset.bare_keys}
    models = [load_model(source).with_correction("none") for source in (config.weights, folder)]
    pictures = []
    for frame_id in list(dict.fromkeys(guarded))[:SHOWN_FRAMES]:
        frame, masks = frames.dataset.load_frame(keys[frame_id]), frames.masks.masks(keys[frame_id])
        before, after = (model.estimate(frame, masks) for model in models)
        pictures.append(BeforeAfter(frame, before, after))
    return pictures
