"""The chain of commands of the three replica experiments, from rendering to the paper's table.

Each renders a replica (`crisp synthesise --layout ...`), trains on it (`crisp train`), adapts to its test
frames without their labels (`crisp adapt`), predicts, scores and prints the paper's table (`crisp evaluate`).
Every command runs as a user would type it, and is timed.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

from crisp.learn.recipe import Recipe, load_recipe
from experiments.layouts.replica_claims import claims_of, scored
from experiments.layouts.replica_plan import (
    ADAPTED,
    BASELINE,
    RUN,
    SET,
    TABLES,
    TRAINED,
    UNTRAINED,
    Render,
    Replica,
    Way,
    predictions,
)
from experiments.layouts.replica_rivals import write_baseline, write_untrained
from experiments.layouts.replica_steps import Steps
from experiments.support.evidence import RESULTS, write_evidence


def main(replica: Replica, description: str | None) -> None:
    """The command line of one of the three experiments."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a handful of pictures and steps")
    parser.add_argument("--work", type=Path, default=Path(".cache") / replica.name, help="renders and runs")
    options = parser.parse_args()
    start = time.perf_counter()
    work = options.work.with_name(f"{options.work.name}_quick") if options.quick else options.work
    if options.quick:
        shutil.rmtree(work, ignore_errors=True)
    steps = Steps(work)
    run_chain(replica, steps, quick=options.quick)
    claims = claims_of(replica, steps)
    settings = asdict(replica) | {
        "training": asdict(recipe_of(replica, quick=options.quick)),
        "commands": {name: asdict(steps[name]) for name in steps.names},
        "this_run_seconds": round(time.perf_counter() - start, 1),
    }
    seconds = sum(
        steps[name].seconds for name in steps.names
    )  # summed over all tries; finished steps are not repeated
    write_evidence(
        f"layouts.{replica.name}",
        claims,
        settings=settings,
        seconds=seconds,
        folder=RESULTS,
        quick=options.quick,
    )


def run_chain(replica: Replica, steps: Steps, *, quick: bool) -> None:
    """Run all commands in the documented order; finished ones are not repeated."""
    for render in (replica.train, replica.test):
        steps.run(f"synthesise {render.split}", synthesise_command(replica, render, quick=quick))
    recipe = replica.recipe
    if quick:
        recipe = "quick.toml"
        (steps.work / recipe).write_text("\n".join(as_toml(recipe_of(replica, quick=True))) + "\n")
    steps.run("train", ["train", *_on(replica.train.split), "--recipe", recipe, "--out", RUN])
    write_untrained(steps.work / TRAINED, steps.work / UNTRAINED)
    judged = replica.judged[-1:] if quick else replica.judged
    for split in judged:
        write_baseline(
            steps.work / SET, split, steps.work / TRAINED, out=steps.work / predictions(split, BASELINE)
        )
        _score(replica, steps, split, BASELINE)
        for way in replica.ways(split)[: 1 if quick else None]:
            _predict_and_score(replica, steps, split, way)
    split = replica.judged[-1]
    adapt = ["adapt", *_on(split), "--weights", TRAINED, "--recipe", replica.adapt_recipe, "--out", ADAPTED]
    steps.run("adapt", adapt)
    _predict_and_score(replica, steps, split, replica.adapted)
    for split in judged:
        for number in replica.tables:
            steps.run(f"table {number} {split}", table_command(steps, split, number))


def synthesise_command(replica: Replica, render: Render, *, quick: bool) -> list[str]:
    """`crisp synthesise` of one split."""
    scenes, views = render.quick_size if quick else render.size
    where = ["synthesise", "--layout", replica.layout, "--out", SET, "--split", render.split]
    what = ["--seed", str(render.seed), "--scenes", str(scenes), "--views-per-scene", str(views)]
    return [*where, *what, *render.options, "--workers", "1"]


def table_command(steps: Steps, split: str, number: int) -> list[str]:
    """`crisp evaluate table` with a row for each score file of the split."""
    names = scored(steps, split)
    folders = [predictions(split, name) for name in names]
    rows = ["--scores", *folders, "--names", *names]
    return ["evaluate", "table", str(number), *rows, "--out", f"{TABLES}/{split}"]


def _predict_and_score(replica: Replica, steps: Steps, split: str, way: Way) -> None:
    out = predictions(split, way.name)
    command = ["evaluate", "predict", *_on(split), "--weights", way.weights, "--correct", way.correct]
    steps.run(f"predict {split} {way.name}", [*command, "--out", out])
    _score(replica, steps, split, way.name)


def _score(replica: Replica, steps: Steps, split: str, way: str) -> None:
    command = ["evaluate", "score", "--predictions", predictions(split, way), *_on(split)]
    steps.run(f"score {split} {way}", [*command, "--protocols", *replica.protocols])


def _on(split: str) -> list[str]:
    return ["--dataset", SET, "--split", split]


def recipe_of(replica: Replica, *, quick: bool) -> Recipe:
    """The model's training recipe; with --quick it takes a few steps."""
    recipe = load_recipe(replica.recipe)
    assert recipe.decoder and recipe.features and recipe.heads
    if not quick:
        return recipe
    return replace(
        recipe,
        decoder=replace(recipe.decoder, steps=60, points=128),
        features=replace(recipe.features, versions=1),
        heads=replace(recipe.heads, steps=20, batch=16),
    )


def as_toml(record: Any, place: Sequence[str] = ()) -> Iterator[str]:
    """A frozen record as lines of TOML, as `--recipe FILE` reads it."""
    values = vars(record)
    for name, value in values.items():
        if value is not None and not is_dataclass(value):
            yield f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
    for name, value in values.items():
        if is_dataclass(value):
            yield f"[{'.'.join([*place, name])}]"
            yield from as_toml(value, [*place, name])
