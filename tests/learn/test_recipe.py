"""Recipes: those that ship parse, and each mistake is one sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from crisp.errors import InputError
from crisp.learn.joint_stage import restart_factor
from crisp.learn.recipe import load_recipe
from crisp.networks.config import preset
from crisp.shipped import recipe_names

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
            "'sede'.*seed",
        ),
        (
            'name = "m"\n[decoder]\nstep = 3\n[features]\n[heads]\n',
            "decoder .*'step'",
        ),
        ('name = "m"\n[joint.augmentation]\nturn = 3\n', "joint.augmentation .*'turn'"),
        ('name = "m"\nseed = "one"\n' + STAGES, "seed .*'one'"),
        ('name = "m"\nseed = 1.5\n' + STAGES, "seed .*1.5"),
        ('name = "m"\nseed = true\n' + STAGES, "seed .*True"),
        ('name = "m"\n[joint]\naugment = 1\n', "joint.augment "),
        ('name = "m"\ndecoder = 4\n[features]\n[heads]\n', "decoder .*4"),
        (STAGES, "'name'"),
        ('name = "m"\n[joint]\n' + STAGES, r"\[joint\]"),
        ('name = "m"\n', r"\[joint\]"),
        ('name = "m"\n[decoder]\n', r"\[joint\]"),
        ('name = "m"\n[joint]\nrestart_factor = 0\n', "restart_factor"),
        ("name = ", "TOML"),
        ('name = "m"\nseed = -1\n' + STAGES, "seed .*-1"),
        (f'name = "m"\nseed = {2**70}\n' + STAGES, "seed .*4294967295"),
        ('name = "m"\ncheckpoint_every = 0\n' + STAGES, "checkpoint_every .*0"),
        ('name = "m"\ncube_margin = 0.9\n' + STAGES, "cube_margin .*0.9"),
        ('name = "m"\nlibrary = "mean"\n' + STAGES, "library .*network.*decoder.*mean"),
        ('name = "m"\nlibrary = "decoder"\n[joint]\n', "library"),
        ('name = "m"\nleast_wall_m = 0.1\n' + STAGES, "least_wall_m .*0.008"),
        (f'name = "m"\ncube_margin = {10**400}\n' + STAGES, "cube_margin"),
        ('name = "m"\nvalidation_share = 1.5\n' + STAGES, "validation_share .*1.5"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=f"mine.toml.*{sentence}") as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("stage", "setting", "key"),
    [
        ("decoder", "steps = -1", "steps"),
        ("decoder", "points = 0", "points"),
        ("decoder", "eikonal_every = 0", "eikonal_every"),
        ("decoder", "eikonal_points = -1", "eikonal_points"),
        ("decoder", "learning_rate = nan", "learning_rate"),
        ("decoder", "learning_rate = inf", "learning_rate"),
        ("decoder", "code_noise = -0.1", "code_noise"),
        ("decoder", "weights.eikonal = -1.0", "eikonal"),
        ("features", "versions = 0", "versions"),
        ("features", "tokens = 0", "tokens"),
        ("features", 'precision = "half"', "precision"),
        ("features", "min_visible = 1.5", "min_visible"),
        ("features", "augmentation.noise = -0.1", "noise"),
        ("features", "augmentation.occlusion = 2.0", "occlusion"),
        ("heads", "steps = 0", "steps"),
        ("heads", "batch = 0", "batch"),
        ("heads", "surface_every = 0", "surface_every"),
        ("heads", "zeta_m = 0.0", "zeta_m"),
        ("joint", "epochs = 0", "epochs"),
        ("joint", "batch = -2", "batch"),
        ("joint", "near = 0", "near"),
        ("joint", "zeta_m = -1", "zeta_m"),
        ("joint", "weights.distance = nan", "distance"),
    ],
)
def test_impossible_numbers_are_named(tmp_path: Path, stage: str, setting: str, key: str) -> None:
    stages = "[joint]\n" if stage == "joint" else STAGES
    text = f'name = "m"\n{stages}'.replace(f"[{stage}]\n", f"[{stage}]\n{setting}\n")
    with pytest.raises(InputError, match=f"mine.toml: .*{key}") as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["tiny", "nowhere.toml"])
def test_a_recipe_that_is_not_there_names_those_that_are(source: str) -> None:
    with pytest.raises(InputError, match=f"there is no recipe '{source}': .*nocs, paper, .*small, spe3r"):
        load_recipe(source)
