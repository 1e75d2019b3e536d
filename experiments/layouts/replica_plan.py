"""The plan of a replica experiment: which splits are rendered, trained on, corrected and scored."""

from __future__ import annotations

from dataclasses import dataclass

SET, RUN, ADAPTED, UNTRAINED, TABLES = "set", "run", "adapted", "untrained", "tables"
TRAINED = f"{RUN}/checkpoint"
BASELINE = "baseline"
ALONE = "none"
"""The value of `--correct` for the network alone."""


@dataclass(frozen=True)
class Render:
    """One split of a replica: the arguments of `crisp synthesise`.

    Args:
        size, quick_size: scenes (SPE3R: satellites), and images of each.
        options: further options, with and without --quick.
    """

    split: str
    seed: int
    size: tuple[int, int]
    quick_size: tuple[int, int]
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Way:
    """One model under one setting of the corrector: predictions of each split, and a row of a table."""

    name: str
    weights: str
    correct: str = ALONE


@dataclass(frozen=True)
class Replica:
    """A replica, and how it is trained on and evaluated.

    Args:
        name: of the experiment.
        train, test: the two splits that are rendered.
        judged: the splits that are predicted and scored; the last one is also corrected and adapted to.
        recipe, adapt_recipe: by name.
        correct: settings of the corrector for the trained model, in addition to the network alone.
        protocols, tables: of the paper, for this set.
        auc_cm: the threshold of ADD-S, of those that `add-s` has, and `why` it is that one.
    """

    name: str
    layout: str
    train: Render
    test: Render
    judged: tuple[str, ...]
    recipe: str
    adapt_recipe: str
    correct: tuple[str, ...]
    protocols: tuple[str, ...]
    tables: tuple[int, ...]
    auc_cm: int
    why: str

    def ways(self, split: str) -> tuple[Way, ...]:
        """Variants scored on a split: untrained and trained network; on the last split also corrected."""
        corrected = [Way(f"trained, {name}", TRAINED, name) for name in self.correct]
        return (
            Way("trained", TRAINED),
            Way("untrained", UNTRAINED),
            *(corrected if split == self.judged[-1] else ()),
        )

    @property
    def adapted(self) -> Way:
        return Way("adapted", f"{ADAPTED}/checkpoint")


def predictions(split: str, way: str) -> str:
    """The folder of predictions and scores, in the work folder."""
    return f"predictions/{split}_{way.replace(', ', '_')}"
