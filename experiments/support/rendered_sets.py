"""Rendered scenes that several experiments score on, and the options of these experiments.

The seeds differ from training's: new poses, lights, backgrounds and cameras.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from crisp.data.bop.reader import BopDataset
from crisp.synth.config import SynthesisConfig
from crisp.synth.procedural import catalogue
from crisp.synth.synthesise import synthesise

MIN_VISIBLE = 0.7
SEEDS = {"clean": 2001, "hard": 2002}
SCENES = {"clean": 22, "hard": 24}
VIEWS = 2
ADAPT_SCENES, ADAPT_VIEWS, ADAPT_SEED = 100, 3, 3001


def size_of(look: str, *, quick: bool) -> tuple[int, int]:
    """Number of scenes of a held-out set, and images per scene."""
    return (3, 1) if quick else (SCENES[look], VIEWS)


def held_out_set(look: str, work: Path, *, quick: bool, workers: int) -> BopDataset:
    """A held-out set, rendered if it is missing."""
    scenes, views = size_of(look, quick=quick)
    return rendered(work, look, (scenes, views, SEEDS[look]), workers=workers)


def rendered(
    work: Path,
    look: str,
    what: tuple[int, int, int],
    *,
    workers: int,
    objects: tuple[int, int] | None = None,
) -> BopDataset:
    """A set with these numbers of scenes and images per scene and this seed; rendered if it is missing.

    Args:
        objects: fewest and most per scene, if not the default.
    """
    scenes, views, seed = what
    split = f"{look}_{scenes}x{views}"
    config = SynthesisConfig(split=split, scenes=scenes, views_per_scene=views, look=look, seed=seed)  # type: ignore[arg-type]
    if objects is not None:
        config = replace(config, objects_per_scene=objects)
    synthesise(catalogue(), out=work / "procedural", config=config, workers=workers)
    return BopDataset(work / "procedural", split)


def parser_of(description: str | None, *, quick: str) -> argparse.ArgumentParser:
    """Options of the experiments `adaptation`, `table11` and `table12`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--work", type=Path, default=Path(".cache/adaptation"), help="renders and runs")
    parser.add_argument("--held-out", type=Path, default=Path(".cache/held_out"), help="renders of held_out")
    parser.add_argument("--workers", type=int, default=2)
    return parser


def adaptation_set(options: argparse.Namespace) -> BopDataset:
    scenes, views = (3, 1) if options.quick else (ADAPT_SCENES, ADAPT_VIEWS)
    few = (3, 3) if options.quick else None
    return rendered(options.work, "hard", (scenes, views, ADAPT_SEED), workers=options.workers, objects=few)


def hard_set(options: argparse.Namespace) -> BopDataset:
    """The hard set of the experiment `held_out`."""
    return held_out_set("hard", options.held_out, quick=options.quick, workers=options.workers)
