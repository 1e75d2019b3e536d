"""Stage 1: train the shape decoder on signed distances of all objects, with one free code per object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from crisp.learn.journal import Journal, load_state, save_state
from crisp.learn.losses import SdfWeights, sdf_loss
from crisp.learn.problem import SampleKind, SdfSamples
from crisp.learn.recipe import DecoderStage
from crisp.networks.heads import neutral_code
from crisp.networks.model import FilmSirenDecoder
from crisp.progress import track
from crisp.shape.sdf import SignedDistance


class CodedDecoder(nn.Module):
    """A decoder and one code per object, as one module to optimise and to save."""

    def __init__(self, decoder: FilmSirenDecoder, objects: int) -> None:
        super().__init__()
        self.decoder = decoder
        neutral = neutral_code(len(decoder.layers), decoder.width)
        self.codes = nn.Parameter(neutral + 0.01 * torch.randn(objects, len(neutral)))


def train_decoder(
    decoder: FilmSirenDecoder,
    samples: Sequence[SdfSamples],
    *,
    stage: DecoderStage,
    seed: int,
    fabric: Fabric,
    run: Path,
    journal: Journal,
    checkpoint_every: int,
) -> Float[Tensor, "k c"]:
    """Train the decoder in place; returns the codes (K, C). Resumes from `run/decoder.state`."""
    torch.manual_seed(seed)
    model = CodedDecoder(decoder, len(samples)).to(fabric.device)
    optimiser = torch.optim.Adam(
        [
            {"params": model.decoder.parameters(), "lr": stage.learning_rate},
            {"params": [model.codes], "lr": 4 * stage.learning_rate},
        ]
    )
    state = run / "decoder.state.safetensors"
    start = load_state(state, module=model, optimiser=optimiser)
    points, distance, off = _stack(samples, fabric.device)
    rates = [group["lr"] for group in optimiser.param_groups]
    for step in track(range(start, stage.steps), "decoder", total=stage.steps, done=start):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * cosine(step, stage.steps)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = torch.randint(points.shape[1], (len(samples), stage.points), generator=generator)
        chosen = chosen.to(points.device)
        noise = stage.code_noise * torch.randn(model.codes.shape, generator=generator)
        loss, error = _step_loss(
            model,
            points=points.gather(1, chosen[..., None].expand(-1, -1, 3)),
            truth=distance.gather(1, chosen),
            off_surface=off.gather(1, chosen),
            noise=noise.to(points.device),
            stage=stage,
            weights=_weights_at(step, stage),
        )
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(loss)
        optimiser.step()
        if step % 50 == 0:
            journal.log("decoder", step, {"loss": float(loss.detach()), "mean_error_m": error})
        if (step + 1) % checkpoint_every == 0 or step + 1 == stage.steps:
            save_state(state, step + 1, module=model, optimiser=optimiser)
    return model.codes.detach()


def cosine(step: int, steps: int, warm_up: float = 0.03) -> float:
    """Learning-rate factor: a short linear warm-up, then half a cosine to zero."""
    at = (step + 1) / max(steps, 1)
    if at < warm_up:
        return at / warm_up
    return 0.5 * (1 + math.cos(math.pi * (at - warm_up) / (1 - warm_up)))


def _stack(samples: Sequence[SdfSamples], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    points = torch.stack([torch.as_tensor(s.points_object) for s in samples]).to(device)
    distance = torch.stack([torch.as_tensor(s.distance_m) for s in samples]).to(device)
    off_surface = torch.stack([torch.as_tensor(s.kind != SampleKind.SURFACE) for s in samples]).to(device)
    return points, distance, off_surface


def _weights_at(step: int, stage: DecoderStage) -> SdfWeights:
    """The loss weights at a step: the eikonal weight times `eikonal_every` at every such step, else 0."""
    on = step % stage.eikonal_every == 0
    return replace(stage.weights, eikonal=stage.weights.eikonal * stage.eikonal_every if on else 0.0)


def _step_loss(
    model: CodedDecoder,
    *,
    points: Float[Tensor, "k n 3"],
    truth: Float[Tensor, "k n"],
    off_surface: Tensor,
    noise: Float[Tensor, "k c"],
    stage: DecoderStage,
    weights: SdfWeights,
) -> tuple[Float[Tensor, ""], float]:
    codes = model.codes + noise
    predicted = model.decoder(points, codes)
    gradient = None
    if weights.eikonal > 0 and stage.eikonal_points > 0:
        gradient = field_gradient(model.decoder, points[:, -stage.eikonal_points :], codes)
    loss = sdf_loss(predicted, truth, off_surface, gradient=gradient, weights=weights)
    return loss, float((predicted.detach() - truth).abs().mean())


def field_gradient(
    field: SignedDistance, points: Float[Tensor, "k n 3"], codes: Float[Tensor, "k c"]
) -> Float[Tensor, "k n 3"]:
    """Gradient of the distance at the points; it is differentiable, as the eikonal term needs."""
    at = points.detach().requires_grad_(True)
    value = field(at, codes)
    return torch.autograd.grad(value.sum(), at, create_graph=True)[0]
