"""Settings of the verbs, one record each; their docstrings are what `crisp VERB --help` prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")]
# As `evaluate.protocols.PROTOCOLS`, which is not imported for --help's sake; a test holds the two together.
ProtocolName = Literal[
    "add-s", "crisp-shape", "chamfer-mm", "spe3r-l1", "nocs-shape", "nocs-map-original", "nocs-map", "bop"
]
Files = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE [FILE ...]")]


@dataclass(frozen=True)
class Demo:
    """Render a tabletop scene, estimate every object, score it against the known truth, write a report."""

    out: Path = Path("demo")
    """Folder for results.json, the meshes and report.html."""
    weights: str = "bundled"
    """Name of a bundled model or a checkpoint folder."""
    seed: int = 3
    """Of the scene."""
    objects: int = 7
    """How many objects stand on the table."""
    look: Literal["clean", "hard"] = "clean"
    """Light and sensor: mild and exact, or strong and faulty."""
    correct: str = "own"
    """Settings of the corrector by name or TOML file; own: what suits the model; none: the network alone,
    without certificates."""
    adapt: bool = False
    """Adapt to a stream of hard frames instead, and show before and after: a few minutes on two cores."""


@dataclass(frozen=True)
class Estimate:
    """Pose and shape of objects: in one frame of your own, or in every frame of a data set."""

    out: Path
    """Folder for results.json, the meshes and (one frame) report.html."""
    rgb: Path | None = None
    """Colour image (PNG or JPEG)."""
    depth: Path | None = None
    """Depth image: 16-bit PNG or TIFF, registered to the colour image."""
    camera: Path | None = None
    """JSON with cam_K (9 numbers, row by row) and depth_scale (raw value x depth_scale = millimetres)."""
    masks: Files = ()
    """One image per object, of the frame's size: above zero where the object is visible."""
    dataset: Path | None = None
    """Data set in BOP's, SPE3R's or NOCS's layout, instead of the four above."""
    split: str = "test"
    """Split of that data set."""
    frames: int | None = None
    """Only the first so many frames of the split."""
    tracks: str | None = None
    """Let the frames of a scene help one another: auto, or a JSON file of names per frame and mask."""
    weights: str = "bundled"
    """Name of a bundled model or a checkpoint folder."""
    correct: str = "own"
    """Settings of the corrector by name or TOML file; own: what suits the model; none: the network alone,
    without certificates."""


@dataclass(frozen=True)
class Train:
    """Train a model on a labelled data set. Run again, it goes on where it stopped."""

    dataset: Path
    """Data set (BOP, SPE3R or NOCS) with models, poses and masks."""
    out: Path
    """Run folder: states to resume from, metrics, TensorBoard, and at the end checkpoint/."""
    recipe: str = "small"
    """Name of a recipe that comes with the package, or a TOML file."""
    split: str = "train"
    """Split to train on; some of its scenes are kept for validation."""
    backbone: str = "bundled"
    """Frozen DINOv2 weights: bundled, a folder in Hugging Face format, or a hub id."""
    cache: Path | None = None
    """Folder for kept features and distances; by default in the run folder."""
    share_backbone: Path | None = None
    """Refer to this backbone file from the checkpoint instead of writing a copy into it."""
    head_storage: Literal["float16", "int8"] = "float16"
    """How the heads are stored in the checkpoint."""
    overfit_one_batch: bool = False
    """Train on a single batch of crops: the losses must fall to almost nothing."""
    dry_run: bool = False
    """A few steps of every stage on a few frames, to see that everything is there."""


@dataclass(frozen=True)
class Adapt:
    """Adapt a model to unlabelled frames by self-training. Run again, it goes on where it stopped."""

    dataset: Path
    """Data set in BOP's, SPE3R's or NOCS's layout; its frames and masks are read, its labels never."""
    out: Path
    """Run folder: audit log, state to resume from, report.html, and at the end checkpoint/."""
    split: str = "test"
    """Split to adapt to."""
    weights: str = "bundled"
    """The model to adapt: a bundled one by name or a checkpoint folder."""
    recipe: str = "default"
    """Name of an adaptation recipe that comes with the package, or a TOML file."""
    frames: int | None = None
    """Only the first so many frames."""
    processes: int = 1
    """Processes that share the frames."""
    snapshot_every: int = 25
    """Frames of each process from one snapshot to the next: what a killed run has to do again at most."""
    detections: Path | None = None
    """Masks of a detector, not those beside the frames: a BOP detections file, or a folder of NOCS's."""
    min_score: float = 0.0
    """Leave out detections with a lower score."""
    score: bool = False
    """Score the stream against the labels in the report, where there are any; they have no other part."""


