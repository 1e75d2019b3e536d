"""Named settings of the corrector: they are what they are called, and each mistake is one sentence."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from crisp.certify.certificate import published
from crisp.documents import build_record
from crisp.errors import InputError
from crisp.model import Model
from crisp.output.sink import described
from crisp.recipes import KINDS, CorrectionSettings, load_correction
from crisp.refine.corrector import Corrector
from crisp.refine.pose_step import Se3Step
from crisp.refine.problem import SoftL1, Squares
from crisp.refine.shape_step import ActiveShape, HullDescent
from crisp.refine.z_step import ZGradientStep
from crisp.shipped import recipe_names

PAIR = '[corrector]\n[corrector.pose_step]\nkind = "Se3Step"\n'
PUBLISHED = [f"{dataset}-{way}" for dataset in ("ycbv", "spe3r", "nocs") for way in ("bcd", "lsq")]


def read(tmp_path: Path, text: str) -> tuple[Corrector, Any]:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_correction(str(path))


def test_the_default_is_what_every_model_does() -> None:
    corrector, certificate = load_correction("default")
    factory = next(field for field in fields(Model) if field.name == "corrector").default_factory
    assert corrector == factory()  # type: ignore[operator, misc]
    assert certificate is None  # the model's own, which may be calibrated


def test_ours_with_the_published_shape_step() -> None:
    corrector, certificate = load_correction("bcd")
    assert corrector.pose_step == load_correction("default")[0].pose_step
    assert corrector.shape_step == HullDescent(points=150)
    assert certificate is None


def test_what_ships_is_what_is_named() -> None:
    assert recipe_names("correct") == sorted(["default", "bcd", "search", *PUBLISHED])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings(name: str) -> None:
    """Method, section 4: Adam 1e-3, 50 iterations on Z; Alg. 1 1e-2, 25; one-hot on YCBV. Section 6: oc."""
    dataset, way = name.split("-")
    corrector, certificate = load_correction(name)
    step = corrector.pose_step
    assert isinstance(step, ZGradientStep)
    assert (step.optimiser, step.learning_rate, step.iterations) == ("adam", 1e-3, 50)
    assert corrector.kernel == step.kernel == Squares()
    if way == "bcd":
        # The published algorithm knows no projection of the gradient.
        assert corrector.shape_step == HullDescent(iterations=25, rate=1e-2, tangent=False)
    else:
        assert corrector.shape_step == ActiveShape(one_hot=dataset == "ycbv")
    assert certificate == (None if dataset == "nocs" else published(dataset))


@pytest.mark.parametrize("name", recipe_names("correct"))
def test_what_is_written_down_with_results_builds_the_same_corrector_again(name: str) -> None:
    corrector, certificate = load_correction(name)
    assert rebuilt(CorrectionSettings(corrector, certificate)) == CorrectionSettings(corrector, certificate)


def rebuilt(settings: CorrectionSettings) -> CorrectionSettings:
    content = {"corrector": plain(described(settings.corrector), named=False)}
    if settings.certificate is not None:
        content["certificate"] = plain(described(settings.certificate), named=False)
    return build_record(CorrectionSettings, content, where="results", choices=KINDS, none="none")


def plain(table: dict[str, Any], *, named: bool) -> dict[str, Any]:
    """As TOML would say it: "none" for null, and kinds only where there is a choice of them."""
    choice = {name for kinds in KINDS.values() for name in kinds}
    return {
        key: plain(value, named=value["kind"] in choice)
        if isinstance(value, dict)
        else ("none" if value is None else value)
        for key, value in table.items()
        if named or key != "kind"
    }


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    text = (
        PAIR + 'kernel = { kind = "SoftL1", scale_m = 1 }\n[certificate]\neps_m = "none"\neps_share = 0.02\n'
    )
    corrector, certificate = read(tmp_path, text)
    assert corrector.pose_step == Se3Step(kernel=SoftL1(1.0)) and corrector.shape_step is None
    assert (certificate.eps_m, certificate.eps_share) == (None, 0.02)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[corrector]\n", "corrector .*'pose_step'"),
        ("", "'corrector'"),
        ("[corector]\n", "'corector'; .* certificate, corrector"),
        (PAIR + "iteration = 3\n", "corrector.pose_step .*'iteration'; .*iterations"),
        (PAIR + 'iterations = "ten"\n', "pose_step.iterations .*'ten'"),
        (PAIR + 'iterations = "none"\n', "pose_step.iterations .*'none'"),
        (PAIR + "iterations = 0\n", "corrector.pose_step: .*iterations >= 1"),
        (PAIR.replace("Se3Step", "Newton"), "Se3Step or ZGradientStep, got 'Newton'"),
        (
            PAIR.replace("Se3Step", "ActiveShape"),
            "Se3Step or ZGradientStep, got 'ActiveShape'",
        ),
        ("[corrector]\npose_step = 3\n", "pose_step .*Se3Step.*3"),
        (
            '[corrector]\npose_step = { kind = "ZGradientStep", optimiser = "sgd" }\n',
            "optimiser .*'adam'.*'descent'.*'sgd'",
        ),
        (
            PAIR + '[corrector.shape_step]\nkind = "ActiveShape"\none_hot = true\nmix_by_size = true\n',
            "shape_step: .*one_hot",
        ),
        (PAIR + '[certificate]\neps_m = "none"\n', "certificate: .*eps_m"),
        (PAIR + "[certificate]\nquantile = 1.2\n", "certificate: .*quantile.*1.2"),
        ('certificate = "none"\nrounds\n', "TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=f"mine.toml.*{sentence}") as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["larger", "nowhere.toml", "none"])
def test_settings_that_are_not_there_name_those_that_are(source: str) -> None:
    with pytest.raises(
        InputError, match=f"there is no correction setting '{source}': .*bcd, default, nocs-bcd"
    ):
        load_correction(source)


def test_they_come_with_the_package() -> None:
    """The build lists what is no code; a pattern that misses the folder would leave the settings behind."""
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["crisp"]
    package = root / "src" / "crisp"
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    assert {package / "recipes" / "correct" / f"{name}.toml" for name in recipe_names("correct")} <= packed
