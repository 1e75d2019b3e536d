"""Corrector and certificate by name, one TOML file each: our own settings, and those published per data set.

A table of such a file is what `results.json` writes down of the same part: `kind` names it, the others are
its settings.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from crisp.certify.certificate import CertificateConfig
from crisp.documents import Choices, by_name, load_record
from crisp.errors import InputError
from crisp.refine.corrector import Corrector, StartSearch
from crisp.refine.pose_step import CoarseToFine, PoseStep, Se3Step
from crisp.refine.problem import Kernel, SoftL1, Squares, Truncated
from crisp.refine.search.known import KnownSearch
from crisp.refine.shape_step import ActiveShape, HullDescent, ShapeStep
from crisp.refine.z_step import ZGradientStep
from crisp.shipped import RECIPES, recipe_names

# Every part of a corrector that a recipe can name: a new one is added here.
KINDS: Choices = {
    PoseStep: by_name(CoarseToFine, Se3Step, ZGradientStep),
    ShapeStep: by_name(ActiveShape, HullDescent),
    StartSearch: by_name(KnownSearch),
    Kernel: by_name(SoftL1, Squares, Truncated),
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


def load_correction(source: str) -> tuple[Corrector, CertificateConfig | None]:
    """Corrector and certificate by name, or from a TOML file.

    Returns:
        The certificate is None where the file leaves it to the model.

    Raises:
        InputError: no such settings, not TOML, an unknown key, a value of the wrong type, or settings that
            contradict each other.
    """
    found = load_record(
        CorrectionSettings, source, folder=RECIPES / "correct", what="correction setting", choices=KINDS
    )
    return found.corrector, found.certificate


def correction_label(source: str) -> str:
    """What settings are called in what is kept: their name, and of a file of one's own its digest, too.

    Raises:
        InputError: the file cannot be read.
    """
    if not source.endswith(".toml"):
        return source
    try:
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}.") from error
    return f"{Path(source).name} (sha256 {digest[:12]})"


def same_correction(label: str, source: str) -> bool:
    """Whether settings are those that were once written down under a label.

    Raises:
        InputError: there are no such settings.
    """
    if label == correction_label(source):
        return True
    return label in recipe_names("correct") and load_correction(label)[0] == load_correction(source)[0]


def bounds_under(config: CertificateConfig, correct: str) -> CertificateConfig:
    """The same bounds for estimates of other correction settings than those that they were measured with.

    Args:
        correct: name or TOML file of the settings that will be used.

    Returns:
        A certificate that certifies nothing, and says why, unless the settings are the same.

    Raises:
        InputError: no such settings.
    """
    measured = config.calibrated_with
    if measured is None or same_correction(measured, correct):
        return replace(config, withheld=None)
    return replace(
        config,
        withheld=f'the bounds were measured with "{measured}", not with "{correct}": '
        f"run crisp calibrate --correct {correct}.",
    )
