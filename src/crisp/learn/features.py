"""Backbone features of training crops, cached on disk: in shards for stage 2, per crop for joint training.

A shard of stage 2 holds the crops of a few frames of one scene, so shards stay valid when the data set grows.
Shards are written atomically, so a killed run continues with those that are missing. Only tokens on the
object are cached: a token without a valid pixel adds nothing to the PNC loss.

`CropSource` makes batches for joint training, from images or from cached features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from crisp.crop import normalise
from crisp.data.dataset import Dataset, FrameKey
from crisp.files import write_whole
from crisp.learn.problem import Problem
from crisp.learn.recipe import FeatureStage, JointStage
from crisp.learn.views import Scenery, View, cut_view
from crisp.networks.backbone import Features
from crisp.networks.heads import ShapeHead, grid_to_tokens
from crisp.networks.model import CrispNetwork
from crisp.progress import track

FRAMES_PER_SHARD = 16
FORMAT_VERSION = 2


@dataclass(frozen=True, eq=False)
class CropFeatures:
    """Cached features of n crops (half precision; T tokens per crop, padding has no valid pixel).

    Args:
        taps: (n, T, 4 * 384) patch tokens of the four taps side by side.
        token_index: (n, T) position of each token in its grid, row by row.
        target: (n, T, 16, 3) metres, the 4x4 PNC pixels of each token, row by row.
        valid: (n, T, 16).
        cls: (n, 4 * 384) class tokens of the four taps.
        shape_input: (n, 1920) input of the shape head.
        object_index: (n,) position of the object's id among the sorted ids of the data set.
        plain: (n,) not augmented: cropped as at inference.
    """

    taps: Tensor
    token_index: Tensor
    target: Tensor
    valid: Tensor
    cls: Tensor
    shape_input: Tensor
    object_index: Tensor
    plain: Tensor

    def __len__(self) -> int:
        return len(self.object_index)


def compute_features(
    dataset: Dataset,
    keys: Sequence[FrameKey],
    *,
    network: CrispNetwork,
    object_ids: Sequence[int],
    stage: FeatureStage,
    seed: int,
    folder: Path,
) -> list[CropFeatures]:
    """Compute the shards that are missing in `folder`, and open all (memory-mapped)."""
    folder.mkdir(parents=True, exist_ok=True)
    device = next(network.shape_head.parameters()).device
    key = _cache_key(network, stage, seed, object_ids=object_ids)
    runs = _runs(keys)
    paths = [folder / f"{_run_name(dataset, run, key)}.safetensors" for run in runs]
    missing = [(run, path) for run, path in zip(runs, paths, strict=True) if not path.exists()]
    done = len(runs) - len(missing)
    for run, path in track(missing, "features", total=len(runs), done=done):
        crops = [
            crop
            for frame_key in run
            for crop in _frame_crops(
                dataset, frame_key, network, object_ids=object_ids, stage=stage, seed=seed
            )
        ]
        tensors = _encode(crops, network=network, stage=stage, seed=seed, device=device)
        write_whole(path, save(tensors))
    return [shard for shard in map(_open, paths) if len(shard)]


def _runs(keys: Sequence[FrameKey]) -> list[list[FrameKey]]:
    """The frames in groups of one scene, at most `FRAMES_PER_SHARD` each."""
    scenes = [list(group) for _, group in groupby(keys, key=lambda key: key.scene_id)]
    return [s[i : i + FRAMES_PER_SHARD] for s in scenes for i in range(0, len(s), FRAMES_PER_SHARD)]


@dataclass(frozen=True, eq=False)
class _Cropped:
    view: View
    object_index: int
    plain: bool


def _frame_crops(
    dataset: Dataset,
    key: FrameKey,
    network: CrispNetwork,
    *,
    object_ids: Sequence[int],
    stage: FeatureStage,
    seed: int,
) -> list[_Cropped]:
    frame = dataset.load_frame(key)
    scenery = Scenery(frame.rgb, frame.depth_m, frame.points_camera)
    crops = []
    for instance in dataset.instances(key):
        if instance.visib_fract < stage.min_visible:
            continue
        mask = dataset.mask(key, instance.index)
        for version in range(stage.versions):
            rng = np.random.default_rng([seed, key.scene_id, key.im_id, instance.index, version])
            view = cut_view(
                scenery,
                mask,
                instance.T_camera_object,
                image_px=network.config.image_px,
                pnc_px=network.config.pnc_px,
                augmentation=stage.augmentation if version else None,
                rng=rng,
            )
            if view is not None:
                crops.append(_Cropped(view, object_ids.index(instance.object_id), version == 0))
    return crops


@torch.inference_mode()
def _encode(
    crops: Sequence[_Cropped], *, network: CrispNetwork, stage: FeatureStage, seed: int, device: torch.device
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows: list[dict[str, Tensor]] = []
    for start in range(0, len(crops), 16):
        batch = crops[start : start + 16]
        images = normalise(torch.stack([crop.view.image for crop in batch])).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=stage.precision == "bfloat16"):
            features = network.backbone(images)
        taps = features.concatenated_taps().half().cpu()
        shape_input = ShapeHead.shape_input(features).half().cpu()
        cls = features.concatenated_cls().half().cpu()
        for i, crop in enumerate(batch):
            kept = _tokens_of(crop.view, network.config.tokens_per_side, stage.tokens, generator=generator)
            kept["taps"] = taps[i][kept["token_index"].long()]
            rows.append(kept | {"cls": cls[i], "shape_input": shape_input[i]})
    out = {name: torch.stack([row[name] for row in rows]) for name in rows[0]} if rows else {}
    out["object_index"] = torch.tensor([crop.object_index for crop in crops], dtype=torch.int64)
    out["plain"] = torch.tensor([crop.plain for crop in crops], dtype=torch.bool)
    return out


def _tokens_of(view: View, grid: int, kept: int, *, generator: torch.Generator) -> dict[str, Tensor]:
    """Up to `kept` random tokens that hold a valid pixel, with their 4x4 targets."""
    pixels = view.valid.shape[0] // grid
    target = grid_to_tokens(view.target[None], pixels)[0]
    valid = grid_to_tokens(view.valid[None], pixels)[0]
    weight = valid.any(1).float()
    chosen = torch.multinomial(weight, min(kept, int(weight.sum())), generator=generator)
    padded = torch.cat([chosen, chosen.new_zeros(kept - len(chosen))])
    real = torch.arange(kept) < len(chosen)
    return {
        "token_index": padded.short(),
        "target": target[padded].half(),
        "valid": valid[padded] & real[:, None],
    }


def _open(path: Path) -> CropFeatures:
    with safe_open(str(path), framework="pt") as file:
        tensors: Mapping[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if "taps" not in tensors:
        none = torch.zeros(0)
        return CropFeatures(none, none, none, none, none, none, tensors["object_index"], tensors["plain"])
    return CropFeatures(**tensors)


def _cache_key(network: CrispNetwork, stage: FeatureStage, seed: int, *, object_ids: Sequence[int]) -> str:
    """A hash of all that the features depend on except the frames: weights, sizes, stage, seed."""
    sizes = [network.config.image_px, network.config.pnc_px]
    settings = [FORMAT_VERSION, asdict(stage), seed, list(object_ids), sizes]
    text = json.dumps(settings, sort_keys=True) + backbone_digest(network)
    return hashlib.sha256(text.encode()).hexdigest()


def backbone_digest(network: CrispNetwork) -> str:
    """SHA-256 over the backbone's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


