"""Heads retrained with the bundled model's recipe on its decoder, as reference for other variants."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

from crisp.data.bop.reader import BopDataset
from crisp.learn.features import CropFeatures, FeatureStore, compute_features
from crisp.learn.head_stage import KnownShapes, train_heads
from crisp.learn.journal import Journal
from crisp.learn.losses import SymmetryTargets
from crisp.learn.problem import Problem, open_problem
from crisp.learn.recipe import Recipe, load_recipe
from crisp.model import Model
from crisp.networks.backbone import Backbone
from crisp.networks.checkpoint import save_checkpoint
from crisp.networks.model import CrispNetwork, build_network

Store = Callable[[Sequence[CropFeatures]], FeatureStore]


def train_new_heads(
    source: Model,
    dataset: tuple[Path, str],
    *,
    out: Path,
    cache: Path,
    steps: int | None = None,
    backbone: Backbone | None = None,
    store: Callable[[Problem], Store] = lambda _: FeatureStore,
) -> Path:
    """A checkpoint with retrained heads; a finished one is reused, an unfinished one continues.

    Args:
        source: gives decoder, library and (unless another is given) backbone.
        dataset: root and split of labelled BOP frames of the same objects.
        out: run folder.
        cache: of features and distances.
        steps: of the heads; the recipe's by default.
        backbone: another frozen backbone.
        store: how the kept features are read, once the problem is known.
    """
    folder = out / "checkpoint"
    if (folder / "checkpoint.json").is_file():
        return folder
    recipe = load_recipe("small")
    assert recipe.heads is not None
    stage = recipe.heads if steps is None else replace(recipe.heads, steps=steps)
    torch.manual_seed(recipe.seed)
    problem = open_problem(recipe, *dataset, cache=cache / "sdf")
    network = build_network(source.network.config, backbone or source.network.backbone)
    network.decoder.load_state_dict(source.network.decoder.state_dict())
    for parameter in network.decoder.parameters():
        parameter.requires_grad_(False)
    opened = store(problem)
    shards = _features(network, problem, recipe, cache)
    journal = Journal(out)
    train_heads(
        network,
        opened(shards[0]),
        opened(shards[1]),
        shapes=_shapes(source, problem),
        stage=stage,
        seed=recipe.seed,
        fabric=Fabric(accelerator="cpu", devices=1),
        run=out,
        journal=journal,
        checkpoint_every=recipe.checkpoint_every,
    )
    journal.close()
    info = replace(source.info, name=out.name, training={"heads_of": source.sha256, "split": dataset[1]})
    save_checkpoint(folder, network, info)
    shutil.rmtree(out / "tensorboard", ignore_errors=True)
    return folder


def _features(
    network: CrispNetwork, problem: Problem, recipe: Recipe, cache: Path
) -> tuple[list[CropFeatures], list[CropFeatures]]:
    """Of the frames to train and to validate on."""
    assert recipe.features is not None
    found = []
    for keys, versions in ((problem.train, recipe.features.versions), (problem.validation, 1)):
        found.append(
            compute_features(
                problem.dataset,
                keys,
                network=network,
                object_ids=problem.object_ids,
                stage=replace(recipe.features, versions=versions),
                seed=recipe.seed,
                folder=cache / "features",
            )
        )
    return found[0], found[1]


def _shapes(source: Model, problem: Problem) -> KnownShapes:
    """The source's library, in the order of the data set's objects."""
    library = source.info.library
    rows = [library.object_ids.index(object_id) for object_id in problem.object_ids]
    symmetries = [SymmetryTargets.of(item.symmetries) for item in problem.objects]
    return KnownShapes(library.codes[rows], problem.samples, symmetries)


def supervised(source: Model, target: BopDataset, options: argparse.Namespace) -> Path:
    """The oracle: the source's recipe on the same frames, with their labels."""
    name = "supervised" + ("_quick" if options.quick else "")
    return train_new_heads(
        source,
        (target.root, target.split),
        out=options.work / name,
        cache=options.work / "cache",
        steps=2 if options.quick else None,
    )