@dataclass(frozen=True)
class Predict:
    """Estimate every object of a split from its ground-truth visible mask, or a detector's, into a file."""

    dataset: Path
    """Data set in BOP's, SPE3R's or NOCS's layout."""
    out: Path
    """Folder for results.json and the meshes; a killed run goes on where it stopped."""
    split: str = "test"
    """Split of that data set."""
    weights: str = "bundled"
    """Name of a bundled model or a checkpoint folder."""
    frames: int | None = None
    """Only the first so many frames."""
    targets: Path | None = None
    """BOP's targets (test_targets_bop19.json): only the frames that it names."""
    detections: Path | None = None
    """Masks of a detector instead of the labels': a BOP detections file, or a folder of NOCS's."""
    min_score: float = 0.0
    """Leave out detections with a lower score."""
    tracks: str | None = None
    """Let the frames of a scene help one another: auto, or a JSON file of names per frame and mask."""
    correct: str = "own"
    """Settings of the corrector by name or TOML file; own: what suits the model; none: the network alone,
    without certificates."""


@dataclass(frozen=True)
class Score:
    """Score predictions against the labels, by named protocols, into files beside them."""

    predictions: Path
    """Folder with results.json."""
    dataset: Path
    """Data set that was predicted."""
    split: str = "test"
    """Split that was predicted."""
    protocols: tuple[ProtocolName, ...] = ("add-s", "chamfer-mm")
    """Names of the protocols; docs/evaluation.md says what each measures."""
    out: Path | None = None
    """Folder for the scores; the predictions' unless given."""
    detections: Path | None = None
    """The detections that the predictions were made from, where they were."""
    targets: Path | None = None
    """BOP's targets (test_targets_bop19.json): only the frames that it names, in bop only those objects."""
    predicted_frames_only: bool = False
    """Leave out frames that were not predicted, instead of counting their objects as failures."""


@dataclass(frozen=True)
class Table:
    """Print a table of the paper, with rows of ours from score files beside the published ones."""

    number: tyro.conf.Positional[int]
    """Of the table: 8 to 14."""
    scores: Files = ()
    """Our scores.json files or their folders; each gives one row."""
    names: Names = ()
    """What to call those rows; the folders' names unless given."""
    out: Path | None = None
    """Folder for tableN.md, tableN.csv and tableN.json; only printed unless given."""


@dataclass(frozen=True)
class Plot:
    """Draw a figure of the paper: 11 (e_shape) and 12 (ADD-S) from score files, 13 from predictions."""

    number: tyro.conf.Positional[int]
    """Of the figure: 11, 12 or 13."""
    out: Path
    """PNG file to write."""
    scores: Files = ()
    """Figures 11 and 12: scores.json files or their folders; each gives one curve."""
    names: Names = ()
    """What to call those curves; the folders' names unless given."""
    predictions: Path | None = None
    """Figure 13: folder with results.json."""
    dataset: Path | None = None
    """Figure 13: the BOP data set that was predicted."""
    split: str = "test"
    """Figure 13: the split that was predicted."""
    rows: int = 6
    """Figure 13: how many objects to show."""


@dataclass(frozen=True)
class Calibrate:
    """Find the bounds of a model's certificate on labelled splits, and write them into the checkpoint."""

    dataset: Path
    """Data set with models and labels, of other scenes than the training's."""
    split: Names = ("test",)
    """Splits of that data set, all taken together."""
    weights: str = "bundled"
    """Name of a bundled model or a checkpoint folder."""
    out: Path | None = None
    """File to write; calibration.json in the checkpoint folder unless given."""
    correct: str = "own"
    """Correction settings to measure the bounds with; they count for no others."""
    target: float = 0.95
    """For the lower end of the 95 % interval of the share of certified objects that are right."""
    min_visible: float = 0.1
    """Leave out objects of which less can be seen."""


@dataclass(frozen=True)
class Doctor:
    """Check a data set, or the files of a frame, before anything runs on them."""

    dataset: Path | None = None
    """Data set in BOP's, SPE3R's or NOCS's layout."""
    split: str | None = None
    """Split of that data set; all of them unless given."""
    frames: int = 20
    """At most so many frames of each split, evenly chosen."""
    rgb: Path | None = None
    """Colour image of a frame of your own."""
    depth: Path | None = None
    """Its depth image."""
    camera: Path | None = None
    """Its camera file."""
    masks: Files = ()
    """Its masks."""


@dataclass(frozen=True)
class Info:
    """Version, devices, bundled models and their checksums."""
