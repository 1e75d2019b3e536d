"""What the loops of evaluation take, and `crisp estimate` and `crisp evaluate` fill in."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typing_extensions import Doc

from crisp.evaluate.metrics import DEFAULT, METRICS
from crisp.shipped import BUNDLED, recipe_names

if TYPE_CHECKING:
    from crisp.model import Model


@dataclass(frozen=True)
class ModelChoice:
    """Which model estimates, and how it is corrected."""

    weights: Annotated[str, Doc(f"A model of the package ({', '.join(BUNDLED)}) or a checkpoint folder.")] = (
        "bundled"
    )
    correct: Annotated[
        str,
        Doc(
            "Settings of the corrector: own (what suits the model), none (the network alone, without "
            f"certificates), {', '.join(recipe_names('correct'))}, or a TOML file."
        ),
    ] = "own"

    def load(self) -> Model:
        """The model, with this corrector.

        Raises:
            InputError: no such model or settings, or damaged files.
        """
        from crisp.model import load_model

        return load_model(self.weights).with_correction(self.correct)


@dataclass(frozen=True)
class PredictOptions:
    """Which frames and masks of a data set are estimated, and where the results go."""

    split: str = "test"
    """Split of the data set."""
    _: KW_ONLY
    frames: int | None = None
    """Only the first so many frames of the split."""
    targets: Path | None = None
    """BOP's targets (test_targets_bop19.json): only the frames that it names."""
    detections: Path | None = None
    """Masks of a detector instead of the labels': a BOP detections file, or a folder of NOCS's."""
    min_score: float = 0.0
    """Leave out detections with a lower score."""
    min_visible: float = 0.0
    """Leave out labelled objects of which a smaller share can be seen."""
    tracks: str | None = None
    """Let the frames of a scene help one another: auto tells objects apart by their places in the world, a
    JSON file by names per frame and mask."""
    sinks: tuple[str, ...] = ()
    """What to write: json, report, table or bop-csv; by default json, for a single frame also the other two
    that a person reads."""


@dataclass(frozen=True)
class ScoreOptions:
    """Which predictions are scored, against which labels and how."""

    predictions: Path
    """Folder with results.json."""
    dataset: Path
    """Data set that was predicted."""
    split: str = "test"
    """Split that was predicted."""
    _: KW_ONLY
    protocols: Annotated[
        tuple[str, ...],
        Doc(f"Names of the protocols ({', '.join(METRICS)}); docs/evaluation.md says what each measures."),
    ] = DEFAULT
    out: Path | None = None
    """Folder for the scores; the predictions' unless given."""
    detections: Path | None = None
    """The detections that the predictions were made from, where they were."""
    targets: Path | None = None
    """BOP's targets (test_targets_bop19.json): only the frames that it names, in bop only those objects."""
    predicted_frames_only: bool = False
    """Leave out frames that were not predicted, instead of counting their objects as failures."""
