"""Supervised training on a labelled data set, in resumable stages (method, section 8)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

import crisp
from crisp.data.dataset import FrameKey
from crisp.documents import read_json, write_json
from crisp.errors import InputError
from crisp.learn.decoder_stage import train_decoder
from crisp.learn.features import CropFeatures, FeatureStore, backbone_digest, compute_features
from crisp.learn.head_stage import KnownShapes, train_heads
from crisp.learn.joint_stage import train_jointly
from crisp.learn.journal import Journal
from crisp.learn.losses import SymmetryTargets
from crisp.learn.options import TrainOptions
from crisp.learn.problem import Problem, open_problem
from crisp.learn.recipe import Recipe
from crisp.networks.backbone import Backbone
from crisp.networks.checkpoint import CheckpointInfo, save_checkpoint
from crisp.networks.config import preset
from crisp.networks.heads import TokenPncHead
from crisp.networks.model import CrispNetwork, build_network
from crisp.output.sink import prepare_folder
from crisp.shape.library import ShapeLibrary

RUN_FILE = "run.json"


def train(recipe: Recipe, options: TrainOptions, backbone: Backbone) -> Path:
    """Train with a recipe; returns the checkpoint's folder. An interrupted run continues when called again.

    Raises:
        InputError: the data set cannot be used, or the run folder belongs to another recipe, data set or
            backbone.
    """
    if options.dry_run:  # in its own folder, so that the full run can use the same --out
        recipe, options = _shortened(recipe), dataclasses.replace(options, out=options.out / "dry_run")
    prepare_folder(options.out)
    _check_run(options, _run_record(recipe, options))
    # Not "auto", which may choose MPS: registration needs float64, which MPS lacks.
    fabric = Fabric(accelerator="cuda" if torch.cuda.is_available() else "cpu", devices=1)
    torch.manual_seed(recipe.seed)
    problem = open_problem(
        recipe,
        options.dataset,
        options.split,
        cache=options.cache_folder / "sdf",
        most_frames=_few_frames(recipe) if options.dry_run else None,
    )
    config = dataclasses.replace(preset(recipe.preset), cube_half_m=problem.cube_half_m)
    network = build_network(config, backbone).to(fabric.device)
    _claim_run(recipe, options, problem=problem, network=network)
    journal = Journal(options.out)
    try:
        if recipe.joint is not None:
            library, metrics = train_jointly(
                network,
                problem,
                recipe,
                fabric=fabric,
                run=options.out,
                cache=options.cache_folder,
                journal=journal,
                most_examples=recipe.joint.batch if options.overfit_one_batch else None,
            )
        else:
            library, metrics = _train_staged(
                network, problem, recipe, options=options, fabric=fabric, journal=journal
            )
    finally:
        journal.close()
    return _finish(network, problem, library, recipe=recipe, options=options, metrics=metrics)


def _train_staged(
    network: CrispNetwork,
    problem: Problem,
    recipe: Recipe,
    *,
    options: TrainOptions,
    fabric: Fabric,
    journal: Journal,
) -> tuple[torch.Tensor, dict[str, float]]:
    assert recipe.decoder and recipe.features and recipe.heads
    if not isinstance(network.pnc_head, TokenPncHead):
        raise InputError(
            f"preset {recipe.preset} can only be trained with [joint]: its head needs whole images."
        )
    codes = train_decoder(
        network.decoder,
        problem.samples,
        stage=recipe.decoder,
        seed=recipe.seed,
        fabric=fabric,
        run=options.out,
        journal=journal,
        checkpoint_every=recipe.checkpoint_every,
    )

    def features(keys: Sequence[FrameKey], versions: int) -> list[CropFeatures]:
        assert recipe.features
        return compute_features(
            problem.dataset,
            keys,
            network=network,
            object_ids=problem.object_ids,
            stage=dataclasses.replace(recipe.features, versions=versions),
            seed=recipe.seed,
            folder=options.cache_folder / "features",
        )

    shards = features(problem.train, recipe.features.versions)
    store = FeatureStore(shards)
    if not len(store):
        raise InputError(f"{options.dataset} has no instance that is visible enough to train on.")
    if options.overfit_one_batch:
        store = store.first(recipe.heads.batch)
    shapes = KnownShapes(codes, problem.samples, [SymmetryTargets.of(o.symmetries) for o in problem.objects])
    metrics = train_heads(
        network,
        store,
        FeatureStore(features(problem.validation, 1)),
        shapes=shapes,
        stage=recipe.heads,
        seed=recipe.seed,
        fabric=fabric,
        run=options.out,
        journal=journal,
        checkpoint_every=recipe.checkpoint_every,
    )
    if recipe.library == "decoder":
        return codes.cpu(), metrics
    return mean_codes(network, store, len(problem.objects), fallback=codes), metrics


@torch.inference_mode()
def mean_codes(
    network: CrispNetwork, store: FeatureStore, objects: int, *, fallback: torch.Tensor
) -> torch.Tensor:
    """The shape library's codes: each object's mean predicted code over its crops without augmentation.

    Objects without a crop keep the code of the decoder stage.
    """
    network.eval()
    device = fallback.device
    total, count = torch.zeros_like(fallback), torch.zeros(objects, 1, device=device)
    for shard in store.shards:
        plain = shard.plain
        codes = network.shape_head.forward_vector(shard.shape_input[plain].float().to(device))
        index = shard.object_index[plain].to(device)
        total.index_add_(0, index, codes)
        count.index_add_(0, index, torch.ones(len(index), 1, device=device))
    return torch.where(count > 0, total / count.clamp(min=1), fallback).cpu()


def _check_run(options: TrainOptions, record: Mapping[str, Any]) -> None:
    """Refuse to continue in a folder whose record differs from this one."""
    path = options.out / RUN_FILE
    known = read_json(path) if path.exists() else record
    if any(known.get(key) != value for key, value in record.items()):
        raise InputError(
            f"{options.out} holds a run with another recipe or data set, or another backbone: "
            "give another --out or remove it."
        )


def _claim_run(recipe: Recipe, options: TrainOptions, *, problem: Problem, network: CrispNetwork) -> None:
    """Check and write the run's record, once its data set has been read."""
    digests = {"data_sha256": problem.digest(), "backbone_sha256": backbone_digest(network)}
    record = _run_record(recipe, options) | digests
    _check_run(options, record)
    write_json(options.out / RUN_FILE, record)


