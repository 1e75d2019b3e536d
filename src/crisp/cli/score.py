"""`crisp evaluate score`."""

from __future__ import annotations

from dataclasses import dataclass

from crisp.evaluate.options import ScoreOptions


@dataclass(frozen=True)
class Score:
    """Score predictions against the labels, by named protocols, into files beside them."""

    scoring: ScoreOptions
    """What to score."""

    def run(self) -> int:
        from crisp.evaluate.score import score
        from crisp.evaluate.score_files import markdown

        print(markdown(score(self.scoring, progress=True)))
        return 0
