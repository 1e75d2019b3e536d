"""The core stands without the packages of the extras, and says which extra a part of it needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distributions, requires
from inspect import getmodulename
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
MOST_PACKAGES = 55

# No finder finds what is not in the core, as if it were not installed.
BLOCK = """
import json, os, sys

class Without:
    names = set(json.loads(os.environ["BLOCKED"]))

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in self.names else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
"""


def closure(texts: Iterable[str]) -> set[str]:
    """The requirements and all that they require here, by canonical names."""
    found: set[str] = set()
    asked = [Requirement(text) for text in texts]
    while asked:
        requirement = asked.pop()
        extras = requirement.extras or {""}
        if requirement.marker and not requirement.marker.evaluate():
            continue
        name = canonicalize_name(requirement.name)
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key in found or name == "crisp-pose":
            continue
        found |= {name, key}
        for text in _requires(name):
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                inner.marker = None
                asked.append(inner)
    return {name for name in found if "[" not in name}


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # of another platform, such as the packages of a build of torch for GPUs
        return []


@pytest.fixture(scope="module")
def core() -> set[str]:
    return closure(PROJECT["dependencies"])


@pytest.fixture(scope="module")
def blocked(core: set[str]) -> list[str]:
    """What can be imported here and belongs to no distribution of the core."""
    ours = {*core, "crisp-pose"}
    names: dict[bool, set[str]] = {True: set(), False: set()}
    for found in distributions():
        names[canonicalize_name(found.metadata["Name"]) in ours] |= set(_importable(found))
    return sorted(names[False] - names[True])


def _importable(found: Distribution) -> Iterator[str]:
    for file in found.files or []:
        top = file.parts[0]
        name = top if len(file.parts) > 1 else getmodulename(top)
        if name is not None and name.isidentifier():
            yield name


def without_extras(program: str, blocked: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK + program],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=cwd,
        env=os.environ | {"BLOCKED": json.dumps(blocked), "OMP_NUM_THREADS": "1"},
    )


def test_the_core_is_light(core: set[str], blocked: list[str]) -> None:
    assert len(core) <= MOST_PACKAGES, sorted(core)
    own = {canonicalize_name(Requirement(text).name) for texts in EXTRAS.values() for text in texts}
    assert not {"manifold3d", "mitsuba", "libigl", "tensorboard", "matplotlib", "transformers"} & core
    assert {"mitsuba", "manifold3d", "igl", "tensorboard", "matplotlib", "huggingface_hub"} <= set(blocked)
    assert own - core - {"crisp-pose"}


def test_every_pinned_package_is_there() -> None:
    """The lock file pins all that the core and the extras need."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if line and not line.startswith("#")}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if line and not line.startswith("#"))
    texts = [*PROJECT["dependencies"], *(text for texts in EXTRAS.values() for text in texts)]
    assert closure(texts) <= pinned


def test_a_frame_is_estimated_without_any_extra(tmp_path: Path, blocked: list[str]) -> None:
    height, width = 72, 96
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(tmp_path / "rgb.png")
    Image.fromarray(np.full((height, width), 600, np.uint16)).save(tmp_path / "depth.png")
    mask = np.zeros((height, width), np.uint8)
    mask[20:50, 30:60] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    camera = {"cam_K": [120.0, 0, 48, 0, 120.0, 36, 0, 0, 1], "depth_scale": 1.0}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    files = "--rgb rgb.png --depth depth.png --camera camera.json --masks mask.png --out out"
    program = f"from crisp.cli import main; main({['estimate', *files.split()]})"
    ended = without_extras(program, blocked, tmp_path)
    assert ended.returncode == 0, ended.stderr
    (frame,) = json.loads((tmp_path / "out" / "results.json").read_text())["frames"]
    (found,) = frame["objects"]
    assert found["certificate"] is not None or found["status"] != "ok"
    assert (tmp_path / "out" / "report.html").is_file()


def test_only_the_renderers_own_files_need_an_extra_to_be_imported(
    tmp_path: Path, blocked: list[str]
) -> None:
    program = (
        "import pkgutil, importlib, crisp\n"
        "for found in pkgutil.walk_packages(crisp.__path__, 'crisp.', onerror=lambda name: None):\n"
        "    if found.name == 'crisp.__main__': continue\n"
        "    try: importlib.import_module(found.name)\n"
        "    except (ImportError, crisp.InputError): print(found.name)\n"
    )
    ended = without_extras(program, blocked, tmp_path)
    assert ended.returncode == 0, ended.stderr
    failed = ended.stdout.split()
    assert "crisp.synth.procedural" in failed
    assert {name for name in failed if not name.startswith("crisp.synth.")} <= {"crisp.cli.demo_scene"}


@pytest.mark.parametrize(
    ("extra", "program"),
    [
        ("synth", "from crisp.synth.procedural import catalogue"),
        ("synth", "from crisp.synth.render.scene import mitsuba; mitsuba()"),
        ("train", "from pathlib import Path; from crisp.learn.journal import Journal; Journal(Path('run'))"),
        (
            "report",
            "import numpy as np; from pathlib import Path; "
            "from crisp.certify.degeneracy import plot_over_keyframes as plot; "
            "plot(np.ones((1, 2)), np.ones((1, 2)), Path('a.png'))",
        ),
    ],
)
def test_a_missing_extra_is_named(tmp_path: Path, blocked: list[str], extra: str, program: str) -> None:
    ended = without_extras(
        f"from crisp.errors import InputError\ntry:\n    {program}\n"
        "except InputError as error:\n    print(error)",
        blocked,
        tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    assert f'pip install "crisp-pose[{extra}]"' in ended.stdout


def test_a_verb_that_needs_an_extra_ends_in_one_sentence(tmp_path: Path, blocked: list[str]) -> None:
    ended = without_extras("from crisp.cli import main; main(['demo'])", blocked, tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("crisp: ") and len(ended.stderr.splitlines()) == 1
    assert "crisp-pose[synth]" in ended.stderr
