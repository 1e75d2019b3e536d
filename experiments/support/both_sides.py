"""The frames that two checkouts answer for, and their answers, kept in a cache by commit and content."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SPLITS = ("ycbv/train_real", "ycbv/test", "realsense/test", "lmo/test", "dexycb/test")
SINGLE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
DEMO = "demo"
FEW = (DEMO, "ycbv/test/000051/000013")  # rendered and real, for settings that take seconds an object


@dataclass(frozen=True)
class Shot:
    """The files of one frame.

    Args:
        name: also the frame's id.
        group: the data set's split that it is of.
        first: whether it is its scene's first.
        meshes: whether meshes are made in full; if not, coarsely, which saves half of the time.
    """

    name: str
    group: str
    rgb: Path
    depth: Path
    camera: Path
    masks: tuple[Path, ...]
    first: bool
    meshes: bool = False

    def digest(self) -> str:
        """Eight digits that change with what the files hold."""
        files = (self.rgb, self.depth, self.camera, *self.masks)
        return digest_of(str(self.meshes).encode(), *(path.read_bytes() for path in files))[:8]


def digest_of(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def shots(data: Path, cache: Path, *, before: Path) -> list[Shot]:
    """The demo scene, rendered once by the older checkout, and all real frames that are there."""
    demo = cache / "demo"
    if not demo.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            run_with(before, HERE / "demo_files.py", str(Path(folder) / "demo"))
            (Path(folder) / "demo").rename(demo)
    masks = tuple(sorted((demo / "masks").iterdir()))
    found = [Shot(DEMO, DEMO, demo / "rgb.png", demo / "depth.npy", demo / "camera.json", masks, first=True)]
    for split in SPLITS:
        for scene in sorted(path.parent for path in (data / split).glob("*/scene_camera.json")):
            found += scene_shots(scene, split, cache)
    return found


def scene_shots(scene: Path, split: str, cache: Path) -> list[Shot]:
    """The frames of one scene in BOP's layout; each camera becomes a file of its own."""
    found = []
    cameras = json.loads((scene / "scene_camera.json").read_text())
    for number in sorted(map(int, cameras)):
        name = f"{split}/{scene.name}/{number:06d}"
        camera = cache / "cameras" / f"{name}.json"
        camera.parent.mkdir(parents=True, exist_ok=True)
        camera.write_text(json.dumps(cameras[str(number)]))
        rgb = next((scene / "rgb").glob(f"{number:06d}.*"))
        depth = next((scene / "depth").glob(f"{number:06d}.*"))
        masks = tuple(sorted((scene / "mask_visib").glob(f"{number:06d}_*.png")))
        found.append(Shot(name, split, rgb, depth, camera, masks, first=not found))
    return found


def chosen(setting: str, given: Sequence[Shot]) -> list[Shot]:
    """The frames that a setting is tried on: all, or fewer the longer it takes.

    Meshes are made in full with "own" on the first frame of each scene.
    """
    if setting == "own":
        return [replace(shot, meshes=shot.first) for shot in given]
    if setting in ("none", "default"):
        return list(given)
    if setting == "bcd":
        return list({shot.group: shot for shot in reversed(given)}.values())[::-1]
    few = [shot for shot in given if shot.name in FEW]
    if setting == "search":  # which is ycbv-small's own
        return few
    most = 3 if setting.startswith("ycbv-") else 2
    return [replace(shot, masks=shot.masks[:most]) for shot in few]


def settings_of(checkout: Path) -> list[str]:
    """Names of all corrector settings that a checkout has."""
    found = sorted(path.stem for path in (checkout / "src" / "crisp").glob("**/correct/*.toml"))
    return ["own", "none", *found]


@dataclass(frozen=True)
class Side:
    """A checkout whose answers are kept in a folder of their own."""

    checkout: Path
    commit: str
    folder: Path

    @classmethod
    def of(cls, checkout: Path, cache: Path) -> Side:
        files = sorted(p for p in (checkout / "src").rglob("*") if p.is_file() and p.suffix != ".pyc")
        content = digest_of(*(str(p.relative_to(checkout)).encode() + p.read_bytes() for p in files))[:8]
        git = ["git", "-C", str(checkout), "rev-parse", "--short=7", "HEAD"]
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
        return cls(checkout.resolve(), commit, cache / f"{commit}-{content}")

    def path(self, model: str, setting: str, shot: Shot) -> Path:
        name = f"{shot.name.replace('/', '_')}-{shot.digest()}.json"
        return self.folder / f"{model}_{setting}" / name

    def answer(self, model: str, setting: str, given: Sequence[Shot]) -> dict[str, dict[str, Any]]:
        """Answers by frame; what was answered before is taken from the cache."""
        paths = {shot.name: self.path(model, setting, shot) for shot in given}
        missing = [_job_entry(s, paths[s.name]) for s in given if not paths[s.name].exists()]
        if missing:
            job = {"checkout": str(self.checkout), "model": model, "setting": setting, "frames": missing}
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", suffix=".json", dir=self.folder) as file:
                json.dump(job, file)
                file.flush()
                run_with(self.checkout, HERE / "one_side.py", file.name)
        return {name: json.loads(path.read_text()) for name, path in paths.items()}

    def answer_all(
        self, models: Sequence[str], settings: Sequence[str], given: Sequence[Shot]
    ) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
        """Answers by model and setting, then by frame."""
        found = {}
        for setting in settings:
            for model in models:
                print(f"{self.commit}: {model}, {setting}", flush=True)
                found[model, setting] = self.answer(model, setting, chosen(setting, given))
        return found


def _job_entry(shot: Shot, out: Path) -> dict[str, Any]:
    files = {kind: str(getattr(shot, kind).resolve()) for kind in ("rgb", "depth", "camera")}
    masks = [str(path.resolve()) for path in shot.masks]
    return {"name": shot.name, **files, "masks": masks, "meshes": shot.meshes, "out": str(out.resolve())}


def run_with(checkout: Path, script: Path, argument: str) -> None:
    """A script with the package of a checkout, on one thread.

    Raises:
        subprocess.CalledProcessError: the script failed; it has said why.
    """
    environment = os.environ | SINGLE_THREAD | {"PYTHONPATH": str(checkout.resolve() / "src")}
    command = [sys.executable, "-P", str(script.resolve()), argument]
    subprocess.run(command, env=environment, cwd=checkout, check=True)
