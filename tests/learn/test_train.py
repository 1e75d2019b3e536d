"""`crisp train` as a whole on a small set: it ends with a usable model, and goes on where it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import crisp
from crisp.cli import main
from crisp.data.bop.reader import BopDataset
from crisp.errors import InputError
from crisp.learn import head_stage
from crisp.learn.options import TrainOptions
from crisp.learn.recipe import load_recipe
from crisp.learn.train import train
from crisp.model import BACKBONE, training_backbone
from crisp.networks.backbone import Backbone
from crisp.networks.checkpoint import load_checkpoint

RECIPE = """
name = "tiny"
preset = "small"
seed = 2
checkpoint_every = {every}

[decoder]
steps = {steps}
points = 64
eikonal_points = 8
learning_rate = 1e-3

[features]
versions = 1
tokens = 32

[heads]
steps = {steps}
batch = 4
tokens = 32
surface_weight = 10.0
surface_points = 16
"""


def recipe_file(folder: Path, *, steps: int = 4, every: int = 3) -> Path:
    path = folder / "tiny.toml"
    path.write_text(RECIPE.format(steps=steps, every=every))
    return path


def command(arguments: dict[str, str | Path], *flags: str) -> list[str]:
    options = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    return ["train", *options, *flags]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """With several threads sums may be taken in another order each time, and bits differ."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Distances and features, so that each is computed once for all these runs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def arguments(bop_root: Path, cache: Path, tmp_path: Path) -> dict[str, str | Path]:
    return {
        "dataset": bop_root,
        "out": tmp_path / "run",
        "recipe": recipe_file(tmp_path),
        "cache": cache,
        "share-backbone": BACKBONE,
    }


