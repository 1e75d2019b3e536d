"""The verbs of the command line. Heavy imports stay inside the verb that needs them.

Bad input ends in one sentence on standard error and exit code 2, never in a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from crisp.cli.adapt import adapt, adapt_demo
from crisp.cli.evaluate import plot, predict, score, table
from crisp.config import Adapt, Calibrate, Demo, Doctor, Estimate, Info, Plot, Predict, Score, Table, Train
from crisp.errors import InputError

if TYPE_CHECKING:
    from crisp.config_synthesise import Synthesise
    from crisp.types import ObjectModel

BAD_INPUT = frozenset({"mask_unreadable", "mask_empty", "mask_size", "depth_missing", "too_few_points"})


@dataclass(frozen=True)
class Verb:
    """A verb of the command line: the record that holds its settings, and what it does with them."""

    settings: Callable[[], Any]
    run: Callable[[Any], int]
    says: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `crisp`."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # our own bars are enough
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _dispatch(given)
    except InputError as error:
        print(f"crisp: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("crisp: interrupted; what was finished is kept.", file=sys.stderr)
        code = 130
    sys.exit(code)


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        print(_overview())
        return 0
    name = " ".join(given[:2]) if given[0] == "evaluate" else given[0]
    verb = VERBS.get(name)
    if verb is None:
        raise InputError(f"there is no verb '{name}': choose one of {', '.join(VERBS)}.")
    rest = given[len(name.split()) :]
    return verb.run(tyro.cli(verb.settings(), prog=f"crisp {name}", description=verb.says, args=rest))


def _overview() -> str:
    lines = ["usage: crisp VERB [options]    (crisp VERB --help explains each)", ""]
    return "\n".join(lines + [f"  {name:18} {verb.says}" for name, verb in VERBS.items()])


def demo(config: Demo) -> int:
    """Render, estimate, score, report."""
    if config.adapt:
        return adapt_demo(config)
    from crisp.cli.demo import run_demo

    run_demo(
        config.out,
        weights=config.weights,
        seed=config.seed,
        objects=config.objects,
        look=config.look,
        correct=config.correct,
    )
    return 0


def estimate(config: Estimate) -> int:
    """Pose and shape of objects: in one frame of your own, or in every frame of a data set."""
    own = (config.rgb, config.depth, config.camera)
    if config.dataset is not None:
        if any(path is not None for path in own) or config.masks:
            raise InputError("give either --dataset or --rgb, --depth, --camera and --masks, not both.")
        return predict(
            Predict(
                dataset=config.dataset,
                out=config.out,
                split=config.split,
                weights=config.weights,
                frames=config.frames,
                tracks=config.tracks,
                correct=config.correct,
            )
        )
    if config.tracks is not None:
        raise InputError("--tracks needs --dataset: a single frame has no others to learn from.")
    if config.rgb is None or config.depth is None or config.camera is None or not config.masks:
        raise InputError("give --rgb, --depth, --camera and --masks, or --dataset.")
    return _estimate_frame(config, config.rgb, config.depth, config.camera)


def _estimate_frame(config: Estimate, rgb: Path, depth: Path, camera: Path) -> int:
    from crisp.model import load_model
    from crisp.output.report import compare, origin_of, write_report
    from crisp.output.results import FrameResults, ResultsWriter
    from crisp.sources.frames import read_detection
    from crisp.types import Frame

    frame = Frame.from_files(rgb, depth, camera)
    detections = [read_detection(path) for path in config.masks]
    model = load_model(config.weights).with_correction(config.correct)
    writer = ResultsWriter(config.out, model, {"masks": [path.name for path in config.masks]})
    results = model.estimate(frame, detections)
    writer.add(FrameResults(frame.frame_id, frame.camera, results))
    path = writer.write()
    write_report(
        config.out / "report.html",
        frame,
        results,
        origin=origin_of(model, {"image": rgb.name}, correct=config.correct),
        comparisons=compare(model, frame, detections, results=results),
    )
    for mask, result in zip(config.masks, results, strict=True):
        if result.status != "ok":
            print(f"crisp: {mask.name}: {result.message}", file=sys.stderr)
    found = f"{sum(r.status == 'ok' for r in results)} of {len(results)} objects estimated"
    if model.certificate is not None:
        found += f", {sum(r.certificate is not None and r.certificate.certified for r in results)} certified"
    print(f"{found}; see {path}")
    return 2 if any(result.status in BAD_INPUT for result in results) else 0


def synthesise(config: Synthesise) -> int:
    """Render a data set."""
    from crisp.output.results import prepare_folder
    from crisp.synth.synthesise import ScenesFailedError, synthesise

    models = _models(config)
    prepare_folder(config.out)
    try:
        synthesise(models, out=config.out, config=config.render, workers=config.workers)
    except ScenesFailedError as error:
        print(f"crisp: {error}", file=sys.stderr)
        return 1
    return 0


def _models(config: Synthesise) -> Sequence[ObjectModel]:
    if config.meshes is None:
        from crisp.synth.procedural import default_models

        return default_models(config.render.layout)
    from crisp.data.mesh_files import read_models
    from crisp.synth.layouts import with_categories

    models = read_models(config.meshes, unit_m=config.mesh_unit_m)
    return with_categories(models) if config.render.layout == "nocs" else models


def train(config: Train) -> int:
    """Train a model on a labelled data set. Run again, it goes on where it stopped."""
    from crisp.learn.recipe import load_recipe
    from crisp.learn.train import TrainOptions, train
    from crisp.model import training_backbone

    recipe = load_recipe(config.recipe)
    options = TrainOptions(
        dataset=config.dataset,
        split=config.split,
        out=config.out,
        cache=config.cache,
        backbone_file=config.share_backbone,
        head_storage=config.head_storage,
        overfit_one_batch=config.overfit_one_batch,
        dry_run=config.dry_run,
    )
    folder = train(recipe, options, training_backbone(config.backbone, preset_name=recipe.preset))
    print(f"checkpoint: {folder}")
    return 0


def calibrate(config: Calibrate) -> int:
    """Bounds of the certificate, measured."""
    from crisp.certify.calibration import NAME, write_calibration
    from crisp.data.layouts import open_dataset
    from crisp.evaluate.calibrate import calibrate, sentence
    from crisp.model import checkpoint_folder, load_model

    datasets = [open_dataset(config.dataset, split) for split in config.split]
    model = load_model(config.weights)
    found = calibrate(
        model,
        datasets,
        target=config.target,
        min_visib_fract=config.min_visible,
        correct=config.correct,
    )
    path = config.out or checkpoint_folder(config.weights) / NAME
    write_calibration(path, found.config, model_sha256=model.sha256, evidence=found.evidence)
    print(f"{sentence(found)}\ncalibration: {path}")
    return 0


def doctor(config: Doctor) -> int:
    """What is found, missing or wrong; exit code 2 where there is a fault."""
    from crisp.doctor.frames import check_files, summary
    from crisp.doctor.sets import check_dataset

    own = (config.rgb, config.depth, config.camera, *config.masks)
    if (config.dataset is None) == (not any(own)):
        raise InputError("give either --dataset or files of a frame: --rgb, --depth, --camera and --masks.")
    if config.frames < 1:
        raise InputError(f"at least one frame must be checked, got --frames {config.frames}.")
    diagnosis = (
        check_dataset(config.dataset, config.split, most_frames=config.frames)
        if config.dataset is not None
        else check_files(rgb=config.rgb, depth=config.depth, camera=config.camera, masks=config.masks)
    )
    print("\n".join([*diagnosis.lines(), summary(diagnosis)]))
    return 2 if diagnosis.faults else 0


def info(config: Info) -> int:
    """Version, devices, bundled models and their checksums."""
    import torch

    import crisp
    from crisp.model import BUNDLED, WEIGHTS
    from crisp.networks.checkpoint import load_checkpoint, sha256
    from crisp.sources.frames import read_json

    print(f"crisp {crisp.__version__}, torch {torch.__version__}")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    print(f"devices: cpu ({torch.get_num_threads()} threads)" + "".join(f", {name}" for name in gpus))
    for name in sorted(set(BUNDLED.values())):
        folder = WEIGHTS / name
        _, described = load_checkpoint(folder)  # checks every hash
        print(f"model {name}: {len(described.library)} objects, {sha256(folder / 'checkpoint.json')}")
        for file in read_json(folder / "checkpoint.json")["files"].values():
            size = (folder / file["path"]).stat().st_size
            print(f"  {file['path']} {size / 1e6:.1f} MB {file['sha256']}")
    return 0


def _synthesise_settings() -> Any:
    from crisp.config_synthesise import Synthesise

    return tyro.conf.OmitArgPrefixes[Synthesise]


VERBS = {
    "demo": Verb(lambda: Demo, demo, "Render a scene, estimate its objects, score them, show it on a page."),
    "estimate": Verb(lambda: Estimate, estimate, "Pose and shape of objects in a frame or a data set."),
    "synthesise": Verb(_synthesise_settings, synthesise, "Render a data set (BOP, SPE3R or NOCS)."),
    "train": Verb(lambda: Train, train, "Train a model on a data set; run again to go on."),
    "adapt": Verb(lambda: Adapt, adapt, "Adapt a model to frames without labels; run again to go on."),
    "evaluate predict": Verb(lambda: Predict, predict, "Estimate a whole split into a file."),
    "evaluate score": Verb(lambda: Score, score, "Score that file against the labels."),
    "evaluate table": Verb(lambda: Table, table, "Print a table of the paper with our scores beside it."),
    "evaluate figure": Verb(lambda: Plot, plot, "Draw figure 11, 12 or 13 of the paper from our results."),
    "calibrate": Verb(lambda: Calibrate, calibrate, "Find the bounds of a model's certificate."),
    "doctor": Verb(lambda: Doctor, doctor, "Check a data set or a frame before anything runs on it."),
    "info": Verb(lambda: Info, info, "Version, devices, bundled models and their checksums."),
}
