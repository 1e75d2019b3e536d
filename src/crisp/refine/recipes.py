"""Corrector and certificate by name, one TOML file each: our own settings, and those published per data set.

A table of such a file is what `results.json` writes down of the same part: `kind` names it, the others are
its settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crisp.certify.certificate import CertificateConfig
from crisp.documents import load_record, toml_names
from crisp.refine.corrector import Corrector, StartSearch
from crisp.refine.pose_step import CoarseToFine, PoseStep, Se3Step
from crisp.refine.problem import Kernel, SoftL1, Squares, Truncated
from crisp.refine.search.known import KnownSearch
from crisp.refine.shape_step import ActiveShape, HullDescent, ShapeStep
from crisp.refine.z_step import ZGradientStep

# Every part of a corrector that a recipe can name: a new one is added here.
KINDS: dict[type, tuple[type, ...]] = {
    PoseStep: (CoarseToFine, Se3Step, ZGradientStep),
    ShapeStep: (ActiveShape, HullDescent),
    StartSearch: (KnownSearch,),
    Kernel: (SoftL1, Squares, Truncated),
}


@dataclass(frozen=True)
class CorrectionSettings:
    """What a file of correction settings holds.

    Args:
        corrector: its parts and their settings.
        certificate: None leaves it to the model, whose own may be calibrated.
    """

    corrector: Corrector
    certificate: CertificateConfig | None = None


def correction_names() -> list[str]:
    """Names of the settings that come with the package."""
    return toml_names(_folder())


def load_correction(source: str) -> tuple[Corrector, CertificateConfig | None]:
    """Corrector and certificate by name, or from a TOML file.

    Returns:
        The certificate is None where the file leaves it to the model.

    Raises:
        InputError: no such settings, not TOML, an unknown key, a value of the wrong type, or settings that
            contradict each other.
    """
    found = load_record(
        CorrectionSettings, source, folder=_folder(), what="correction setting", choices=KINDS
    )
    return found.corrector, found.certificate


def _folder() -> Path:
    return Path(__file__).parent.parent / "recipes" / "correct"
