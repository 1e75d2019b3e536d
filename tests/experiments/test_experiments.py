"""Every experiment and benchmark finds what it imports; to run them takes minutes and hours."""

from __future__ import annotations

import ast
import importlib
import json
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for folder in ("experiments", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.stem != "__init__"
}
RESULTS = sorted(
    path for folder in ("experiments", "benchmarks") for path in ROOT.glob(f"{folder}/results/*.json")
)


@pytest.mark.parametrize("name", FILES)
def test_it_imports(name: str) -> None:
    importlib.import_module(name)


def imports(path: Path) -> set[str]:
    """Of experiments and benchmarks, wherever they stand in the file, those for types alone among them."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return {node.module for node in nodes if node.module in FILES}


def test_neither_modules_nor_groups_import_one_another_in_circles() -> None:
    modules = {name: imports(path) for name, path in FILES.items()}
    list(TopologicalSorter(modules).static_order())
    groups: dict[str, set[str]] = {}
    for name, used in modules.items():
        group = name.rpartition(".")[0]
        groups.setdefault(group, set()).update({other.rpartition(".")[0] for other in used} - {group})
    list(TopologicalSorter(groups).static_order())
    assert groups["experiments.support"] == set()


def test_names_are_unique_over_all_groups() -> None:
    stems = [path.stem for name, path in FILES.items() if name.startswith("experiments.")]
    assert len(stems) == len(set(stems))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_command_in_a_result_is_there(path: Path) -> None:
    python, flag, module = json.loads(path.read_text())["command"].split()[:3]
    assert (python, flag) == ("python", "-m")
    assert FILES[module].stem == path.stem.removesuffix("_quick")
