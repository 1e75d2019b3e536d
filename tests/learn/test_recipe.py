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
        ('name = "m"\nseed = -1\n' + STAGES, "mine.toml: seed must be at least 0, got -1"),
        (f'name = "m"\nseed = {2**70}\n' + STAGES, "seed must be at most 4294967295"),
        ('name = "m"\ncheckpoint_every = 0\n' + STAGES, "checkpoint_every must be at least 1, got 0"),
        ('name = "m"\ncube_margin = 0.9\n' + STAGES, "cube_margin must be at least 1, got 0.9"),
        (f'name = "m"\ncube_margin = {10**400}\n' + STAGES, "cube_margin must be at least 1, got inf"),
        ('name = "m"\nvalidation_share = 1.5\n' + STAGES, "validation_share must be at most 1, got 1.5"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("stage", "setting", "sentence"),
    [
        ("decoder", "steps = -1", "steps must be at least 1, got -1"),
        ("decoder", "points = 0", "points must be at least 1"),
        ("decoder", "eikonal_every = 0", "eikonal_every must be at least 1"),
        ("decoder", "eikonal_points = -1", "eikonal_points must be at least 0"),
        ("decoder", "learning_rate = nan", "learning_rate must be positive, got nan"),
        ("decoder", "learning_rate = inf", "learning_rate must be positive, got inf"),
        ("decoder", "code_noise = -0.1", "code_noise must be at least 0"),
        ("decoder", "weights.eikonal = -1.0", "eikonal must be at least 0"),
        ("features", "versions = 0", "versions must be at least 1"),
        ("features", "tokens = 0", "tokens must be at least 1"),
        ("features", 'precision = "half"', "precision must be float32 or bfloat16, got half"),
        ("features", "min_visible = 1.5", "min_visible must be at most 1"),
        ("features", "augmentation.noise = -0.1", "noise must be at least 0"),
        ("features", "augmentation.occlusion = 2.0", "occlusion must be at most 1"),
        ("heads", "steps = 0", "steps must be at least 1"),
        ("heads", "batch = 0", "batch must be at least 1"),
        ("heads", "surface_every = 0", "surface_every must be at least 1"),
        ("heads", "zeta_m = 0.0", "zeta_m must be positive"),
        ("joint", "epochs = 0", "epochs must be at least 1"),
        ("joint", "batch = -2", "batch must be at least 1"),
        ("joint", "near = 0", "near must be at least 1"),
        ("joint", "zeta_m = -1", "zeta_m must be positive"),
        ("joint", "weights.distance = nan", "distance must be at least 0"),
    ],
)
def test_impossible_numbers_are_named(tmp_path: Path, stage: str, setting: str, sentence: str) -> None:
    stages = "[joint]\n" if stage == "joint" else STAGES
    text = f'name = "m"\n{stages}'.replace(f"[{stage}]\n", f"[{stage}]\n{setting}\n")
    with pytest.raises(InputError, match=f"mine.toml: .*{sentence}") as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["tiny", "nowhere.toml"])
def test_a_recipe_that_is_not_there_names_those_that_are(source: str) -> None:
    with pytest.raises(InputError, match=f"there is no recipe '{source}': .*paper, small"):
        load_recipe(source)
