"""Adaptation recipes: those that ship parse, and name settings that exist; mistakes are one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from crisp.adapt.recipe import AdaptRecipe, load_adapt_recipe
from crisp.errors import InputError
from crisp.recipes import load_correction
from crisp.shipped import recipe_names


@pytest.mark.parametrize("name", recipe_names("adapt"))
def test_shipped_recipes_parse(name: str) -> None:
    recipe = load_adapt_recipe(name)
    corrector, _ = load_correction(recipe.correct)
    assert corrector is not None


def test_published_settings() -> None:
    """Method, section 7: batches of 3 and 10, 4e-4 and 3e-4 for the shape head, 3e-4 for the PNC head."""
    for arm in ("bcd", "lsq"):
        ycbv, spe3r = load_adapt_recipe(f"ycbv-{arm}"), load_adapt_recipe(f"spe3r-{arm}")
        assert (ycbv.batch, ycbv.shape_rate, ycbv.pnc_rate) == (3, 4e-4, 3e-4)
        assert (spe3r.batch, spe3r.shape_rate, spe3r.pnc_rate) == (10, 3e-4, 3e-4)
        for recipe in (ycbv, spe3r):
            assert (recipe.weight_decay, recipe.momentum, recipe.pnc_weight) == (1e-5, 0.0, 100.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("batch = 0", "batch must be at least 1"),
        ("momentum = 1.0", "momentum"),
        ("pnc_rate = nan", "pnc_rate"),
        ("rate = 1", "rate"),
        ("[guard]\nevery = 1", "at least 2"),
        ("seed = -1", "seed"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        load_adapt_recipe(str(path))


def test_defaults_are_those_of_the_record(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    assert load_adapt_recipe(str(tmp_path / "empty.toml")) == AdaptRecipe()
