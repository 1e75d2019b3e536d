"""Training recipes: all settings of a training run, one TOML file per trained model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from crisp.documents import above_zero, at_least, at_most, load_record
from crisp.errors import InputError
from crisp.learn.losses import SdfWeights
from crisp.shipped import RECIPES

LARGEST_SEED = 2**32 - 1
MOST_WALL_M = 0.008
"""The samples near a surface reach no deeper, so they cannot tell a thicker wall from a solid."""
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class DecoderStage:
    """Stage 1 of the `small` recipe: the decoder with one free code per object, no images.

    Args:
        steps: optimiser steps.
        points: signed-distance samples per object and step.
        eikonal_points: how many of them the eikonal term uses (its double backward is the costly part).
        eikonal_every: steps between evaluations of that term; its weight is multiplied by this number.
        learning_rate: of Adam, falling to zero along a cosine.
        code_noise: standard deviation of noise on the codes, which makes the shapes robust to inexact codes.
        weights: of the three terms.
    """

    steps: int = 2500
    points: int = 512
    eikonal_points: int = 64
    eikonal_every: int = 1
    learning_rate: float = 5e-4
    code_noise: float = 0.01
    weights: SdfWeights = field(default_factory=SdfWeights)

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "points", "eikonal_every")
        at_least(self, 0, "eikonal_points", "code_noise")
        above_zero(self, "learning_rate")
        at_least(self.weights, 0, "distance", "off_surface", "eikonal", "focus_m")


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of a training crop.

    Args:
        rotation_deg: largest in-plane rotation.
        box_jitter: each side of the box moves by up to this share of its length.
        brightness, contrast, saturation, hue: strengths of colour changes.
        noise: standard deviation of pixel noise; colours are in [0, 1].
        blur_px: largest Gaussian blur, in crop pixels.
        occlusion: probability that a part of the crop is covered by noise or a piece of itself.
    """

    rotation_deg: float = 12.0
    box_jitter: float = 0.04
    brightness: float = 0.3
    contrast: float = 0.25
    saturation: float = 0.25
    hue: float = 0.02
    noise: float = 0.02
    blur_px: float = 1.0
    occlusion: float = 0.25

    def __post_init__(self) -> None:
        at_least(self, 0, *(item.name for item in dataclasses.fields(self)))
        at_most(self, 1, "occlusion")


@dataclass(frozen=True)
class FeatureStage:
    """Stage 2 of the `small` recipe: features of the frozen backbone, computed once and cached.

    Args:
        versions: crops per instance; the first is not augmented, the others are.
        tokens: tokens on the object cached per crop.
        min_visible: smallest visible fraction of an instance that is used.
        precision: of the backbone's arithmetic. "bfloat16" is several times as fast on processors that
            support it; the features have a cosine similarity of 0.9999 with those of "float32".
        augmentation: of the versions after the first.
    """

    versions: int = 2
    tokens: int = 96
    min_visible: float = 0.4
    precision: Precision = "float32"
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        at_least(self, 1, "versions", "tokens")
        at_least(self, 0, "min_visible")
        at_most(self, 1, "min_visible")


@dataclass(frozen=True)
class HeadStage:
    """Stage 3 of the `small` recipe: both heads on the cached features.

    Args:
        steps: optimiser steps.
        batch: crops per step.
        tokens: tokens per crop and step.
        learning_rate: of AdamW; warms up for 3 % of the steps, then falls along a cosine.
        weight_decay: of AdamW.
        zeta_m: error at which soft-L1 changes from quadratic to linear (equation 20).
        pnc_weight: of the soft-L1, which is in metres.
        code_weight: of mean |h - h_object|^2.
        surface_weight: of the signed-distance error under the predicted code; 0 leaves this term out.
        surface_points: samples per crop for that term.
        surface_every: steps between evaluations of that term.
        precision: of the heads' arithmetic; weights and losses stay in "float32".
    """

    steps: int = 3000
    batch: int = 64
    tokens: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    zeta_m: float = 0.1
    pnc_weight: float = 5e3
    code_weight: float = 10.0
    surface_weight: float = 0.0
    surface_points: int = 64
    surface_every: int = 4
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "batch", "tokens", "surface_points", "surface_every")
        at_least(self, 0, "weight_decay", "pnc_weight", "code_weight", "surface_weight")
        above_zero(self, "learning_rate", "zeta_m")


