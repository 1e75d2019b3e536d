"""What comes with the package, by name: models, and recipes of training, adaptation and correction."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
RECIPES = Path(__file__).parent / "recipes"
BUNDLED = {"bundled": "small", "ycbv-small": "ycbv-small"}
"""The folder in WEIGHTS of each model that comes with the package."""

CORRECTIONS = ("own", "none")
"""Beside the settings in files: what suits the model, and the network alone, without certificates."""


def recipe_names(folder: str = "") -> list[str]:
    """Names of the recipes that come with the package.

    Args:
        folder: "" for those of training, "adapt" for those of adaptation, "correct" for the corrector's.
    """
    return sorted(path.stem for path in (RECIPES / folder).glob("*.toml"))


def correction_names() -> list[str]:
    """All names that `--correct` takes."""
    return [*CORRECTIONS, *recipe_names("correct")]
