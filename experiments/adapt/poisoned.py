"""Poisoned streams do no harm: the adapted weights score like the initial ones.

The bundled model adapts to streams of masks shifted by 40 pixels, of unknown objects, of depth in the wrong
unit, and of black images. It is scored (network alone) on the held-out hard set before and after each.

    python -m experiments.adapt.poisoned [--quick]
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from crisp.adapt.options import AdaptOptions
from crisp.adapt.run import adapt, audit_path
from crisp.adapt.snapshot import read_audit
from crisp.evaluate.metrics.pose import add_s
from crisp.evaluate.metrics.shape import sample_surface
from crisp.evaluate.metrics.statistics import auc
from crisp.model import Model, load_model
from crisp.pipeline import estimate
from crisp.stages import standard_stages, without_meshes
from crisp.synth.config import SynthesisConfig
from crisp.synth.procedural import catalogue, strangers
from crisp.synth.synthesise import synthesise
from crisp.types import Detection, Frame
from experiments.adapt.adaptation import recipe_of
from experiments.support.errors import POINTS
from experiments.support.evidence import RESULTS, Claim, write_evidence
from experiments.support.rendered_sets import MIN_VISIBLE, hard_set

SHIFT_PX = 40
SCENES, VIEWS, SEED = 12, 2, 5201


@dataclass(frozen=True)
class Poison:
    """One corruption of a stream, and the scenes that it is applied to."""

    name: str
    spoil: Callable[[Path], None]
    strange: bool = False


def shift_masks(scene: Path) -> None:
    """To the right, by `SHIFT_PX`."""
    for path in (*scene.glob("mask_visib/*.png"), *scene.glob("mask/*.png")):
        mask = np.array(Image.open(path))
        moved = np.zeros_like(mask)
        moved[:, SHIFT_PX:] = mask[:, :-SHIFT_PX]
        Image.fromarray(moved).save(path)


def scale_depth(factor: float) -> Callable[[Path], None]:
    """Depth as if the file's unit were misread."""

    def spoil(scene: Path) -> None:
        path = scene / "scene_camera.json"
        cameras = json.loads(path.read_text())
        for camera in cameras.values():
            camera["depth_scale"] *= factor
        path.write_text(json.dumps(cameras))

    return spoil


def blacken(scene: Path) -> None:
    """Every colour image."""
    for path in scene.glob("rgb/*"):
        Image.fromarray(np.zeros_like(np.array(Image.open(path)))).save(path)


POISONS = (
    Poison("masks shifted by 40 px", shift_masks),
    Poison("unknown objects alone", lambda scene: None, strange=True),
    Poison("depth ten times too far", scale_depth(10.0)),
    Poison("depth in metres taken for millimetres", scale_depth(0.001)),
    Poison("black images", blacken),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two frames of three objects a stream")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--work", type=Path, default=Path(".cache/poisoned"), help="renders and runs")
    parser.add_argument("--held-out", type=Path, default=Path(".cache/held_out"), help="renders of held_out")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    start = time.perf_counter()
    source = load_model(options.weights)
    before = scored(source, options)
    claims = [Claim("ADD-S AUC at 2 cm of the weights that went in", "report", before, unit="share")]
    told: dict[str, dict[str, int]] = {}
    for poison in POISONS:
        out = options.work / ("quick_" if options.quick else "") / poison.name.replace(" ", "_")
        root = spoilt(poison, options)
        adapted = load_model(
            adapt(
                recipe_of("default", options),
                AdaptOptions(dataset=root, split="stream", weights=options.weights, out=out),
            )
        )
        change = 100 * (scored(adapted, options) - before)
        claims.append(Claim(f"{poison.name}: change of it", ">= -1", change, unit="points"))
        told[poison.name] = said(out)
    print(json.dumps(told, indent=1))
    settings = {
        "frames": SCENES * VIEWS,
        "seed": SEED,
        "recipe": asdict(recipe_of("default", options)),
        "log": told,
        "model_sha256": source.sha256,
    }
    write_evidence(
        "adapt.poisoned",
        claims,
        settings=settings,
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def spoilt(poison: Poison, options: argparse.Namespace) -> Path:
    """A corrupted copy of a rendered stream."""
    kind = "strangers" if poison.strange else "known"
    scenes, views = (2, 1) if options.quick else (SCENES, VIEWS)
    clean = options.work / f"clean_{kind}_{scenes}x{views}"
    config = SynthesisConfig(split="stream", scenes=scenes, views_per_scene=views, look="hard", seed=SEED)
    if options.quick:
        config = replace(config, objects_per_scene=(3, 3))
    models = strangers() if poison.strange else catalogue()
    synthesise(models, out=clean, config=config, workers=options.workers)
    root = options.work / f"{poison.name.replace(' ', '_')}_{scenes}x{views}"
    if not root.exists():
        part = root.with_name(f".{root.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(clean, part)
        for scene in sorted((part / "stream").iterdir()):
            poison.spoil(scene)
        part.replace(root)
    return root


def scored(model: Model, options: argparse.Namespace) -> float:
    """ADD-S AUC at 2 cm of the network alone on the held-out hard set."""
    dataset, errors = hard_set(options), []
    truths: dict[int, np.ndarray] = {}
    for key in dataset.keys[:: 3 if options.quick else 1]:
        seen = [item for item in dataset.instances(key) if item.visib_fract >= MIN_VISIBLE]
        detections = [Detection(dataset.mask(key, item.index)) for item in seen]
        for item, T in zip(seen, poses(model, dataset.load_frame(key), detections), strict=True):
            if item.object_id not in truths:
                truths[item.object_id] = sample_surface(dataset.object(item.object_id).mesh, POINTS, seed=0)
            truth = truths[item.object_id]
            errors.append(np.inf if T is None else add_s(truth, T, item.T_camera_object))
    return auc(np.array(errors), 0.02)


def poses(model: Model, frame: Frame, detections: list[Detection]) -> list[np.ndarray | None]:
    """Estimates of network and registration for each mask, without corrector or mesh."""
    plain = replace(model, corrector=None, certificate=None)
    stages = without_meshes(standard_stages(plain.network, None, plain.settings))
    return [result.T_camera_object for result in estimate(frame, detections, stages)]


def said(out: Path) -> dict[str, int]:
    """Counts of the log's events."""
    lines = read_audit(audit_path(out))
    counts = Counter(line["fate"] for line in lines if line["event"] == "label")
    counts |= Counter(line["event"] for line in lines if line["event"] in ("step", "guard", "roll-back"))
    counts["frames that could not be read"] = sum(line["event"] == "frame" for line in lines)
    return dict(counts)


if __name__ == "__main__":
    main()
