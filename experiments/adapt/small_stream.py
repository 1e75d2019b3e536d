"""A small stream of hard frames and a recipe with frequent steps, for experiments on robustness."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

from crisp.adapt.recipe import AdaptRecipe, GuardConfig
from crisp.synth.config import SynthesisConfig
from crisp.synth.procedural import catalogue
from crisp.synth.synthesise import synthesise

SPLIT = "stream"
SCENES, VIEWS, SEED, OBJECTS = 6, 2, 5101, (3, 4)
QUICK_RECIPE = AdaptRecipe(
    passes=2,
    batch=2,
    shape_rate=3e-4,
    pnc_rate=1e-2,
    momentum=0.5,
    guard=GuardConfig(every=4, objects=6, least=3, check_every=4),
)


def small_stream(work: Path, *, quick: bool, workers: int) -> Path:
    """Root of the data set; rendered where it is missing."""
    root = work / ("quick" if quick else "procedural")
    config = SynthesisConfig(
        split=SPLIT,
        scenes=2 if quick else SCENES,
        views_per_scene=VIEWS,
        look="hard",
        seed=SEED,
        objects_per_scene=OBJECTS,
    )
    synthesise(catalogue(), out=root, config=config, workers=workers)
    return root


def recipe_of(*, quick: bool) -> AdaptRecipe:
    """The recipe; with --quick it passes over the stream once."""
    return replace(QUICK_RECIPE, passes=1) if quick else QUICK_RECIPE


def write_recipe(path: Path, recipe: AdaptRecipe = QUICK_RECIPE) -> Path:
    """As a TOML file for the command line."""
    values = asdict(recipe)
    guard = values.pop("guard")
    lines = [_line(name, value) for name, value in values.items()]
    lines += ["", "[guard]", *(_line(name, value) for name, value in guard.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def _line(name: str, value: object) -> str:
    return f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"


def adapt_command(root: Path, out: Path, recipe: Path, *more: str) -> list[str]:
    """`crisp adapt` as a process of its own."""
    entry = [sys.executable, "-c", "from crisp.cli import main; main()", "adapt"]
    where = ["--dataset", str(root), "--split", SPLIT, "--out", str(out)]
    return [*entry, *where, "--recipe", str(recipe), "--snapshot-every", "3", *more]
