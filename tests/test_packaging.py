"""What is built is what is installed: sdist and wheel, in a fresh environment outside the repository."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
BUILD = "import setuptools.build_meta as b, sys; b.build_sdist(sys.argv[1])"

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=1500
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of what git tracks, so that what lies about in the working tree does not help."""
    folder = tmp_path_factory.mktemp("sdist")
    tracked = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    with tarfile.open(folder / "tree.tar", "w") as tar:
        for name in tracked:
            if name and (ROOT / name).is_file() and not name.startswith(("experiments/", "docs/")):
                tar.add(ROOT / name, arcname=f"tree/{name}")
    with tarfile.open(folder / "tree.tar") as tar:
        tar.extractall(folder, filter="data")
    run(sys.executable, "-c", BUILD, folder, cwd=folder / "tree")
    (found,) = folder.glob("crisp_pose-*.tar.gz")
    return found


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, as whoever packages it would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(sys.executable, *command, "--wheel-dir", folder, sdist, cwd=folder)
    (found,) = folder.glob("crisp_pose-*.whl")
    return found


def test_the_wheel_holds_what_runs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"crisp", "crisp_pose"}
    assert "crisp/py.typed" in names
    for path in (ROOT / "src" / "crisp").rglob("*"):
        if path.is_file() and path.suffix in (".py", ".toml", ".html", ".css", ".safetensors"):
            assert f"crisp/{path.relative_to(ROOT / 'src' / 'crisp')}" in names


def test_it_installs_and_estimates_outside_the_repository(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    python, crisp = home / "bin" / "python", home / "bin" / "crisp"
    constraint = ("--constraint", ROOT / "requirements.lock")
    run(python, "-m", "pip", "install", "--quiet", *constraint, wheel, cwd=tmp_path)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    assert "model bundled:" in run(crisp, "info", cwd=tmp_path)
    write_frame(tmp_path)
    files = "--rgb rgb.png --depth depth.png --camera camera.json --masks mask.png --out out"
    assert "1 of 1 objects estimated" in run(crisp, "estimate", *files.split(), cwd=tmp_path)
    (frame,) = json.loads((tmp_path / "out" / "results.json").read_text())["frames"]
    assert [found["status"] for found in frame["objects"]] == ["ok"]


def write_frame(folder: Path) -> None:
    """A bump of 6 cm before a wall."""
    height, width = 120, 160
    y, x = np.mgrid[:height, :width]
    r2 = ((x - 80) ** 2 + (y - 60) ** 2) / 25.0**2
    depth_mm = np.where(r2 < 1, 600 - 60 * np.sqrt(np.clip(1 - r2, 0, 1)), 700).astype(np.uint16)
    rgb = np.where(r2[..., None] < 1, [200, 60, 40], [120, 120, 120]).astype(np.uint8)
    Image.fromarray(rgb).save(folder / "rgb.png")
    Image.fromarray(depth_mm).save(folder / "depth.png")
    Image.fromarray((255 * (r2 < 1)).astype(np.uint8)).save(folder / "mask.png")
    camera = {"cam_K": [200.0, 0, 80, 0, 200.0, 60, 0, 0, 1], "depth_scale": 1.0}
    (folder / "camera.json").write_text(json.dumps(camera))
