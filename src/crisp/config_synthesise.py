"""Settings of `crisp synthesise`: apart, because the renderer's own settings are part of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from crisp.synth.synthesise import SynthesisConfig


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
