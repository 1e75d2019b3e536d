"""The demonstration: render objects on a table, estimate them, score them, and show it all on a page."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.console import Console

from crisp.cli.demo import Demo
from crisp.errors import InputError
from crisp.evaluate.calibrate import within_claim
from crisp.evaluate.metrics.add_s import ADD_S_POINTS
from crisp.evaluate.metrics.pose import add_s, rotation_error_deg, translation_error_m
from crisp.evaluate.metrics.shape import chamfer, sample_surface
from crisp.geometry.points import diameter
from crisp.model import Model
from crisp.output.console import error_table
from crisp.output.registry import sinks_named
from crisp.output.report import network_alone
from crisp.output.sink import FrameResults, ObjectTruth, Run, Sinks, Truth, prepare_folder, write_results
from crisp.synth.config import LookName
from crisp.synth.procedural import names, object_model
from crisp.synth.render.arrangement import Viewpoints
from crisp.synth.render.looks import look
from crisp.synth.render.tabletop import pictures
from crisp.types import Detection, Frame, ObjectModel, Result

# As in training, but not so far off that the objects would be small on the page.
VIEWPOINTS = Viewpoints(
    width=640,
    height=480,
    elevation_deg=(30.0, 55.0),
    distance_m=(0.7, 0.9),
    focal_px=(560.0, 620.0),
    roll_deg=(-4.0, 4.0),
)


@dataclass(frozen=True, eq=False)
class KnownObject:
    """An object of a scene and where it is.

    Args:
        visible_share: of its silhouette.
    """

    model: ObjectModel
    T_camera_object: Float[np.ndarray, "4 4"]
    visible_share: float


@dataclass(frozen=True, eq=False)
class DemoScene:
    """A frame with the truth; detections and objects line up."""

    frame: Frame
    detections: tuple[Detection, ...]
    objects: tuple[KnownObject, ...]


def run_demo(demo: Demo, *, console: Console | None = None) -> Path:
    """Render, estimate, score, and write `results.json`, meshes and `report.html`.

    Args:
        console: for progress and the table of errors; by default the terminal.

    Returns:
        The report's path.

    Raises:
        InputError: unusable weights or settings, a folder that cannot be written, or an impossible number of
            objects.
    """
    console = console or Console()
    prepare_folder(demo.out)
    model = demo.model.load()
    with console.status(f"rendering {demo.objects} objects on a table"):
        scene = demo_scene(seed=demo.seed, objects=demo.objects, look_name=demo.look)
    with console.status(f"estimating {len(scene.detections)} objects"):
        results = model.estimate(scene.frame, scene.detections)
    with console.status("scoring"):
        scored = _scored(model, scene, results)
        truths = _truths(scene, results, scored)
    with console.status("writing the report"):
        correct = demo.model.correct
        drawn = {"seed": demo.seed, "objects": demo.objects, "look": demo.look}
        run = Run(
            demo.out,
            model,
            settings={"demo": drawn | {"correct": correct}},
            origin={"scene": f"rendered, {demo.look} look, seed {demo.seed}", "corrector": correct},
        )
        found = FrameResults(scene.frame, scene.detections, results, truths, scored.starts)
        results_path, report = write_results(Sinks(sinks_named(("json", "report"))), run, found)
    console.print(error_table(results, truths))
    console.print(f"results: {results_path}\nreport:  {report}", highlight=False, soft_wrap=True)
    return report


@dataclass(frozen=True, eq=False)
class Scored:
    """What came of a scene's objects, one of each for an object.

    Args:
        starts: the estimates before the corrector.
        errors, errors_start: of the estimate, and of that; None where there is none.
    """

    starts: Sequence[Result | None]
    errors: Sequence[Truth | None]
    errors_start: Sequence[Truth | None]


def _scored(model: Model, scene: DemoScene, results: Sequence[Result]) -> Scored:
    starts = network_alone(model, results)
    pairs = zip(starts, scene.objects, strict=True)
    return Scored(
        starts,
        [score(result, known) for result, known in zip(results, scene.objects, strict=True)],
        [None if start is None else score(start, known) for start, known in pairs],
    )


def demo_scene(
    *, seed: int, objects: int, look_name: LookName, viewpoints: Viewpoints = VIEWPOINTS
) -> DemoScene:
    """A table with that many procedural objects, of different kinds as far as there are.

    Raises:
        InputError: fewer than 1 or more objects than there are, or a negative seed.
    """
    if not 1 <= objects <= len(names()):
        raise InputError(f"the demo can show 1 to {len(names())} objects, got {objects}.")
    if seed < 0:
        raise InputError(f"the seed must not be negative, got {seed}.")
    # A stream of its own: data sets mix their seed with their split's name in the same way.
    scene_seed = int(np.random.SeedSequence((seed, zlib.crc32(b"demo"))).generate_state(1)[0])
    models = choose_objects(objects, np.random.default_rng(scene_seed))
    picture = next(pictures(models, views=1, viewpoints=viewpoints, look=look(look_name), seed=scene_seed))
    seen = [item for item in picture.objects if item.mask_visible.any()]
    return DemoScene(
        frame=Frame(picture.rgb, picture.depth_m, picture.camera, frame_id=f"demo/{seed:06d}"),
        detections=tuple(Detection(item.mask_visible) for item in seen),
        objects=tuple(
            KnownObject(
                models[item.index], item.T_camera_object, float(item.mask_visible.sum() / item.mask.sum())
            )
            for item in seen
        ),
    )


def choose_objects(count: int, rng: np.random.Generator) -> tuple[ObjectModel, ...]:
    """Objects in random order, no kind again before every kind among those left had its turn."""
    order = [names()[index] for index in rng.permutation(len(names()))]
    chosen: list[ObjectModel] = []
    while len(chosen) < count:
        kinds: set[str] = set()
        for name in list(order):
            if len(chosen) == count:
                break
            model = object_model(name)
            if model.kind not in kinds:
                kinds.add(model.kind)
                chosen.append(model)
                order.remove(name)
    return tuple(chosen)


def score(result: Result, known: KnownObject) -> Truth | None:
    """Errors under the protocols add-s and chamfer-mm; None for an object that was not estimated."""
    T, T_true, symmetries = result.T_camera_object, known.T_camera_object, known.model.symmetries
    if result.status != "ok" or T is None:
        return None
    return Truth(
        add_s_m=add_s(sample_surface(known.model.mesh, ADD_S_POINTS), T, T_true),
        rotation_deg=rotation_error_deg(T, T_true, symmetries),
        translation_m=translation_error_m(T, T_true, symmetries),
        chamfer_m=None if result.mesh is None else chamfer(result.mesh, known.model.mesh).chamfer_m,
    )


def is_right(errors: Truth | None, known: KnownObject) -> bool:
    """Whether an estimate is what a certificate claims: pose and shape within shares of the diameter."""
    if errors is None or errors.chamfer_m is None:
        return False
    across_m = diameter(known.model.mesh.vertices)
    return within_claim(errors.add_s_m, errors.chamfer_m, diameter_m=across_m)


def _truths(scene: DemoScene, results: Sequence[Result], scored: Scored) -> list[ObjectTruth]:
    return [
        ObjectTruth(
            name=known.model.name,
            mesh=known.model.mesh,
            T_camera_object=known.T_camera_object,
            errors=error,
            errors_start=before,
            right=None if result.certificate is None else is_right(error, known),
            symmetric=not known.model.symmetries.none,
            visible_share=known.visible_share,
        )
        for known, result, error, before in zip(
            scene.objects, results, scored.errors, scored.errors_start, strict=True
        )
    ]
