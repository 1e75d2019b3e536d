"""Tab. 12: the effect of the frozen backbone: DINOv2 against random weights, same heads and training.

Both train on the 300 labelled `hard` frames of the experiment `adaptation`, with the bundled model's recipe
and decoder, and both are tested on the held-out `hard` set, network alone.

    python -m experiments.paper.table12 [--quick]
"""

from __future__ import annotations

import argparse
import time

import torch

from crisp.model import Model, load_model
from crisp.networks.backbone import Backbone, quantise_backbone
from experiments.support.errors import auc_claims, errors_of
from experiments.support.evidence import RESULTS, Claim, write_evidence
from experiments.support.heads import supervised, train_new_heads
from experiments.support.rendered_sets import (
    ADAPT_SCENES,
    ADAPT_SEED,
    ADAPT_VIEWS,
    adaptation_set,
    hard_set,
    parser_of,
)

SEED = 12
DINO, RANDOM = "DINOv2", "random backbone"
GOALS = {"ADD-S AUC at 2 cm": "<= 0.05"}


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
        "paper.table12",
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