@dataclass(frozen=True)
class JointStage:
    """The published joint training: all parts except the backbone, from images (method, section 8).

    Args:
        epochs: passes over the data.
        batch: crops per step.
        learning_rate, weight_decay: of Adam.
        zeta_m: of the soft-L1.
        alpha, beta: weights of the PNC and the SDF loss (equation 23).
        surface, near, volume: signed-distance samples per crop.
        weights: of the SDF terms.
        restart_steps: period of the cosine restarts; 0 for a constant rate.
        restart_factor: each period is this many times as long as the one before.
        augment: augment the images; their features cannot be cached then.
        augmentation: settings of that augmentation.
    """

    epochs: int = 500
    batch: int = 16
    learning_rate: float = 3e-4
    weight_decay: float = 1e-5
    zeta_m: float = 0.1
    alpha: float = 5e3
    beta: float = 0.1
    surface: int = 1500
    near: int = 1500
    volume: int = 4000
    weights: SdfWeights = field(default_factory=SdfWeights)
    restart_steps: int = 0
    restart_factor: int = 1
    augment: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        at_least(self, 1, "epochs", "batch", "surface", "near", "volume")
        at_least(self, 0, "weight_decay", "alpha", "beta")
        above_zero(self, "learning_rate", "zeta_m")
        at_least(self.weights, 0, "distance", "off_surface", "eikonal", "focus_m")
        if self.restart_steps < 0 or self.restart_factor < 1:
            raise InputError("restart_steps must not be negative, and restart_factor at least 1.")


@dataclass(frozen=True)
class Recipe:
    """How one model is trained.

    Args:
        name: of the model.
        preset: "small" or "paper".
        seed: of all random numbers.
        cube_margin: half side of the decoder's cube, as a multiple of the largest half extent of an object.
        least_wall_m: objects with thinner walls are trained with walls of this thickness; 0 changes nothing.
        library: source of the checkpoint's codes: "network", the mean of the codes that it predicts for an
            object's crops, as published; or "decoder", the codes of the decoder stage, which give better
            shapes if the network's predictions come near them.
        validation_share: share of the frames kept for validation.
        checkpoint_every: steps between saved states, from which a run resumes.
        decoder, features, heads: the three stages on cached features.
        joint: the published joint training. Give either this or the three stages.
    """

    name: str
    preset: str = "small"
    seed: int = 0
    cube_margin: float = 1.1
    least_wall_m: float = 0.0
    library: Literal["network", "decoder"] = "network"
    validation_share: float = 0.05
    checkpoint_every: int = 250
    decoder: DecoderStage | None = None
    features: FeatureStage | None = None
    heads: HeadStage | None = None
    joint: JointStage | None = None

    def __post_init__(self) -> None:
        at_least(self, 0, "seed", "validation_share", "least_wall_m")
        at_most(self, LARGEST_SEED, "seed")
        at_most(self, 1, "validation_share")
        at_least(self, 1, "checkpoint_every", "cube_margin")
        if self.least_wall_m > MOST_WALL_M:
            raise InputError(f"least_wall_m must be at most {MOST_WALL_M} m, got {self.least_wall_m}.")
        staged = [self.decoder, self.features, self.heads]
        if self.joint is not None and any(stage is not None for stage in staged):
            raise InputError("a recipe has either [joint] or [decoder], [features] and [heads], not both.")
        if self.joint is None and any(stage is None for stage in staged):
            raise InputError("a recipe needs [joint], or all of [decoder], [features] and [heads].")
        if self.joint is not None and self.library == "decoder":
            raise InputError(
                'the joint training has no codes of the decoder alone: library must be "network".'
            )


def load_recipe(source: str) -> Recipe:
    """A recipe by name or from a TOML file.

    Raises:
        InputError: no such recipe, not TOML, an unknown key, or a value of the wrong type.
    """
    return load_record(Recipe, source, folder=RECIPES, what="recipe")
