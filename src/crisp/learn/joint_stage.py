"""The published joint training (method, section 8): PNC and SDF losses together, equation (23)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from crisp.errors import InputError
from crisp.learn.decoder_stage import field_gradient
from crisp.learn.features import CropSource, Example, JointBatch, list_examples
from crisp.learn.journal import Journal, load_state, save_state
from crisp.learn.losses import SymmetryTargets, nearest_targets, pnc_loss, sdf_loss
from crisp.learn.problem import Problem, SampleKind, SdfSamples
from crisp.learn.recipe import JointStage, Recipe
from crisp.networks.heads import TokenPncHead, neutral_code
from crisp.networks.model import CrispNetwork
from crisp.progress import track

STANDARDISED_CROPS = 64


def train_jointly(
    network: CrispNetwork,
    problem: Problem,
    recipe: Recipe,
    *,
    fabric: Fabric,
    run: Path,
    cache: Path,
    journal: Journal,
    most_examples: int | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Train all parts except the backbone; returns the library's codes (K, C) and the validation error."""
    stage = recipe.joint
    assert stage is not None
    examples = list_examples(problem, problem.train)[:most_examples]
    if not examples:
        raise InputError("the data set has no visible object to train on.")
    parts = nn.ModuleDict(
        {"pnc": network.pnc_head, "shape": network.shape_head, "decoder": network.decoder}
    ).to(fabric.device)
    optimiser = torch.optim.Adam(parts.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay)
    source = CropSource(network, problem, stage, seed=recipe.seed, cache=cache / "crops")
    symmetries = [SymmetryTargets.of(o.symmetries).to(fabric.device) for o in problem.objects]
    state = run / "joint.state.safetensors"
    done = load_state(state, module=parts, optimiser=optimiser)
    if done == 0 and isinstance(network.pnc_head, TokenPncHead):
        features = source.plain(examples[:STANDARDISED_CROPS]).features
        network.pnc_head.standardise_on(
            features.concatenated_taps().flatten(0, 1), features.concatenated_cls()
        )
    per_epoch = max(1, len(examples) // stage.batch)
    steps = stage.epochs * per_epoch
    for step in track(range(done, steps), "joint", total=steps, done=done):
        for group in optimiser.param_groups:
            group["lr"] = stage.learning_rate * restart_factor(step, stage)
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        network.train()
        batch = source.batch(pick(examples, step, stage.batch, seed=recipe.seed), step)
        losses = joint_losses(network, batch, problem.samples, symmetries=symmetries, stage=stage)
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(losses["pnc"] + losses["sdf"])
        optimiser.step()
        if step % 10 == 0:
            journal.log("joint", step, {name: float(value.detach()) for name, value in losses.items()})
        if (step + 1) % recipe.checkpoint_every == 0 or step + 1 == steps:
            save_state(state, step + 1, module=parts, optimiser=optimiser)
    held_out = list_examples(problem, problem.validation)
    error = mean_error(network, source, held_out, symmetries=symmetries)
    metrics = {} if error is None else {"pnc_error_mean_m": error}
    # Objects that are visible only in validation frames get their code from these.
    return library_codes(network, source, [*examples, *held_out], objects=len(problem.objects)), metrics


def pick(examples: Sequence[Example], step: int, batch: int, *, seed: int) -> list[Example]:
    """A step's examples from its epoch's shuffle; depends on seed and step only, so a resume repeats it."""
    per_epoch = max(1, len(examples) // batch)
    order = np.random.default_rng([seed, step // per_epoch]).permutation(len(examples))
    start = (step % per_epoch) * batch
    return [examples[i] for i in order[start : start + batch]]


def restart_factor(step: int, stage: JointStage) -> float:
    """Learning-rate factor of cosine annealing with warm restarts; 1 where `restart_steps` is 0."""
    if stage.restart_steps <= 0:
        return 1.0
    period, at = stage.restart_steps, step
    while at >= period:
        at -= period
        period *= stage.restart_factor
    return 0.5 * (1 + float(np.cos(np.pi * at / period)))


def joint_losses(
    network: CrispNetwork,
    batch: JointBatch,
    samples: Sequence[SdfSamples],
    *,
    symmetries: Sequence[SymmetryTargets],
    stage: JointStage,
) -> dict[str, Float[Tensor, ""]]:
    """The two terms of equation (23), alpha L_PNC and beta L_SDF."""
    pnc, codes = network.pnc_head(batch.features), network.shape_head(batch.features)
    target = _nearest(pnc, batch, symmetries)
    coordinates = pnc_loss(pnc.flatten(1, 2), target, batch.valid.flatten(1), zeta=stage.zeta_m)
    at, truth, off = draw_distances(samples, batch.object_index.tolist(), stage, device=codes.device)
    gradient = field_gradient(network.decoder, at, codes) if stage.weights.eikonal > 0 else None
    distances = sdf_loss(network.decoder(at, codes), truth, off, gradient=gradient, weights=stage.weights)
    return {"pnc": stage.alpha * coordinates, "sdf": stage.beta * distances}


def _nearest(
    pnc: Float[Tensor, "b g g 3"], batch: JointBatch, symmetries: Sequence[SymmetryTargets]
) -> Float[Tensor, "b n 3"]:
    return nearest_targets(
        pnc.flatten(1, 2),
        batch.target.flatten(1, 2),
        batch.valid.flatten(1),
        object_index=batch.object_index,
        symmetries=symmetries,
    )


def draw_distances(
    samples: Sequence[SdfSamples], object_index: Sequence[int], stage: JointStage, *, device: torch.device
) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b n"], Tensor]:
    """The published mix of surface, near and volume samples for each crop's object."""
    counts = {
        SampleKind.SURFACE: stage.surface,
        SampleKind.NEAR: stage.near,
        SampleKind.VOLUME: stage.volume,
    }
    points, truth, off = [], [], []
    for index in object_index:
        chosen = torch.cat(list(_draws(samples[index], counts))).numpy()
        points.append(torch.as_tensor(samples[index].points_object[chosen]))
        truth.append(torch.as_tensor(samples[index].distance_m[chosen]))
        off.append(torch.as_tensor(samples[index].kind[chosen] != SampleKind.SURFACE))
    return torch.stack(points).to(device), torch.stack(truth).to(device), torch.stack(off).to(device)


def _draws(samples: SdfSamples, counts: dict[SampleKind, int]) -> Iterator[Tensor]:
    for kind, count in counts.items():
        rows = torch.as_tensor(np.flatnonzero(samples.kind == kind))
        yield rows[torch.randint(len(rows), (count,))]


@torch.inference_mode()
def mean_error(
    network: CrispNetwork,
    source: CropSource,
    examples: Sequence[Example],
    *,
    symmetries: Sequence[SymmetryTargets],
) -> float | None:
    """Mean error of predicted coordinates over crops without augmentation, metres; None without a crop."""
    network.eval()
    errors = []
    for example in examples:
        batch = source.plain([example])
        if not batch.valid.any():
            continue
        pnc = network.pnc_head(batch.features)
        distance = (pnc.flatten(1, 2) - _nearest(pnc, batch, symmetries)).norm(dim=-1)
        errors.append(float(distance[batch.valid.flatten(1)].mean()))
    return float(np.mean(errors)) if errors else None


@torch.inference_mode()
def library_codes(
    network: CrispNetwork, source: CropSource, examples: Sequence[Example], *, objects: int, most: int = 200
) -> Float[Tensor, "k c"]:
    """Mean code of each object's first `most` crops, not augmented; the neutral code where it has none."""
    network.eval()
    config = network.config
    codes = []
    for index in range(objects):
        mine = [e for e in examples if e.object_index == index][:most]
        found = [network.shape_head(source.plain([e]).features)[0].cpu() for e in mine]
        codes.append(torch.stack(found).mean(0) if found else neutral_code(config.film_layers, config.hidden))
    return torch.stack(codes)
