"""The verb `crisp adapt`: self-training on frames without labels, and the page that tells of it.

Heavy imports stay inside the verb that needs them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from crisp.config import Adapt, Demo

if TYPE_CHECKING:
    from crisp.data.dataset import Dataset
    from crisp.report.adaptation import BeforeAfter

SHOWN_FRAMES = 3
DEMO_FRAMES = 16


def adapt(config: Adapt) -> int:
    """Self-training on frames without labels. Run again, it goes on where it stopped."""
    from crisp.learn.adapt.recipe import load_adapt_recipe
    from crisp.learn.adapt.run import AdaptOptions, adapt

    options = AdaptOptions(
        dataset=config.dataset,
        split=config.split,
        weights=config.weights,
        out=config.out,
        frames=config.frames,
        processes=config.processes,
        snapshot_every=config.snapshot_every,
    )
    folder = adapt(load_adapt_recipe(config.recipe), options)
    page = report(config, folder)
    print(f"checkpoint: {folder}\nreport: {page}")
    return 0


def adapt_demo(config: Demo, *, frames: int = DEMO_FRAMES) -> int:
    """Render a stream of hard frames, adapt to it, and score it against labels that had no part in it."""
    from crisp.data.procedural import catalogue
    from crisp.data.synthesise import SynthesisConfig, synthesise

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
    from crisp.data.layouts import open_dataset
    from crisp.evaluate.stream import stream_scores
    from crisp.learn.adapt.audit import read_audit
    from crisp.learn.adapt.run import audit_path
    from crisp.report.adaptation import write_adaptation_report

    dataset = open_dataset(config.dataset, config.split)
    lines = read_audit(audit_path(config.out))
    origin = {"from": config.weights, "recipe": config.recipe, "data set": config.dataset.resolve().name}
    return write_adaptation_report(
        config.out / "report.html",
        lines,
        _pictures(config, folder, dataset, lines),
        origin=origin | {"split": config.split, "labels": "for the scores alone" if config.score else "none"},
        add_s_m=stream_scores(dataset, lines) if config.score else None,
    )


def _pictures(
    config: Adapt, folder: Path, dataset: Dataset, lines: list[dict[str, Any]]
) -> list[BeforeAfter]:
    """Frames of the guard under both weights, the network alone: what adaptation changed."""
    from crisp.learn.adapt.run import given_masks
    from crisp.model import load_model
    from crisp.report.adaptation import BeforeAfter

    guarded = [line["frame"] for line in lines if line["event"] == "label" and line["fate"] == "guard"]
    keys = {key.frame_id: key for key in dataset.bare_keys}
    models = [load_model(source).with_correction("none") for source in (config.weights, folder)]
    pictures = []
    for frame_id in list(dict.fromkeys(guarded))[:SHOWN_FRAMES]:
        frame, masks = dataset.load_frame(keys[frame_id]), given_masks(dataset, keys[frame_id])
        before, after = (model.estimate(frame, masks) for model in models)
        pictures.append(BeforeAfter(frame, before, after))
    return pictures
