"""The house holds: who may import whom, how large a file may grow, and what no file may be called."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "crisp"

# docs/architecture.md. The longest prefix of a module's name that stands here decides its level.
LEVELS = {
    "errors": 0,
    "progress": 0,
    "files": 0,
    "documents": 0,
    "shipped": 0,
    "geometry": 0,
    "types": 1,
    "crop": 2,
    "shape": 2,
    "sources.frames": 2,
    "networks": 3,
    "data": 3,
    "refine": 3,
    "certify": 3,
    "recipes": 4,
    "objects": 4,
    "pipeline": 4,
    "stages": 4,
    "tracking": 4,
    "model": 4,
    "sources": 5,
    "synth": 5,
    "learn": 5,
    "adapt": 5,
    "output": 5,
    "evaluate": 5,
    "doctor": 5,
    "cli": 6,
    "__main__": 6,
}
# Rooms that never import one another, although their levels would let them.
FORBIDDEN = {
    ("evaluate", "learn"): "scores must not depend on how a model was trained",
    ("evaluate", "adapt"): "nor on how it was adapted",
    ("networks", "data"): "a network knows nothing of files",
    ("networks", "refine"): "a network is corrected through its decoder's protocol alone",
    ("refine", "networks"): "the corrector is tested on analytic bodies, with no network",
    ("data", "networks"): "data sets are the same whatever network reads them",
    ("pipeline", "data"): "the figure runs on anyone's frames",
}
# The users' door: `Frame.from_files` opens a room above it when it is called.
DOORS = {("types", "sources.frames")}
LINES, FUNCTION_LINES, POSITIONAL, CRUMB = 450, 60, 3, 80
# A path that is larger than that, and why it is.
LARGER: dict[str, str] = {}
# A small file with a single importer that stays by itself, and why.
ALONE: dict[str, str] = {
    "evaluate.metrics.chamfer": "a metric is one file",
    "evaluate.stream": "only the command line joins adaptation with scores",
    "cli.demo": "a verb is one file, whose help imports no torch",
}
# Rooms of which each imports the other, and why.
TWO_WAY: dict[tuple[str, str], str] = {}
NO_ROOMS = {"utils", "util", "common", "misc", "helpers", "helper", "tools_", "stuff"}
DEVELOPERS_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work|mnt|tmp)/\w")


@dataclass(frozen=True)
class Import:
    """One import of ours; `lazy` where it stands in a function or under TYPE_CHECKING."""

    source: str
    target: str
    lazy: bool


def python_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def modules() -> dict[str, Path]:
    return {module_name(path): path for path in python_files()}


def room(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def placed(module: str) -> str:
    """The entry of LEVELS that decides a module's level; empty where none does."""
    parts = module.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in LEVELS), "")


@cache
def imports() -> tuple[Import, ...]:
    return tuple(
        found for name, path in modules().items() for found in _imports_of(name, tree(path), lazy=False)
    )


def _imports_of(name: str, node: ast.AST, *, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{name} has a relative import: write the whole name"
            yield from (Import(name, target, lazy) for target in _targets(child))
        elif isinstance(child, ast.Import):
            yield from (
                Import(name, alias.name.removeprefix("crisp").lstrip("."), lazy)
                for alias in child.names
                if alias.name.split(".")[0] == "crisp"
            )
        else:
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            )
            yield from _imports_of(name, child, lazy=lazy or deferred)


def _targets(node: ast.ImportFrom) -> set[str]:
    """`from crisp.a import b` is an import of the module a.b where there is one, else of a."""
    module = node.module or ""
    if module.split(".")[0] != "crisp":
        return set()
    within = module.removeprefix("crisp").lstrip(".")
    names = {f"{within}.{alias.name}".lstrip(".") for alias in node.names}
    return {name if name in modules() else within for name in names}


def test_the_parser_sees_imports() -> None:
    """So that the laws below cannot hold for want of anything to look at."""
    seen = {(i.source, i.target, i.lazy) for i in imports()}
    assert ("stages", "crop", False) in seen
    assert ("types", "sources.frames", True) in seen
    assert len(python_files()) > 50


def test_every_room_has_a_level_and_no_level_is_for_nothing() -> None:
    assert {name for name in modules() if name and not placed(name)} == set()
    assert {placed(name) for name in modules() if name} >= set(LEVELS) - {"sources"}


def test_the_page_gives_the_same_levels() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (.*?) \|", page, re.MULTILINE)
    shown = {name: int(level) for level, names in rows for name in re.findall(r"`([\w.]+)/?`", names)}
    assert shown == LEVELS


def test_imports_go_down_or_stay_in_their_room() -> None:
    wrong = [
        f"{i.source} (level {LEVELS[placed(i.source)]}) imports {i.target} (level {LEVELS[placed(i.target)]})"
        for i in imports()
        if i.source
        and i.target
        and not (i.lazy and (i.source, i.target) in DOORS)
        and LEVELS[placed(i.target)] > LEVELS[placed(i.source)]
    ]
    assert wrong == []


def test_some_rooms_never_meet() -> None:
    met = {(room(i.source), room(i.target)) for i in imports()}
    assert {pair: why for pair, why in FORBIDDEN.items() if pair in met} == {}


