"""Recipes of adaptation: everything that decides how a model trains itself on frames without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from crisp.documents import at_least, load_record
from crisp.errors import InputError
from crisp.shipped import RECIPES


@dataclass(frozen=True)
class GuardConfig:
    """Frames of the stream that are never trained on, and when they say that the weights got worse.

    Args:
        every: every so-manieth frame goes to the guard,
        objects: until it holds so many objects.
        least: no step is made before it holds so many.
        check_every: steps from one check to the next; there is one at the end, too.
        noise: worse is what changed by more standard errors than this, object by object, ...
        residual_change: ... and, for the median residual, by more than this share as well.
        rate_factor: the rates' factor after a roll-back.
        most_failures: so many roll-backs in a row end the training; a check that passes forgives them.
    """

    every: int = 8
    objects: int = 48
    least: int = 16
    check_every: int = 50
    noise: float = 3.0
    residual_change: float = 0.02
    rate_factor: float = 0.3
    most_failures: int = 3

    def __post_init__(self) -> None:
        at_least(self, 1, "every", "least", "check_every", "most_failures")
        if self.objects < self.least:
            raise InputError(
                f"the guard's objects ({self.objects}) must be at least its least ({self.least}), or no step "
                "would ever be made."
            )
        if self.every < 2:
            raise InputError("every of the guard must be at least 2, or no frame is left to train on.")
        if not 0 <= self.noise < math.inf or not 0 <= self.residual_change < math.inf:
            raise InputError("noise and residual_change of the guard must not be negative.")
        if not 0 < self.rate_factor < 1:
            raise InputError(f"rate_factor must lie between 0 and 1, got {self.rate_factor}.")


@dataclass(frozen=True)
class AdaptRecipe:
    """How a model trains itself (method, section 7).

    Args:
        correct: settings of the corrector by name or TOML file; their certificate decides what is learnt.
        passes: over a data set; a stream has one.
        batch: certified objects per step, and per process.
        steps_per_batch: gradient steps on each batch.
        shape_rate, pnc_rate: of the two plain SGD optimisers.
        momentum: of both; 0 as published.
        weight_decay: of both.
        code_weight: of L_h, |h - h^|^2 summed over the code (13).
        pnc_weight: of L_z, |z - z^|^2 averaged over the valid points, square metres (13).
        seed: of the order of the frames.
        guard: against getting worse; see `GuardConfig`.
    """

    correct: str = "default"
    passes: int = 1
    batch: int = 10
    steps_per_batch: int = 1
    shape_rate: float = 3e-4
    pnc_rate: float = 3e-4
    momentum: float = 0.0
    weight_decay: float = 1e-5
    code_weight: float = 1.0
    pnc_weight: float = 100.0
    seed: int = 0
    guard: GuardConfig = field(default_factory=GuardConfig)

    def __post_init__(self) -> None:
        at_least(self, 1, "passes", "batch", "steps_per_batch")
        at_least(self, 0, "shape_rate", "pnc_rate", "weight_decay", "code_weight", "pnc_weight", "seed")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must be at least 0 and below 1, got {self.momentum}.")


def load_adapt_recipe(source: str) -> AdaptRecipe:
    """A recipe by name or from a TOML file.

    Raises:
        InputError: no such recipe, not TOML, an unknown key, or a value that cannot be.
    """
    return load_record(AdaptRecipe, source, folder=RECIPES / "adapt", what="adaptation recipe")
