"""Recipes: those that ship parse, and each mistake is one sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from crisp.errors import InputError
from crisp.learn.joint_stage import restart_factor
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


# Rate, weight decay, batch, epochs; alpha, beta; surface, near, volume samples; restarts (method, section 8).
PUBLISHED = {
    "paper": ((3e-4, 1e-5, 16, 500), (5e3, 0.1), (1500, 1500, 4000), (0, 1)),
    "ycbv-real": ((3e-4, 1e-5, 10, 50), (5e3, 0.1), (1500, 1500, 4000), (0, 1)),
    "spe3r": ((1e-4, 1e-6, 16, 100), (50.0, 1.0), (1000, 1000, 5000), (4000, 2)),
    "nocs": ((1e-4, 1e-6, 16, 50), (50.0, 1.0), (1000, 1000, 5000), (4000, 1)),
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_published_recipes_are_the_published_ones(name: str) -> None:
    recipe = load_recipe(name)
    joint = recipe.joint
    assert joint is not None and recipe.preset == "paper"
    found = (
        (joint.learning_rate, joint.weight_decay, joint.batch, joint.epochs),
        (joint.alpha, joint.beta),
        (joint.surface, joint.near, joint.volume),
        (joint.restart_steps, joint.restart_factor),
    )
    assert found == PUBLISHED[name]
    assert (joint.zeta_m, joint.augment) == (0.1, False)
    weights = joint.weights
    assert (weights.distance, weights.off_surface, weights.eikonal) == (3e3, 2e2, 50.0)


def test_spe3rs_rate_restarts_after_4000_and_after_8000_more() -> None:
    """Half way through each period it is half the rate; NOCS's periods do not grow."""
    spe3r, nocs = load_recipe("spe3r").joint, load_recipe("nocs").joint
    assert spe3r is not None and nocs is not None
    assert [restart_factor(step, spe3r) for step in (0, 4000, 12000, 28000)] == [1.0] * 4
    assert [restart_factor(step, spe3r) for step in (2000, 8000, 20000)] == pytest.approx([0.5] * 3)
    assert [restart_factor(step, nocs) for step in (0, 4000, 8000, 12000)] == [1.0] * 4
    assert restart_factor(3999, spe3r) < 1e-6 > restart_factor(7999, nocs)


def test_replicas_are_trained_as_the_small_model_is_but_shorter() -> None:
    small, tables, space = (load_recipe(name) for name in ("small", "replica", "replica-spe3r"))
    for recipe in (tables, space):
        assert recipe.decoder and recipe.heads and small.decoder and small.heads
        assert recipe.decoder.steps <= small.decoder.steps / 2 and recipe.heads.steps <= small.heads.steps / 2
        assert recipe.decoder.weights == small.decoder.weights
    # SPE3R's unit is about ten times those objects' size: lengths grow with it, and their weight falls.
    assert tables.heads and space.heads and space.features
    assert space.heads.zeta_m == pytest.approx(10 * tables.heads.zeta_m)
    assert space.heads.pnc_weight == pytest.approx(tables.heads.pnc_weight / 10)
    assert space.features.augmentation.rotation_deg == 180.0


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
        ('name = "m"\nlibrary = "mean"\n' + STAGES, "library must be network or decoder, got mean"),
        ('name = "m"\nlibrary = "decoder"\n[joint]\n', "no codes of the decoder alone"),
        ('name = "m"\nleast_wall_m = 0.1\n' + STAGES, "least_wall_m must be at most 0.008 m"),
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
    with pytest.raises(InputError, match=f"there is no recipe '{source}': .*nocs, paper, .*small, spe3r"):
        load_recipe(source)
