"""Crops for the joint training: from images each time, or with the backbone's features kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from crisp.crop import normalise
from crisp.data.dataset import FrameKey
from crisp.learn.features import backbone_digest
from crisp.learn.problem import Problem
from crisp.learn.recipe import JointStage
from crisp.learn.views import Scenery, View, cut_view
from crisp.networks.features import Features
from crisp.networks.model import CrispNetwork


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
    valid: Bool[Tensor, "b g g"]
    object_index: Int[Tensor, " b"]


def list_examples(problem: Problem, keys: Sequence[FrameKey], min_visible: float = 0.1) -> list[Example]:
    """All instances of these frames of which at least `min_visible` can be seen (unknown counts as seen)."""
    ids = problem.object_ids
    return [
        Example(key, instance.index, ids.index(instance.object_id))
        for key in keys
        for instance in problem.dataset.instances(key)
        if not instance.visib_fract < min_visible
    ]


class CropSource:
    """Batches of features and targets, from images each time or from the kept features."""

    def __init__(
        self, network: CrispNetwork, problem: Problem, stage: JointStage, *, seed: int, cache: Path
    ) -> None:
        self._network, self._problem, self._stage = network, problem, stage
        self._seed, self._cache = seed, cache
        self._device = next(network.shape_head.parameters()).device
        self._backbone = backbone_digest(network)
        self._frames: dict[FrameKey, str] = {}

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
        scenery = Scenery(frame.rgb, frame.depth_m, frame.points_camera)
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
        """Changes with the backbone, the sizes, and the frame's images, masks and labels."""
        if example.key not in self._frames:
            self._frames[example.key] = self._problem.dataset.digest(example.key)
        config = self._network.config
        settings = [
            self._backbone,
            self._frames[example.key],
            example.instance,
            config.image_px,
            config.pnc_px,
        ]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:24]
