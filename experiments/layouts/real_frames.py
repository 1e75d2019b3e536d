"""Read real frames of four data sets with our readers, and check them with the doctor.

The folder holds `ycbv`, `lmo`, `dexycb` (BOP's layout; dexycb has the models of ycbv),
`nocs/real_train_scene_1`, `nocs/camera_train_00000` (one frame each, with `0000_gt.json` that names meshes in
`../categories`), and `d435_mug` (a frame without intrinsics). Without the folder nothing is measured.

    python -m experiments.layouts.real_frames --data FOLDER [--quick]
    CRISP_REAL_FRAMES=FOLDER python -m experiments.layouts.real_frames
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crisp.data.bop.reader import BopDataset
from crisp.data.dataset import Dataset
from crisp.data.mesh_files import obj_text, read_surface
from crisp.data.nocs.files import CATEGORIES, SYNSETS
from crisp.data.nocs.reader import NocsDataset
from crisp.doctor.frames import check_files
from crisp.doctor.sets import SetDiagnosis, check_split
from crisp.sources.frame_files import FrameFiles
from crisp.types import Mesh
from experiments.support.evidence import RESULTS, Claim, write_evidence

VARIABLE = "CRISP_REAL_FRAMES"
BOUND_MM = 8.0
SCENES = {"real_train": ("real_train_scene_1", "real/train/scene_1"),
          "camera_train": ("camera_train_00000", "camera/train/00000")}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two frames of each set")
    parser.add_argument("--data", type=Path, default=os.environ.get(VARIABLE))
    options = parser.parse_args()
    if options.data is None or not Path(options.data).is_dir():
        print(f"skipped: there are no real frames at {options.data}; give --data FOLDER, or set {VARIABLE}.")
        return
    start = time.perf_counter()
    most = 2 if options.quick else 1000
    data = Path(options.data)
    with tempfile.TemporaryDirectory() as folder:
        examined = [examine(name, d, most) for name, d in datasets(data, Path(folder)).items()]
        claims = [claim for found in examined for claim in claims_of(found)]
        claims += overall(examined) + fits(data, Path(folder))
    claims += own_frame(data / "d435_mug")
    write_evidence(
        "layouts.real_frames",
        claims,
        settings={"sets": [found.name for found in examined] + ["d435_mug"], "most_frames": most},
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def datasets(data: Path, folder: Path) -> dict[str, Dataset]:
    """All sets that are present, each in its own layout."""
    models = data / "ycbv" / "models"
    found: dict[str, Dataset] = {
        "ycbv train_real": BopDataset(data / "ycbv", "train_real"),
        "ycbv test": BopDataset(data / "ycbv", "test"),
        "lmo test": BopDataset(data / "lmo", "test"),
        "dexycb test": BopDataset(data / "dexycb", "test", models=models),
    }
    for split in SCENES:
        lay_out(data, folder / split, split)
        found[f"nocs {split}"] = NocsDataset(folder / split, split)
    return found


def lay_out(data: Path, root: Path, split: str) -> None:
    """NOCS's own folders, with the meshes that we have of its models."""
    source, place = SCENES[split]
    (root / place).parent.mkdir(parents=True)
    (root / place).symlink_to((data / "nocs" / source).resolve(), target_is_directory=True)
    for entry in truths(data, split):
        if not entry.get("mesh"):
            continue
        mesh = read_surface(data.parent / entry["mesh"])
        lengths = np.ptp(mesh.vertices, axis=0)
        diagonal = float(np.linalg.norm(lengths))
        centre = (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2
        content = obj_text(Mesh((mesh.vertices - centre) / diagonal, mesh.faces), name=entry["model"])
        if split == "real_train":
            folder = root / "obj_models" / "real_train"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{entry['model']}.obj").write_bytes(content)
            (folder / f"{entry['model']}.txt").write_text("\n".join(map(str, lengths)))
        else:
            synset = SYNSETS[CATEGORIES.index(entry["category"])]
            folder = root / "obj_models" / "train" / synset / entry["model"]
            folder.mkdir(parents=True)
            (folder / "model.obj").write_bytes(content)


def truths(data: Path, split: str) -> list[dict[str, Any]]:
    """The independent pose fits stored beside the frame."""
    return json.loads((data / "nocs" / SCENES[split][0] / "0000_gt.json").read_text())["objects"]


@dataclass(frozen=True, eq=False)
class Examined:
    """A set, the doctor's findings, and how many of its frames load."""

    name: str
    frames: int
    loaded: int
    labelled: int
    invisible: int
    diagnosis: SetDiagnosis


def examine(name: str, dataset: Dataset, most: int) -> Examined:
    diagnosis = check_split(dataset, most_frames=most)
    failed = sum(f.check in ("images", "labels", "frames") for f in diagnosis.faults)
    frames = min(len(dataset.keys), most)
    keys = dataset.keys[:most]
    instances = [(key, i) for key in keys for i in dataset.instances(key)]
    gone = sum(len(dataset.label_faults(key)) for key in keys)
    empty = sum(not dataset.mask(key, i.index).any() for key, i in instances)
    return Examined(name, frames, frames - failed, len(instances) + gone, empty + gone, diagnosis)


def claims_of(found: Examined) -> list[Claim]:
    distances = np.array([1000 * c.agreement.depth_distance_m for c in found.diagnosis.checked])
    distances = distances[np.isfinite(distances)]
    return [
        Claim(f"{found.name}: frames", "report", float(found.frames), unit="frames"),
        Claim(f"{found.name}: objects compared", "report", float(len(distances)), unit="objects"),
        Claim(
            f"{found.name}: largest median distance of an object's visible model points to the depth",
            f"< {BOUND_MM:g}",
            float(distances.max()),
            unit="mm",
        ),
        Claim(f"{found.name}: median of those medians", "report", float(np.median(distances)), unit="mm"),
    ]


def overall(examined: list[Examined]) -> list[Claim]:
    """Loading, and objects without a pixel."""
    frames, loaded = sum(f.frames for f in examined), sum(f.loaded for f in examined)
    said = sum(
        "no visible pixel" in finding.sentence for found in examined for finding in found.diagnosis.findings
    )
    invisible = sum(found.invisible for found in examined)
    return [
        Claim("share of all labelled frames that load", ">= 1", loaded / frames, unit="share"),
        Claim("labelled objects without a visible pixel", "report", float(invisible), unit="objects"),
        Claim("of these, share that the doctor names", ">= 1", said / max(invisible, 1), unit="share"),
    ]


def fits(data: Path, folder: Path) -> list[Claim]:
    """Our poses of NOCS's objects against independent fits, which also estimated the size."""
    turns, shifts = [], []
    for split in SCENES:
        dataset = NocsDataset(folder / split, split)
        (key,) = dataset.keys
        known = {entry["model"]: entry for entry in truths(data, split)}
        for instance in dataset.instances(key):
            if instance.object_id not in dataset.object_ids:
                continue
            entry = known[dataset.object(instance.object_id).name]
            R, t = np.array(entry["R"]), np.array(entry["t"])
            cosine = (np.trace(R.T @ instance.T_camera_object[:3, :3]) - 1) / 2
            turns.append(float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))))
            shifts.append(1000 * float(np.linalg.norm(instance.T_camera_object[:3, 3] - t)))
    return [
        Claim("nocs: largest turn against an independent fit", "report", max(turns), unit="degrees"),
        Claim("nocs: largest shift against an independent fit", "report", max(shifts), unit="mm"),
    ]


def own_frame(folder: Path) -> list[Claim]:
    """A frame without intrinsics: all else is read, and the doctor names what is missing."""
    rgb, depth, mask = (folder / f"0000-{name}.png" for name in ("color", "depth", "mask"))
    diagnosis = check_files(FrameFiles(rgb=rgb, depth=depth, masks=(mask,)))
    missing = [f for f in diagnosis.faults if "K is missing" in f.sentence]
    read = {f.check for f in diagnosis.findings if f.level == "found"}
    return [
        Claim("d435_mug: the doctor says that K is missing", ">= 1", float(len(missing)), unit="sentences"),
        Claim("d435_mug: other faults", "<= 0", float(len(diagnosis.faults) - len(missing)), unit="faults"),
        Claim(
            "d435_mug: of colour, depth range and mask, read all the same",
            ">= 3",
            float(len(read & {"colour", "depth range", "masks"})),
            unit="files",
        ),
    ]


if __name__ == "__main__":
    main()
