"""`crisp synthesise`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from crisp.errors import InputError
from crisp.synth.config import SynthesisConfig

if TYPE_CHECKING:
    from crisp.types import ObjectModel


@dataclass(frozen=True)
class Synthesise:
    """Render a data set of objects on tables, or of satellites, from procedural objects or your meshes."""

    out: Path
    """Data set's root folder; a killed run goes on where it stopped."""
    render: SynthesisConfig = field(default_factory=SynthesisConfig)
    """What to render."""
    meshes: Path | None = None
    """Folder of watertight GLB, OBJ or PLY meshes, and models_info.json if they have symmetries (BOP's, by
    name); the procedural objects by default. With layout nocs a mesh is of the category with which its name
    begins."""
    mesh_unit_m: float = 1.0
    """Metres per unit of those meshes: 0.001 for millimetres."""
    workers: int = 2
    """Processes."""

    def run(self) -> int:
        from crisp.output.sink import prepare_folder
        from crisp.synth.synthesise import ScenesFailedError, synthesise

        models = self._models()
        prepare_folder(self.out)
        try:
            synthesise(models, out=self.out, config=self.render, workers=self.workers)
        except ScenesFailedError as error:
            raise InputError(str(error)) from error
        return 0

    def _models(self) -> Sequence[ObjectModel]:
        if self.meshes is None:
            from crisp.synth.procedural import default_models

            return default_models(self.render.writing)
        from crisp.data.mesh_files import read_models
        from crisp.synth.synthesise import with_categories

        models = read_models(self.meshes, unit_m=self.mesh_unit_m)
        return with_categories(models, self.render.writing.categories)
