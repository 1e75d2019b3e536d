"""`crisp calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Calibrate:
    """Find the bounds of a model's certificate on labelled splits, and write them into the checkpoint."""

    dataset: Path
    """Data set with models and labels, of other scenes than the training's."""
    split: tuple[str, ...] = ("test",)
    """Splits of that data set, all taken together."""
    weights: str = "bundled"
    """Name of a bundled model or a checkpoint folder."""
    out: Path | None = None
    """File to write; calibration.json in the checkpoint folder unless given."""
    target: float = 0.95
    """For the lower end of the 95 % interval of the share of certified objects that are right."""
    min_visible: float = 0.1
    """Leave out objects of which less can be seen."""

    def run(self) -> int:
        from crisp.certify.calibration import NAME, write_calibration
        from crisp.data.layouts import open_dataset
        from crisp.evaluate.calibrate import calibrate, sentence
        from crisp.model import checkpoint_folder, load_model

        datasets = [open_dataset(self.dataset, split) for split in self.split]
        model = load_model(self.weights)
        found = calibrate(model, datasets, target=self.target, min_visib_fract=self.min_visible)
        path = self.out or checkpoint_folder(self.weights) / NAME
        write_calibration(path, found.config, model_sha256=model.sha256, evidence=found.evidence)
        print(f"{sentence(found)}\ncalibration: {path}")
        return 0