def test_no_cycles_at_import_time() -> None:
    edges: dict[str, set[str]] = {name: set() for name in modules()}
    for found in imports():
        if not found.lazy and found.target != found.source:
            edges[found.source].add(found.target)
    done: set[str] = set()
    for start in edges:
        _walk(start, edges, done=done, trail=())


def _walk(name: str, edges: dict[str, set[str]], *, done: set[str], trail: tuple[str, ...]) -> None:
    assert name not in trail, f"a cycle: {' -> '.join((*trail[trail.index(name) :], name))}"
    if name in done:
        return
    for target in sorted(edges[name]):
        _walk(target, edges, done=done, trail=(*trail, name))
    done.add(name)


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    """Every function of a file: its place, itself, and whether it is a method."""
    name = path.relative_to(PACKAGE).as_posix()
    methods = {
        child for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef) for child in node.body
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}:{node.name}", node, node in methods


@pytest.mark.parametrize("path", python_files(), ids=module_name)
def test_files_and_functions_are_of_a_readable_size(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LINES or name in LARGER, f"{name} has {lines} lines"
    source = tree(path)
    assert ast.get_docstring(source) or not source.body, f"{name} has no docstring"
    for place, node, _ in functions(path):
        length = (node.end_lineno or 0) - node.lineno + 1
        assert length <= FUNCTION_LINES or place in LARGER, f"{place} has {length} lines"


# PyTorch fixes what these two take.
FIXED_BY_TORCH = {"forward", "backward"}


@pytest.mark.parametrize("path", python_files(), ids=module_name)
def test_arguments_beyond_the_third_have_their_names_at_the_call(path: Path) -> None:
    for place, node, method in functions(path):
        taken = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        taken = taken[1:] if method and taken[:1] in (["self"], ["cls"], ["ctx"]) else taken
        assert len(taken) <= POSITIONAL or node.name in FIXED_BY_TORCH, f"{place} takes {taken}"


def test_a_crumb_belongs_to_its_only_importer() -> None:
    importers: dict[str, set[str]] = {}
    for found in imports():
        importers.setdefault(found.target, set()).add(found.source)
    crumbs = {
        name
        for name, path in modules().items()
        if path.stem != "__init__"
        and len(path.read_text(encoding="utf-8").splitlines()) < CRUMB
        and len(importers.get(name, set()) - {room(name)}) == 1
    }
    assert crumbs == set(ALONE)


def test_rooms_depend_on_each_other_one_way() -> None:
    """Two rooms may not need each other, not even through different files."""
    found = [i for i in imports() if not i.lazy and i.source and i.target]
    # What decides a level is a room here: sources.frames reads files for data, sources.masks asks data.
    edges = {(placed(i.source), placed(i.target)) for i in found}
    both = {tuple(sorted(pair)) for pair in edges if pair[0] != pair[1] and pair[::-1] in edges}
    assert both == set(TWO_WAY)


def test_functions_are_short_in_the_median() -> None:
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in python_files()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[len(lengths) // 2] <= 14


def test_exceptions_are_still_needed() -> None:
    names = {path.relative_to(PACKAGE).as_posix() for path in python_files()}
    assert all(name.split(":")[0] in names and reason for name, reason in LARGER.items())


def test_rooms_are_named_for_what_lives_there() -> None:
    parts = {part for name in modules() for part in name.split(".")}
    assert not parts & NO_ROOMS


def test_no_file_knows_a_developers_machine() -> None:
    folders = [
        PACKAGE,
        ROOT / "tests",
        ROOT / "experiments",
        ROOT / "benchmarks",
        ROOT / "examples",
        ROOT / "scripts",
    ]
    endings = {".py", ".toml", ".md", ".sh", ".json", ".yml", ".yaml", ".cfg"}
    files = [p for folder in folders if folder.is_dir() for p in folder.rglob("*") if p.suffix in endings]
    files += [p for p in ROOT.iterdir() if p.is_file() and (p.suffix in endings or p.name == "Makefile")]
    found = {
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in files
        if path != Path(__file__)
        for match in DEVELOPERS_PATH.finditer(path.read_text(encoding="utf-8", errors="replace"))
    }
    assert found == set()


def test_modules_hold_no_state() -> None:
    """No `global`, and no list, dictionary or set that a module fills as it goes."""
    wrong = []
    for name, path in modules().items():
        wrong += [f"{name}: global" for node in ast.walk(tree(path)) if isinstance(node, ast.Global)]
        for node in tree(path).body:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if isinstance(value, ast.List | ast.Set | ast.Dict) and not getattr(
                value, "elts", getattr(value, "keys", ())
            ):
                wrong.append(f"{name}: an empty container")
    assert wrong == []


def test_no_pickle() -> None:
    """NOCS ships pickles: one module reads them, with an unpickler that answers no name but NumPy's."""
    for name, path in modules().items():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"torch\.(save|load)\(|pickle\.loads?\(", text), name
        assert name == "data.plain_pickle" or not re.search(r"import pickle|from pickle", text), name
