"""Stage 3: train the shape head and the PNC head on cached features (method, section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from crisp.geometry.align import RegistrationConfig, register
from crisp.geometry.pose import rotation_angle_deg
from crisp.learn.decoder_stage import cosine
from crisp.learn.features import Batch, FeatureStore
from crisp.learn.journal import Journal, load_state, save_state
from crisp.learn.losses import SymmetryTargets, nearest_targets, pnc_loss
from crisp.learn.problem import SampleKind, SdfSamples
from crisp.learn.recipe import HeadStage
from crisp.networks.heads import TokenPncHead
from crisp.networks.model import CrispNetwork
from crisp.progress import track

STANDARDISED_CROPS = 1024  # dozens of tokens each: far more than means and standard deviations need


@dataclass(frozen=True, eq=False)
class KnownShapes:
    """Shape codes, signed distances and symmetries of the objects, all in the order of the object ids.

    Args:
        codes: (K, C) from the decoder stage.
        samples: signed distances, for the loss term under predicted codes.
        symmetries: for choosing among equivalent targets.
    """

    codes: Float[Tensor, "k c"]
    samples: Sequence[SdfSamples]
    symmetries: Sequence[SymmetryTargets]


def train_heads(
    network: CrispNetwork,
    train: FeatureStore,
    validation: FeatureStore,
    *,
    shapes: KnownShapes,
    stage: HeadStage,
    seed: int,
    fabric: Fabric,
    run: Path,
    journal: Journal,
    checkpoint_every: int,
) -> dict[str, float]:
    """Train both heads in place; returns the last validation errors. Resumes from `run/heads.state`."""
    if not isinstance(network.pnc_head, TokenPncHead):
        raise TypeError("training on kept tokens needs a PNC head on tokens")
    torch.manual_seed(seed)
    heads = nn.ModuleDict({"pnc": network.pnc_head, "shape": network.shape_head}).to(fabric.device)
    optimiser = torch.optim.AdamW(heads.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay)
    state = run / "heads.state.safetensors"
    start = load_state(state, module=heads, optimiser=optimiser)
    if start == 0:
        standardise(network.pnc_head, train)
    for step in track(range(start, stage.steps), "heads", total=stage.steps, done=start):
        for group in optimiser.param_groups:
            group["lr"] = stage.learning_rate * cosine(step, stage.steps)
        torch.manual_seed(seed * 1_000_003 + step)  # so that dropout is the same after a resume
        heads.train()
        batch = _draw(train, stage, np.random.default_rng([seed, step]), device=fabric.device)
        losses = _losses(network, batch, shapes, stage=stage, step=step)
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(torch.stack(list(losses.values())).sum())
        optimiser.step()
        if step % 25 == 0:
            journal.log("heads", step, {name: float(value.detach()) for name, value in losses.items()})
        if (step + 1) % checkpoint_every == 0 or step + 1 == stage.steps:
            save_state(state, step + 1, module=heads, optimiser=optimiser)
            journal.log("validation", step, validate(network, validation, shapes=shapes))
    return validate(network, validation, shapes=shapes)


def standardise(head: TokenPncHead, store: FeatureStore) -> None:
    """Measure the means and deviations of the head's inputs on crops spread over the store."""
    rows = np.linspace(0, len(store) - 1, num=min(len(store), STANDARDISED_CROPS)).astype(int)
    batch = store.batch(rows, tokens=None, device=head.out.weight.device)
    head.standardise_on(batch.taps[batch.valid.any(-1)], batch.cls)


def _draw(store: FeatureStore, stage: HeadStage, rng: np.random.Generator, *, device: torch.device) -> Batch:
    indices = rng.integers(len(store), size=stage.batch)
    kept = store.tokens_per_crop
    tokens = torch.from_numpy(rng.permutation(kept)[: stage.tokens])
    return store.batch(indices, tokens=tokens, device=device)


