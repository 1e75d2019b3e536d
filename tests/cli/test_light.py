"""What is loaded to say what the command can do: next to nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "mitsuba", "matplotlib", "scipy", "transformers", "numpy", "trimesh", "rich"}
LOADED = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "


def loaded(program: str) -> set[str]:
    """The top-level packages that a program has loaded when it ends."""
    ended = subprocess.run(
        [sys.executable, "-c", LOADED + program], capture_output=True, text=True, timeout=120, check=True
    )
    return {name.split(".")[0] for name in ended.stderr.split()}


@pytest.mark.parametrize("line", ["--help", "--version", "help", "evaluate --help"])
def test_what_the_command_says_of_itself(line: str) -> None:
    found = loaded(f"from crisp.cli import main; main({line.split()})")
    assert "crisp" in found and not found & {*HEAVY, "tyro"}


@pytest.mark.parametrize(
    "line", ["estimate --help", "help synthesise", "train --help", "evaluate score -h", "adapt -h"]
)
def test_what_a_verb_says_of_itself(line: str) -> None:
    found = loaded(f"from crisp.cli import main; main({line.split()})")
    assert "tyro" in found and not found & (HEAVY - {"numpy"})


def test_the_package_itself() -> None:
    assert not loaded("import crisp; crisp.InputError; crisp.__version__; dir(crisp)") & {*HEAVY, "tyro"}
    assert "torch" in loaded("import crisp; crisp.Frame")


def test_public_names() -> None:
    import crisp

    assert {name for name in crisp.__all__ if getattr(crisp, name) is None} == set()
    assert set(crisp.__all__) <= set(dir(crisp))
    with pytest.raises(AttributeError, match="Frames"):
        crisp.Frames  # type: ignore[attr-defined]  # noqa: B018