def _run_name(dataset: Dataset, run: Sequence[FrameKey], key: str) -> str:
    """Name of a shard: a hash of the settings and of the frames' images, masks and labels."""
    digest = hashlib.sha256(key.encode())
    for frame_key in run:
        # The frame's name seeds its augmentation.
        digest.update(f"{frame_key.frame_id} {dataset.digest(frame_key)}".encode())
    return digest.hexdigest()[:24]


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of crops with some of their tokens, single precision."""

    taps: Float[Tensor, "b t d"]
    token_index: Int[Tensor, "b t"]
    target: Float[Tensor, "b t 16 3"]
    valid: Bool[Tensor, "b t 16"]
    cls: Float[Tensor, "b c"]
    shape_input: Float[Tensor, "b s"]
    object_index: Int[Tensor, " b"]


class FeatureStore:
    """All shards as one indexed set of crops."""

    def __init__(self, shards: Sequence[CropFeatures]) -> None:
        self._shards = list(shards)
        sizes = [len(shard) for shard in shards]
        self._shard = np.repeat(np.arange(len(sizes)), sizes)
        self._row = np.concatenate([np.arange(n) for n in sizes]) if sizes else np.zeros(0, dtype=int)

    def __len__(self) -> int:
        return len(self._row)

    @property
    def shards(self) -> list[CropFeatures]:
        return self._shards

    def first(self, crops: int) -> FeatureStore:
        """Only the first crops (for `--overfit-one-batch`)."""
        fewer = FeatureStore(self._shards)
        fewer._shard, fewer._row = self._shard[:crops], self._row[:crops]
        return fewer

    @property
    def tokens_per_crop(self) -> int:
        return self._shards[0].token_index.shape[1]

    def batch(self, indices: np.ndarray, *, tokens: Int[Tensor, " t"] | None, device: torch.device) -> Batch:
        """The crops at `indices`, each with the tokens at positions `tokens` (all where None)."""
        pick = slice(None) if tokens is None else tokens
        rows = [(self._shards[self._shard[i]], self._row[i]) for i in indices]

        def stack(name: str, *, per_token: bool) -> Tensor:
            values = [getattr(shard, name)[row] for shard, row in rows]
            return torch.stack([value[pick] if per_token else value for value in values]).to(device)

        return Batch(
            taps=stack("taps", per_token=True).float(),
            token_index=stack("token_index", per_token=True).long(),
            target=stack("target", per_token=True).float(),
            valid=stack("valid", per_token=True),
            cls=stack("cls", per_token=False).float(),
            shape_input=stack("shape_input", per_token=False).float(),
            object_index=stack("object_index", per_token=False),
        )


@dataclass(frozen=True)
class Example:
    """One visible object of one frame."""

    key: FrameKey
    instance: int
    object_index: int


@dataclass(frozen=True, eq=False)
class JointBatch:
    """Backbone features and targets of a batch of crops."""

    features: Features
    target: Float[Tensor, "b g g 3"]
    valid: Bool[Tensor, "b g g"]
    object_index: Int[Tensor, " b"]


def list_examples(problem: Problem, keys: Sequence[FrameKey], min_visible: float = 0.1) -> list[Example]:
    """All instances of these frames with a visible fraction of at least `min_visible`, or an unknown one."""
    ids = problem.object_ids
    return [
        Example(key, instance.index, ids.index(instance.object_id))
        for key in keys
        for instance in problem.dataset.instances(key)
        if not instance.visib_fract < min_visible
    ]


class CropSource:
    """Batches of features and targets, computed from images or read from cached features."""

    def __init__(
        self, network: CrispNetwork, problem: Problem, stage: JointStage, *, seed: int, cache: Path
    ) -> None:
        self._network, self._problem, self._stage = network, problem, stage
        self._seed, self._cache = seed, cache
        self._device = next(network.shape_head.parameters()).device
        self._backbone = backbone_digest(network)
        self._frames: dict[FrameKey, str] = {}

    def batch(self, examples: Sequence[Example], step: int) -> JointBatch:
        """The crops of these examples; augmentation differs from step to step."""
        if not self._stage.augment:
            return self.plain(examples)
        views = [self._view(e, np.random.default_rng([self._seed, step, i])) for i, e in enumerate(examples)]
        usable = [(e, v) for e, v in zip(examples, views, strict=True) if v is not None]
        if not usable:
            return self.plain(examples)
        images = normalise(torch.stack([view.image for _, view in usable])).to(self._device)
        rows = [(view.target, view.valid, example.object_index) for example, view in usable]
        return self._assemble(self._network.backbone(images), rows)

    def plain(self, examples: Sequence[Example]) -> JointBatch:
        """The crops without augmentation, with cached features."""
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
        if view is None:  # no depth: an empty crop without a valid pixel does not change the loss
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
        write_whole(path, save(tensors))
        return tensors

    def _name(self, example: Example) -> str:
        """A hash of the backbone, the sizes, and the frame's images, masks and labels."""
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