def _run_record(recipe: Recipe, options: TrainOptions) -> dict[str, Any]:
    record = {
        "recipe": asdict(recipe),
        "dataset": options.dataset.resolve().name,
        "split": options.split,
        "overfit_one_batch": options.overfit_one_batch,
    }
    return json.loads(json.dumps(record))  # tuples become lists, as in a record that was read


def _few_frames(recipe: Recipe) -> int:
    """Frames of a dry run; joint training passes through every crop at full cost, so it gets only one."""
    return 4 if recipe.joint is None else 1


def _shortened(recipe: Recipe) -> Recipe:
    shorter: dict[str, Any] = {"checkpoint_every": 2}
    if recipe.decoder and recipe.heads:
        shorter["decoder"] = dataclasses.replace(recipe.decoder, steps=2)
        shorter["heads"] = dataclasses.replace(recipe.heads, steps=2, batch=4)
    if recipe.joint:
        shorter["joint"] = dataclasses.replace(recipe.joint, epochs=1, batch=2)
    return dataclasses.replace(recipe, **shorter)


def _finish(
    network: CrispNetwork,
    problem: Problem,
    codes: torch.Tensor,
    *,
    recipe: Recipe,
    options: TrainOptions,
    metrics: dict[str, float],
) -> Path:
    names = tuple(o.name for o in problem.objects)
    library = ShapeLibrary(
        names=names,
        object_ids=tuple(problem.object_ids),
        codes=codes.float(),
        diameters_m=torch.tensor([o.diameter_m for o in problem.objects], dtype=torch.float32),
    )
    info = CheckpointInfo(
        name=recipe.name,
        library=library,
        kinds=tuple(o.kind for o in problem.objects),
        symmetries=tuple(o.symmetries for o in problem.objects),
        training={
            "crisp_version": crisp.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "recipe": asdict(recipe),
            "recipe_sha256": hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode()).hexdigest(),
            "dataset": options.dataset.resolve().name,
            "split": options.split,
            "frames": len(problem.train),
            "validation": metrics,
        },
    )
    folder = options.out / "checkpoint"
    save_checkpoint(folder, network, info, dtype=options.head_storage, backbone_file=options.share_backbone)
    return folder
