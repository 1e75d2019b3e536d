"""`calibration.json` of a checkpoint: the certificate's bounds for this model, and how they were found.

It lies beside the checkpoint's files without being one of them: calibrating changes neither a weight nor a
hash. It names the model that it was made for instead, and counts for no other; and the corrector that the
bounds were measured with, as another one leaves other residuals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from crisp.certify.certificate import UNCALIBRATED, CertificateConfig
from crisp.documents import build_record, read_record, write_json
from crisp.errors import InputError

NAME = "calibration.json"
FORMAT_VERSION = 1
DEFAULT = "default"
_ELSEWHERE = {"calibrated_with", "withheld"}  # fields of the certificate that its table does not have


@dataclass(frozen=True)
class StoredCalibration:
    """`calibration.json`.

    Args:
        certificate: the fields of `CertificateConfig` that are bounds and settings, all of them.
        evidence: free JSON values.
        corrector: the settings that the bounds were measured with; None, as in older files, for the model's.
    """

    format_version: int
    model_sha256: str
    certificate: Mapping[str, Any]
    evidence: Mapping[str, Any] = field(default_factory=dict)
    corrector: str | None = None


def write_calibration(
    path: Path, config: CertificateConfig, *, model_sha256: str, evidence: Mapping[str, Any]
) -> None:
    """Write the bounds and the evidence (JSON values) for them, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    bounds = {key: value for key, value in asdict(config).items() if key not in _ELSEWHERE}
    stored = StoredCalibration(FORMAT_VERSION, model_sha256, bounds, evidence, config.calibrated_with)
    write_json(path, stored)


def read_calibration(path: Path, *, model_sha256: str, own: str = DEFAULT) -> CertificateConfig:
    """The bounds for a model; the published ones, which say so, where it was not calibrated.

    Args:
        own: the model's own correction settings.

    Raises:
        InputError: a file of another form.
    """
    if not path.is_file():
        return CertificateConfig()
    stored = read_record(path, StoredCalibration, version=FORMAT_VERSION)
    if stored.model_sha256 != model_sha256:
        return replace(CertificateConfig(), calibration=f"{UNCALIBRATED} ({NAME} is of another model)")
    return _config(stored, path, own)


def _config(stored: StoredCalibration, path: Path, own: str) -> CertificateConfig:
    where = f"{path}: certificate"
    wanted = {item.name for item in fields(CertificateConfig)} - _ELSEWHERE
    if strange := sorted(set(stored.certificate) & _ELSEWHERE):
        raise InputError(f"{where} has an unknown key {strange[0]!r}.")
    if lacking := sorted(wanted - set(stored.certificate)):
        raise InputError(f"{where} is incomplete: it lacks the key {lacking[0]!r}.")
    config = build_record(CertificateConfig, stored.certificate, where=where)
    uncalibrated = config.calibration.startswith(UNCALIBRATED)
    return replace(config, calibrated_with=None if uncalibrated else stored.corrector or own)
