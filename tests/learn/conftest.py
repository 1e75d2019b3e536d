"""The small labelled set opened for training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crisp.learn.journal import Journal
from crisp.learn.problem import Problem, open_problem
from crisp.learn.recipe import DecoderStage, FeatureStage, HeadStage, Recipe


@pytest.fixture(scope="session")
def problem(bop_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Problem:
    recipe = Recipe("tiny", decoder=DecoderStage(), features=FeatureStage(), heads=HeadStage())
    return open_problem(recipe, bop_root, "train", cache=tmp_path_factory.mktemp("distances"))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal")
    yield opened
    opened.close()
