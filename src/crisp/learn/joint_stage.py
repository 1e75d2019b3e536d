"""The published training (method, section 8): PNC and distance losses at once, equation (23).

Without image augmentation the features of the frozen backbone are computed once per crop and kept on disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from crisp.crop import normalise
from crisp.data.bop import FrameKey
from crisp.data.sdf_samples import SampleKind, SdfSamples
from crisp.errors import InputError
from crisp.learn.decoder_stage import field_gradient
from crisp.learn.features import backbone_digest
from crisp.learn.journal import Journal, load_state, save_state
from crisp.learn.losses import SymmetryTargets, closest_equivalent, pnc_loss, sdf_loss
from crisp.learn.recipe import JointStage, Recipe
from crisp.learn.views import Scenery, View, cut_view
from crisp.networks.features import Features
from crisp.networks.model import CrispNetwork
from crisp.progress import track

if TYPE_CHECKING:
    from crisp.learn.problem import Problem


@dataclass(frozen=True)
class Example:
    """One visible object of one frame."""

    key: FrameKey
    instance: int
    object_index: int


@dataclass(frozen=True, eq=False)
class JointBatch:
    """Crops ready for the heads."""

    features: Features
    target: Float[Tensor, "b g g 3"]
    valid: Tensor
    object_index: Tensor


def train_jointly(
    network: CrispNetwork, problem: Problem, recipe: Recipe, fabric: Fabric, *, run: Path, journal: Journal
) -> tuple[Tensor, dict[str, float]]:
    """Train all parts but the backbone; returns the library's codes (K, C) and the last validation."""
    stage = recipe.joint
    assert stage is not None
    examples = list_examples(problem, problem.train)
    if not examples:
        raise InputError("the data set has no visible object to train on.")
    parts = nn.ModuleDict(
        {"pnc": network.pnc_head, "shape": network.shape_head, "decoder": network.decoder}
    ).to(fabric.device)
    optimiser = torch.optim.Adam(parts.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay)
    source = CropSource(network, problem, stage, seed=recipe.seed, cache=run / "cache" / "crops")
    symmetries = [SymmetryTargets.of(o.symmetries).to(fabric.device) for o in problem.objects]
    state = run / "joint.state.safetensors"
    done = load_state(state, module=parts, optimiser=optimiser)
    per_epoch = max(1, len(examples) // stage.batch)
    steps = stage.epochs * per_epoch
    for step in track(range(done, steps), "joint", total=steps, done=done):
        for group in optimiser.param_groups:
            group["lr"] = stage.learning_rate * restart_factor(step, stage)
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        network.train()
        batch = source.batch(pick(examples, step, stage.batch, seed=recipe.seed), step)
        losses = joint_losses(network, batch, problem.samples, symmetries, stage)
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(losses["pnc"] + losses["sdf"])
        optimiser.step()
        if step % 10 == 0:
            journal.log("joint", step, {name: float(value.detach()) for name, value in losses.items()})
        if (step + 1) % recipe.checkpoint_every == 0 or step + 1 == steps:
            save_state(state, step + 1, module=parts, optimiser=optimiser)
    held_out = list_examples(problem, problem.validation)
    metrics = {"pnc_error_mean_m": source.mean_error(held_out, symmetries)} if held_out else {}
    return library_codes(network, source, examples, objects=len(problem.objects)), metrics


def list_examples(problem: Problem, keys: Sequence[FrameKey], min_visible: float = 0.1) -> list[Example]:
    """All instances of these frames of which at least `min_visible` can be seen (unknown counts as seen)."""
    ids = problem.object_ids
    return [
        Example(key, instance.index, ids.index(instance.object_id))
        for key in keys
        for instance in problem.dataset.instances(key)
        if not instance.visib_fract < min_visible
    ]


def pick(examples: Sequence[Example], step: int, batch: int, *, seed: int) -> list[Example]:
    """The step's share of this epoch's shuffle: a function of seed and step alone, so a resume repeats it."""
    per_epoch = max(1, len(examples) // batch)
    order = np.random.default_rng([seed, step // per_epoch]).permutation(len(examples))
    start = (step % per_epoch) * batch
    return [examples[i] for i in order[start : start + batch]]


def restart_factor(step: int, stage: JointStage) -> float:
    """Cosine annealing with warm restarts, each period `restart_factor` times the last; 1 without any."""
    if stage.restart_steps <= 0:
        return 1.0
    period, at = stage.restart_steps, step
    while at >= period:
        at -= period
        period *= stage.restart_factor
    return 0.5 * (1 + float(np.cos(np.pi * at / period)))


class CropSource:
    """Batches of features and targets, from images each time or from the kept features."""

    def __init__(
        self, network: CrispNetwork, problem: Problem, stage: JointStage, *, seed: int, cache: Path
    ) -> None:
        self._network, self._problem, self._stage = network, problem, stage
        self._seed, self._cache = seed, cache
        self._device = next(network.shape_head.parameters()).device
        self._digest = backbone_digest(network)

    def batch(self, examples: Sequence[Example], step: int) -> JointBatch:
        """The crops of these examples; augmented ones differ from step to step."""
        if not self._stage.augment:
            return self.plain(examples)
        views = [self._view(e, np.random.default_rng([self._seed, step, i])) for i, e in enumerate(examples)]
        seen = [(e, v) for e, v in zip(examples, views, strict=True) if v is not None]
        if not seen:
            return self.plain(examples)
        images = normalise(torch.stack([view.image for _, view in seen])).to(self._device)
        rows = [(view.target, view.valid, example.object_index) for example, view in seen]
        return self._assemble(self._network.backbone(images), rows)

    def plain(self, examples: Sequence[Example]) -> JointBatch:
        """The crops as at inference, their features from the cache."""
        kept = [self._kept(example) for example in examples]
        taps = torch.stack([k["taps"] for k in kept]).float().to(self._device)
        cls = torch.stack([k["cls"] for k in kept]).float().to(self._device)
        rows = [
            (k["target"].float(), k["valid"], e.object_index) for k, e in zip(kept, examples, strict=True)
        ]
        return self._assemble(Features(taps, cls), rows)

    @torch.inference_mode()
    def mean_error(self, examples: Sequence[Example], symmetries: Sequence[SymmetryTargets]) -> float:
        """Mean distance of predicted to true coordinates over plain crops, metres."""
        self._network.eval()
        errors = []
        for example in examples:
            batch = self.plain([example])
            pnc = self._network.pnc_head(batch.features)
            target = _nearest(pnc, batch, symmetries)
            distance = (pnc.flatten(1, 2) - target).norm(dim=-1)
            errors.append(float(distance[batch.valid.flatten(1)].mean()))
        return float(np.mean(errors))

    def _assemble(self, features: Features, rows: Sequence[tuple[Tensor, Tensor, int]]) -> JointBatch:
        target, valid, index = zip(*rows, strict=True)
        return JointBatch(
            features=features,
            target=torch.stack(target).to(self._device),
            valid=torch.stack(valid).to(self._device),
            object_index=torch.tensor(index, device=self._device),
        )

    def _view(self, example: Example, rng: np.random.Generator | None) -> View | None:
        dataset = self._problem.dataset
        frame = dataset.load_frame(example.key)
        scenery = Scenery(frame.rgb, frame.depth_m, frame.camera.backproject(frame.depth_m))
        return cut_view(
            scenery,
            dataset.mask(example.key, example.instance),
            dataset.instances(example.key)[example.instance].T_camera_object,
            image_px=self._network.config.image_px,
            pnc_px=self._network.config.pnc_px,
            augmentation=None if rng is None else self._stage.augmentation,
            rng=rng,
        )

    @torch.no_grad()
    def _kept(self, example: Example) -> dict[str, Tensor]:
        path = self._cache / f"{self._name(example)}.safetensors"
        if path.exists():
            return load_file(path)
        view = self._view(example, None)
        if view is None:  # nothing measured: a crop without a valid pixel teaches nothing and harms nothing
            g, s = self._network.config.pnc_px, self._network.config.image_px
            view = View(torch.zeros(3, s, s), torch.zeros(g, g, 3), torch.zeros(g, g, dtype=torch.bool))
        features = self._network.backbone(normalise(view.image)[None].to(self._device))
        tensors = {
            "taps": features.taps[0].half().cpu().contiguous(),
            "cls": features.cls[0].half().cpu().contiguous(),
            "target": view.target.half(),
            "valid": view.valid,
        }
        self._cache.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        save_file(tensors, temporary)
        temporary.replace(path)
        return tensors

    def _name(self, example: Example) -> str:
        dataset, config = self._problem.dataset, self._network.config
        scene = dataset.root / dataset.split / f"{example.key.scene_id:06d}" / "scene_gt.json"
        settings = [self._digest, example.key.frame_id, example.instance, config.image_px, config.pnc_px]
        digest = hashlib.sha256(json.dumps(settings).encode())
        digest.update(scene.read_bytes())
        return digest.hexdigest()[:24]


def joint_losses(
    network: CrispNetwork,
    batch: JointBatch,
    samples: Sequence[SdfSamples],
    symmetries: Sequence[SymmetryTargets],
    stage: JointStage,
) -> dict[str, Float[Tensor, ""]]:
    """alpha L_PNC and beta L_SDF of equation (23)."""
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
    target = batch.target.flatten(1, 2).clone()
    valid = batch.valid.flatten(1)
    for index in batch.object_index.unique().tolist():
        if not symmetries[index].trivial:
            rows = batch.object_index == index
            target[rows] = closest_equivalent(
                pnc.flatten(1, 2)[rows], target[rows], valid[rows], symmetries=symmetries[index]
            )
    return target


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
def library_codes(
    network: CrispNetwork, source: CropSource, examples: Sequence[Example], *, objects: int, most: int = 200
) -> Float[Tensor, "k c"]:
    """Mean predicted code per object over up to `most` plain crops each."""
    network.eval()
    codes = []
    for index in range(objects):
        mine = [e for e in examples if e.object_index == index][:most]
        found = [network.shape_head(source.plain([e]).features)[0] for e in mine]
        codes.append(torch.stack(found).mean(0))
    return torch.stack(codes).cpu()
