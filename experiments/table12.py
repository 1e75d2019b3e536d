"""Tab. 12: what the frozen backbone gives. The same heads, training and test on DINOv2 and on random weights.

Both train on the 300 `hard` frames of the experiment `adaptation` with their labels, by the bundled model's
own recipe and on its decoder, and both are tested on the held-out `hard` set, network alone.

    python -m experiments.table12 [--quick]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from crisp.evaluate.evidence import Claim, write_evidence
from crisp.metrics.scores import auc, bootstrap_interval
from crisp.model import Model, load_model
from crisp.networks.backbone import Backbone
from crisp.networks.quantise import quantise_backbone
from experiments.adaptation import (
    ADAPT_SCENES,
    ADAPT_SEED,
    ADAPT_VIEWS,
    E_SHAPE,
    adaptation_set,
    hard_set,
    supervised,
)
from experiments.corrections import Error, errors_of
from experiments.heads import train_new_heads

SEED = 12
DINO, RANDOM = "DINOv2", "random backbone"
ADD_S_CM = (1, 2, 3)
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = options_of()
    start = time.perf_counter()
    source, target, held_out = load_model(options.weights), adaptation_set(options), hard_set(options)
    torch.manual_seed(SEED)
    backbone = Backbone.random(source.network.config.backbone, image_px=source.network.config.image_px)
    backbone = quantise_backbone(backbone)  # trained on as it is saved
    name = "random_backbone" + ("_quick" if options.quick else "")
    folders = {
        DINO: supervised(source, target, options),
        RANDOM: train_new_heads(
            source,
            (target.root, target.split),
            out=options.work / name,
            cache=options.work / "cache",
            steps=2 if options.quick else None,
            backbone=backbone,
        ),
    }
    claims: list[Claim] = []
    for arm, folder in folders.items():
        model = load_model(folder)
        found = errors_of(model, held_out, {arm: None}, every=3 if options.quick else 1)
        claims += claims_of(arm, found[arm])
    write_evidence(
        "table12",
        claims,
        settings=settings_of(options, source),
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def options_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three frames of three objects, two steps")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--work", type=Path, default=Path(".cache/adaptation"), help="renders and runs")
    parser.add_argument("--held-out", type=Path, default=Path(".cache/held_out"), help="renders of held_out")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def claims_of(arm: str, errors: list[Error]) -> list[Claim]:
    """AUCs of both protocols with their intervals; the goal is the random backbone's alone."""
    frames = np.array([e.frame_id for e in errors])
    claims = []
    for what, field, thresholds in (
        ("ADD-S", "add_s_m", [cm / 100 for cm in ADD_S_CM]),
        ("e_shape", "crisp_shape", list(E_SHAPE)),
    ):
        values = np.array([getattr(e, field) for e in errors])
        for threshold in thresholds:

            def statistic(e: np.ndarray, threshold: float = threshold) -> float:
                return auc(e, threshold)

            at = f"{100 * threshold:.0f} cm" if what == "ADD-S" else f"{threshold:g}"
            aimed = arm == RANDOM and at == "2 cm"
            interval = bootstrap_interval(values, statistic, clusters=frames)
            goal = "<= 0.05" if aimed else "report"
            claims.append(
                Claim(f"{arm}: {what} AUC at {at}", goal, statistic(values), interval, unit="share")
            )
    return claims


def settings_of(options: argparse.Namespace, source: Model) -> dict[str, object]:
    return {
        "trained_on": {"look": "hard", "scenes": ADAPT_SCENES, "views": ADAPT_VIEWS, "seed": ADAPT_SEED},
        "tested_on": "held_out's hard set",
        "random_seed": SEED,
        "masks": "ground truth",
        "corrector": None,
        "weights": options.weights,
        "model_sha256": source.sha256,
    }


if __name__ == "__main__":
    main()
