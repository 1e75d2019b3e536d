"""`crisp train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typing_extensions import Doc

from crisp.learn.options import TrainOptions
from crisp.shipped import recipe_names


@dataclass(frozen=True)
class Train:
    """Train a model on a labelled data set. Run again, it goes on where it stopped."""

    training: TrainOptions
    """Where the run reads and writes, and how much of it is done."""
    recipe: Annotated[str, Doc(f"A recipe of the package ({', '.join(recipe_names())}) or a TOML file.")] = (
        "small"
    )
    backbone: str = "bundled"
    """Frozen DINOv2 weights: bundled, a folder in Hugging Face format, or a hub id."""

    def run(self) -> int:
        from crisp.learn.recipe import load_recipe
        from crisp.learn.train import train
        from crisp.model import training_backbone

        recipe = load_recipe(self.recipe)
        folder = train(recipe, self.training, training_backbone(self.backbone, preset_name=recipe.preset))
        print(f"checkpoint: {folder}")
        return 0
