"""`crisp calibrate`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from crisp.evaluate.options import ModelChoice


@dataclass(frozen=True)
class Calibrate:
    """Find the bounds of a model's certificate on labelled splits, and write them into the checkpoint."""

    dataset: Path
    """Data set with models and labels, of other scenes than the training's."""
    split: tuple[str, ...] = ("test",)
    """Splits of that data set, all taken together."""
    model: ModelChoice = field(default_factory=ModelChoice)
    """The model; its certificate is calibrated for this corrector and no other."""
    out: Path | None = None
    """File to write; calibration.json in the checkpoint folder unless given."""
    target: float = 0.95
    """For the lower end of the 95 % interval of the share of certified objects that are right."""
    min_visible: float = 0.1
    """Leave out objects of which less can be seen."""

    def run(self) -> int:
        from crisp.certify.certificate import NAME, write_calibration
        from crisp.data.layouts import open_dataset
        from crisp.evaluate.calibrate import calibrate, sentence
        from crisp.model import checkpoint_folder, load_model

        datasets = [open_dataset(self.dataset, split) for split in self.split]
        model = load_model(self.model.weights)
        found = calibrate(
            model,
            datasets,
            target=self.target,
            min_visib_fract=self.min_visible,
            correct=self.model.correct,
        )
        path = self.out or checkpoint_folder(self.model.weights) / NAME
        write_calibration(path, found.config, model_sha256=model.sha256, evidence=found.evidence)
        print(f"{sentence(found)}\ncalibration: {path}")
        return 0
