"""`crisp adapt`: self-training on frames without labels, and the page that tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typing_extensions import Doc

from crisp.adapt.options import AdaptOptions
from crisp.shipped import recipe_names

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from crisp.data.dataset import Dataset
    from crisp.output.report.adaptation import BeforeAfter
    from crisp.sources.masks import MaskSource

SHOWN_FRAMES = 3


@dataclass(frozen=True)
class Adapt:
    """Adapt a model to unlabelled frames by self-training. Run again, it goes on where it stopped."""

    adaptation: AdaptOptions
    """Where the run reads and writes."""
    recipe: Annotated[
        str, Doc(f"A recipe of the package ({', '.join(recipe_names('adapt'))}) or a TOML file.")
    ] = "default"
    score: bool = False
    """Score the stream against the labels in the report, where there are any; they have no other part."""

    def run(self) -> int:
        from crisp.adapt.recipe import load_adapt_recipe
        from crisp.adapt.run import adapt

        folder = adapt(load_adapt_recipe(self.recipe), self.adaptation)
        print(f"checkpoint: {folder}\nreport: {report(self, folder)}")
        return 0


def report(adapted: Adapt, folder: Path) -> Path:
    """The page of a finished adaptation."""
    from crisp.adapt.run import audit_path
    from crisp.adapt.snapshot import mask_source, read_audit
    from crisp.data.layouts import open_dataset
    from crisp.output.report.adaptation import write_adaptation_report

    options = adapted.adaptation
    dataset = open_dataset(options.dataset, options.split)
    masks = mask_source(dataset, options)
    lines = read_audit(audit_path(options.out))
    origin = {
        "from": options.weights,
        "recipe": adapted.recipe,
        "data set": options.dataset.resolve().name,
        "split": options.split,
        "masks": "beside the frames" if options.detections is None else options.detections.name,
        "labels": "for the scores alone" if adapted.score else "none",
    }
    return write_adaptation_report(
        options.out / "report.html",
        lines,
        _pictures(options, folder, lines, frames=Frames(dataset, masks)),
        origin=origin,
        add_s_m=_scores(dataset, masks, lines) if adapted.score else None,
    )


def _scores(
    dataset: Dataset, masks: MaskSource, lines: list[dict[str, Any]]
) -> dict[str, Float[np.ndarray, " n"]]:
    from crisp.data.dataset import DetectedMasks
    from crisp.evaluate.detections import labels_of_detections
    from crisp.evaluate.stream import stream_scores

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
    options: AdaptOptions, folder: Path, lines: list[dict[str, Any]], *, frames: Frames
) -> list[BeforeAfter]:
    """Frames of the guard under both weights, the network alone: what adaptation changed."""
    from crisp.model import load_model
    from crisp.output.report.adaptation import BeforeAfter

    guarded = [line["frame"] for line in lines if line["event"] == "label" and line["fate"] == "guard"]
    keys = {key.frame_id: key for key in frames.dataset.bare_keys}
    models = [load_model(source).with_correction("none") for source in (options.weights, folder)]
    pictures = []
    for frame_id in list(dict.fromkeys(guarded))[:SHOWN_FRAMES]:
        frame, masks = frames.dataset.load_frame(keys[frame_id]), frames.masks.masks(keys[frame_id])
        before, after = (model.estimate(frame, masks) for model in models)
        pictures.append(BeforeAfter(frame, before, after))
    return pictures
