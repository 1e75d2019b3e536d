"""Tab. 12: what the frozen backbone gives. The same heads, training and test on DINOv2 and on random weights.

Both train on the 300 `hard` frames of the experiment `adaptation` with their labels, by the bundled model's
own recipe and on its decoder, and both are tested on the held-out `hard` set, network alone.

    python -m experiments.table12 [--quick]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from crisp.evaluate.evidence import Claim, write_evidence
from crisp.model import Model, load_model
from crisp.networks.backbone import Backbone, quantise_backbone
from experiments.adaptation import (
    ADAPT_SCENES,
    ADAPT_SEED,
    ADAPT_VIEWS,
    adaptation_set,
    auc_claims,
    hard_set,
    parser_of,
    supervised,
)
from experiments.corrections import errors_of
from experiments.heads import train_new_heads

SEED = 12
DINO, RANDOM = "DINOv2", "random backbone"
GOALS = {"ADD-S AUC at 2 cm": "<= 0.05"}
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = parser_of(__doc__, quick="three frames of three objects, two steps").parse_args()
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
        claims += auc_claims(arm, found[arm], goals=GOALS if arm == RANDOM else None)
    write_evidence(
        "table12",
        claims,
        settings=settings_of(options, source),
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


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
