"""The verbs of `crisp evaluate`: predict once, score many, and what is made of scores.

Heavy imports stay inside the verb that needs them.
"""

from __future__ import annotations

import sys

from crisp.config import Plot, Predict, Score, Table
from crisp.errors import InputError


def predict(config: Predict) -> int:
    """Predictions of a whole split into a file."""
    from crisp.evaluate.predict import predict
    from crisp.model import load_model

    model = load_model(config.weights).with_correction(config.correct)
    faults = predict(
        model,
        config.dataset,
        config.split,
        config.out,
        most_frames=config.frames,
        tracks=config.tracks,
        detections=config.detections,
        min_score=config.min_score,
        targets=config.targets,
    )
    for fault in faults:
        print(f"crisp: {fault}", file=sys.stderr)
    print(f"results: {config.out / 'results.json'}")
    return 2 if faults else 0


def score(config: Score) -> int:
    """Scores of a predictions file, by named protocols."""
    from crisp.evaluate.score import score
    from crisp.evaluate.score_files import markdown

    scores = score(
        config.predictions,
        config.dataset,
        config.split,
        protocols=config.protocols,
        out=config.out,
        predicted_frames_only=config.predicted_frames_only,
        progress=True,
        detections=config.detections,
        targets=config.targets,
    )
    print(markdown(scores))
    return 0


def table(config: Table) -> int:
    """A table of the paper with ours beside it."""
    from crisp.evaluate.paper.tables import markdown, our_rows, paper_table, read_named, write_table

    published = paper_table(config.number)
    ours = our_rows(published, read_named(config.scores, config.names))
    print(markdown(published, ours))
    if config.out is not None:
        write_table(published, ours, config.out)
    return 0


def plot(config: Plot) -> int:
    """A figure of the paper from scores or predictions."""
    from crisp.evaluate.paper.curves import draw_curves
    from crisp.evaluate.paper.tables import read_named

    if config.number == 13:
        _gallery(config)
    else:
        draw_curves(config.number, read_named(config.scores, config.names), config.out)
    print(f"figure: {config.out}")
    return 0


def _gallery(config: Plot) -> None:
    from crisp.data.layouts import open_dataset
    from crisp.evaluate.paper.gallery import draw_gallery
    from crisp.evaluate.predictions import read_predictions

    if config.predictions is None or config.dataset is None:
        raise InputError("figure 13 is drawn from predictions: give --predictions and --dataset.")
    dataset = open_dataset(config.dataset, config.split)
    draw_gallery(read_predictions(config.predictions), dataset, config.out, rows=config.rows)