def run(arguments: dict[str, str | Path], *flags: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(command(arguments, *flags))
    return int(ended.value.code or 0)


def logged(folder: Path, stage: str, name: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if line["stage"] == stage and name in line]


def test_training_ends_with_a_model_that_estimates(
    arguments: dict[str, str | Path], tmp_path: Path, bop_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    folder = tmp_path / "run" / "checkpoint"
    assert capsys.readouterr().out == f"checkpoint: {folder}\n"
    model = crisp.load(str(folder), device="cpu")
    assert model.info.name == "tiny" and model.info.library.names == ("brick", "can")
    assert [s.none for s in model.info.symmetries] == [True, False]
    # The brick's space diagonal and the can's: 100, 60, 40 mm and 60, 80 mm.
    assert model.info.library.diameters_m.tolist() == pytest.approx([0.12329, 0.1], abs=1e-4)
    assert model.info.training["frames"] == 4 and model.info.training["dataset"] == "tiny"
    assert model.info.training["validation"]["pnc_error_median_m"] > 0
    assert model.network.config.cube_half_m == pytest.approx(0.055)
    assert (tmp_path / "run" / "tensorboard").is_dir()
    assert not (folder / "backbone.safetensors").exists()  # shared

    dataset = BopDataset(bop_root, "train")
    frame = dataset.load_frame(dataset.keys[0])
    results = model.estimate(frame, [dataset.mask(dataset.keys[0], i) for i in (0, 1)])
    assert len(results) == 2 and all(r.box_px is not None for r in results)

    # The library holds what the network says of the crops it was trained on, on average.
    codes = model.info.library.codes
    assert codes.shape == (2, 2560) and torch.isfinite(codes).all()
    assert not torch.equal(codes[0], codes[1])


def test_the_library_may_be_what_the_decoder_learnt(arguments: dict[str, str | Path], tmp_path: Path) -> None:
    recipe = Path(arguments["recipe"])
    recipe.write_text('library = "decoder"\n' + recipe.read_text())
    assert run(arguments) == 0
    state = load_file(tmp_path / "run" / "decoder.state.safetensors")
    library = crisp.load(str(tmp_path / "run" / "checkpoint"), device="cpu").info.library
    assert torch.equal(library.codes, state["module.codes"])


def test_another_recipe_does_not_go_on_in_its_folder(
    arguments: dict[str, str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"recipe": "another"}')
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "holds a run with another recipe or data set" in said


def test_a_preset_that_cannot_be_trained_in_stages_says_so_at_once(
    arguments: dict[str, str | Path], bop_root: Path, tmp_path: Path, cache: Path
) -> None:
    text = RECIPE.format(steps=2, every=1).replace("small", "paper")
    (tmp_path / "paper.toml").write_text(text)
    options = TrainOptions(dataset=bop_root, split="train", out=tmp_path / "run", cache=cache)
    recipe = load_recipe(str(tmp_path / "paper.toml"))
    with pytest.raises(InputError, match=r"preset paper can only be trained with \[joint\]"):
        train(recipe, options, training_backbone("bundled", preset_name="paper"))


def test_a_dry_run_leaves_the_folder_to_the_true_one(
    arguments: dict[str, str | Path], tmp_path: Path
) -> None:
    assert run(arguments, "--dry-run") == 0
    assert (tmp_path / "run" / "dry_run" / "checkpoint" / "checkpoint.json").is_file()
    assert not (tmp_path / "run" / "run.json").exists()


def test_one_batch_is_learnt_by_heart(arguments: dict[str, str | Path], tmp_path: Path) -> None:
    arguments["recipe"] = recipe_file(tmp_path, steps=101, every=1000)
    assert run(arguments, "--overfit-one-batch") == 0
    for stage, name in (("heads", "pnc"), ("decoder", "loss")):
        first, *_, last = logged(tmp_path / "run", stage, name)
        assert last < 0.6 * first, name


Heads = dict[str, torch.Tensor]


def heads_of(folder: Path) -> tuple[Heads, np.ndarray]:
    network, info = load_checkpoint(folder / "checkpoint")
    heads = {k: v for k, v in network.state_dict().items() if not k.startswith("backbone.")}
    return heads, info.library.codes.numpy()


def same(first: Path, second: Path) -> None:
    (heads, codes), (others, other_codes) = heads_of(first), heads_of(second)
    for name, value in heads.items():
        assert torch.equal(value, others[name]), name
    assert np.array_equal(codes, other_codes)
    final = [load_file(folder / "heads.state.safetensors") for folder in (first, second)]
    assert all(torch.equal(value, final[1][name]) for name, value in final[0].items())


@pytest.fixture(scope="module")
def start(
    bop_root: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory, backbone: Backbone
) -> Callable[[str], Path]:
    """Start, or go on with, a run of this name; returns its folder."""
    folder = tmp_path_factory.mktemp("runs")
    recipe = load_recipe(str(recipe_file(folder)))

    def started(name: str) -> Path:
        options = TrainOptions(
            dataset=bop_root, split="train", out=folder / name, cache=cache, share_backbone=BACKBONE
        )
        train(recipe, options, backbone)
        return folder / name

    return started


@pytest.fixture(scope="module")
def unbroken(start: Callable[[str], Path]) -> Path:
    return start("unbroken")


@pytest.mark.parametrize(
    ("owner", "name", "at"),
    [
        (torch.optim.Adam, "step", 4),  # of the decoder, one step after its state was written
        (torch.optim.AdamW, "step", 3),  # of the heads, before they have a state
        (head_stage, "validate", 2),  # at the very end
    ],
)
def test_a_broken_run_ends_as_the_unbroken_one(
    unbroken: Path,
    start: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    at: int,
) -> None:
    run_name = f"dies in {name} {at}"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, _dying(getattr(owner, name), at))
        with pytest.raises(KeyboardInterrupt):
            start(run_name)
    assert not (unbroken.with_name(run_name) / "checkpoint").exists()
    same(unbroken, start(run_name))


def _dying(true: Callable[..., object], at: int) -> Callable[..., object]:
    """The function, which dies instead of its `at`-th call."""
    calls = []

    def replaced(*arguments: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return true(*arguments, **named)

    return replaced


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_the_unbroken_one(bop_root: Path, tmp_path: Path) -> None:
    """SIGKILL at three random moments of real processes; nothing is shared with the unbroken run."""
    recipe = recipe_file(tmp_path, steps=150, every=10)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def start(name: str) -> subprocess.Popen[bytes]:
        given: dict[str, str | Path] = {"dataset": bop_root, "out": tmp_path / name, "recipe": recipe}
        program = [sys.executable, "-c", "from crisp.cli import main; main()"]
        return subprocess.Popen([*program, *command(given)], env=environment)

    assert start("whole").wait(timeout=600) == 0
    rng = np.random.default_rng(11)
    kills = 0
    for stage in ("decoder", "features", "heads"):
        process = start("broken")
        _wait_for(stage, tmp_path / "broken", process)
        time.sleep(rng.uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        kills += process.wait(timeout=60) == -signal.SIGKILL
    assert kills == 3  # none was over before it was killed
    assert start("broken").wait(timeout=600) == 0
    same(tmp_path / "whole", tmp_path / "broken")


def _wait_for(stage: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the run has something of this stage behind it."""
    mark = folder / ("cache/features" if stage == "features" else f"{stage}.state.safetensors")
    until = time.monotonic() + 300
    while not mark.exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
