"""Recipes: those that ship parse, and each mistake is one sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from crisp.errors import InputError
from crisp.learn.recipe import load_recipe, recipe_names
from crisp.networks.config import preset

STAGES = "[decoder]\n[features]\n[heads]\n"


def read(tmp_path: Path, text: str) -> object:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_recipe(str(path))


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_parse(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    preset(recipe.preset)


def test_both_presets_have_a_recipe() -> None:
    assert {load_recipe(name).preset for name in recipe_names()} >= {"small", "paper"}


def test_the_published_recipe_is_the_published_one() -> None:
    joint = load_recipe("paper").joint
    assert joint is not None
    assert (joint.epochs, joint.batch, joint.learning_rate, joint.weight_decay) == (500, 16, 3e-4, 1e-5)
    assert (joint.zeta_m, joint.alpha, joint.beta, joint.restart_steps) == (0.1, 5e3, 0.1, 0)
    assert (joint.surface, joint.near, joint.volume) == (1500, 1500, 4000)
    weights = joint.weights
    assert (weights.distance, weights.off_surface, weights.eikonal) == (3e3, 2e2, 50.0)


def test_a_whole_number_is_a_number(tmp_path: Path) -> None:
    recipe = read(tmp_path, 'name = "mine"\ncube_margin = 2\n' + STAGES)
    assert recipe.cube_margin == 2.0 and isinstance(recipe.cube_margin, float)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            'name = "m"\nsede = 1\n' + STAGES,
            "mine.toml has an unknown key 'sede'; known keys here are .*seed",
        ),
        (
            'name = "m"\n[decoder]\nstep = 3\n[features]\n[heads]\n',
            "mine.toml: decoder has an unknown key 'step'",
        ),
        ('name = "m"\n[joint.augmentation]\nturn = 3\n', "joint: augmentation has an unknown key 'turn'"),
        ('name = "m"\nseed = "one"\n' + STAGES, "mine.toml: seed must be of type int, got 'one'"),
        ('name = "m"\nseed = 1.5\n' + STAGES, "seed must be of type int"),
        ('name = "m"\nseed = true\n' + STAGES, "seed must be of type int"),
        ('name = "m"\n[joint]\naugment = 1\n', "joint: augment must be of type bool"),
        ('name = "m"\ndecoder = 4\n[features]\n[heads]\n', "mine.toml: decoder must be a table"),
        (STAGES, "mine.toml is incomplete: .*'name'"),
        ('name = "m"\n[joint]\n' + STAGES, r"either \[joint\] or \[decoder\], \[features\] and \[heads\]"),
        ('name = "m"\n', r"needs \[joint\], or all of \[decoder\], \[features\] and \[heads\]"),
        ('name = "m"\n[decoder]\n', r"needs \[joint\], or all of"),
        ('name = "m"\n[joint]\nrestart_factor = 0\n', "restart_factor at least 1"),
        ("name = ", "mine.toml is not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["tiny", "nowhere.toml"])
def test_a_recipe_that_is_not_there_names_those_that_are(source: str) -> None:
    with pytest.raises(InputError, match=f"there is no recipe '{source}': .*paper, small"):
        load_recipe(source)