def _losses(
    network: CrispNetwork, batch: Batch, shapes: KnownShapes, *, stage: HeadStage, step: int
) -> dict[str, Float[Tensor, ""]]:
    head = network.pnc_head
    assert isinstance(head, TokenPncHead)
    with torch.autocast(batch.cls.device.type, torch.bfloat16, enabled=stage.precision == "bfloat16"):
        pnc = head.forward_tokens(batch.taps, batch.cls, batch.token_index).flatten(1, 2).float()
        codes = network.shape_head.forward_vector(batch.shape_input).float()
    target, valid = _targets(pnc, batch, shapes)
    target_codes = shapes.codes[batch.object_index]
    losses = {
        "pnc": stage.pnc_weight * pnc_loss(pnc, target, valid, zeta=stage.zeta_m),
        "code": stage.code_weight * (codes - target_codes).square().mean(),
    }
    if stage.surface_weight > 0 and step % stage.surface_every == 0:
        losses["surface"] = stage.surface_weight * _surface_error(
            network, codes, batch, shapes=shapes, stage=stage
        )
    return losses


def _targets(
    pnc: Float[Tensor, "b n 3"], batch: Batch, shapes: KnownShapes
) -> tuple[Float[Tensor, "b n 3"], Bool[Tensor, "b n"]]:
    target, valid = batch.target.flatten(1, 2), batch.valid.flatten(1)
    nearest = nearest_targets(
        pnc, target, valid, object_index=batch.object_index, symmetries=shapes.symmetries
    )
    return nearest, valid


def _surface_error(
    network: CrispNetwork,
    codes: Float[Tensor, "b c"],
    batch: Batch,
    *,
    shapes: KnownShapes,
    stage: HeadStage,
) -> Float[Tensor, ""]:
    """Mean |f - f*| under the predicted codes, at random samples of the correct object, metres."""
    chosen = torch.randint(len(shapes.samples[0].distance_m), (stage.surface_points,))
    points, truth = [], []
    for index in batch.object_index.tolist():
        points.append(torch.as_tensor(shapes.samples[index].points_object)[chosen])
        truth.append(torch.as_tensor(shapes.samples[index].distance_m)[chosen])
    at, distance = torch.stack(points).to(codes.device), torch.stack(truth).to(codes.device)
    return (network.decoder(at, codes) - distance).abs().mean()


@torch.inference_mode()
def validate(network: CrispNetwork, store: FeatureStore, *, shapes: KnownShapes) -> dict[str, float]:
    """Median errors on validation crops: coordinates, rotation, and distance under the predicted code."""
    network.eval()
    device = next(network.shape_head.parameters()).device
    error, rotation, surface = [], [], []
    head = network.pnc_head
    assert isinstance(head, TokenPncHead)
    for start in range(0, len(store), 64):
        indices = np.arange(start, min(start + 64, len(store)))
        batch = store.batch(indices, tokens=None, device=device)
        pnc = head.forward_tokens(batch.taps, batch.cls, batch.token_index).flatten(1, 2)
        target, valid = _targets(pnc, batch, shapes)
        error.append(((pnc - target).norm(dim=-1) * valid).sum(1) / valid.sum(1).clamp(min=1))
        rotation.append(_rotation_error_deg(pnc, target, valid))
        codes = network.shape_head.forward_vector(batch.shape_input)
        surface.append(_mean_distance_error(network, codes, batch, shapes=shapes))
    if not error:
        return {}
    return {
        "pnc_error_median_m": float(torch.cat(error).median()),
        "rotation_median_deg": float(torch.cat(rotation).median()),
        "near_distance_error_median_m": float(torch.cat(surface).median()),
    }


def _rotation_error_deg(
    pnc: Float[Tensor, "b n 3"], target: Float[Tensor, "b n 3"], valid: Bool[Tensor, "b n"]
) -> Float[Tensor, " b"]:
    """Angle of the rotation that registers prediction to target; 180 degrees where registration fails."""
    found = register(pnc, target, valid, config=RegistrationConfig())
    R = found.T_camera_object[:, :3, :3].float()
    angle = rotation_angle_deg(R, torch.eye(3, device=R.device).expand_as(R))
    return torch.where(found.ok, angle, 180.0)


def _mean_distance_error(
    network: CrispNetwork, codes: Float[Tensor, "b c"], batch: Batch, *, shapes: KnownShapes
) -> Float[Tensor, " b"]:
    errors = []
    for code, index in zip(codes, batch.object_index.tolist(), strict=True):
        samples = shapes.samples[index]
        near = np.flatnonzero(samples.kind == SampleKind.NEAR)[:256]
        points = torch.as_tensor(samples.points_object[near]).to(code.device)
        truth = torch.as_tensor(samples.distance_m[near]).to(code.device)
        errors.append((network.decoder(points[None], code[None])[0] - truth).abs().mean())
    return torch.stack(errors)
