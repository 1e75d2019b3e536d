"""`calibration.json` of a checkpoint: the certificate's bounds for this model, and how they were found.

It lies beside the checkpoint's files without being one of them: calibrating changes neither a weight nor a
hash. It names the model that it was made for instead, and counts for no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from crisp.certify.certificate import UNCALIBRATED, CertificateConfig
from crisp.errors import InputError
from crisp.files import write_whole
from crisp.refine.free_space import FreeSpaceConfig
from crisp.shape.surface import SurfaceConfig

NAME = "calibration.json"
FORMAT_VERSION = 1


def write_calibration(
    path: Path, config: CertificateConfig, *, model_sha256: str, evidence: Mapping[str, Any]
) -> None:
    """Write the bounds and the evidence (JSON values) for them, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "model_sha256": model_sha256,
        "certificate": asdict(config),
        "evidence": dict(evidence),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise InputError(f"the calibration {path} cannot be written: {error.strerror or error}.") from error


def read_calibration(path: Path, *, model_sha256: str) -> CertificateConfig:
    """The bounds for a model; the published ones, which say so, where it was not calibrated.

    Raises:
        InputError: a file of another form.
    """
    if not path.is_file():
        return CertificateConfig()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, made_for, fields = (
            content[key] for key in ("format_version", "model_sha256", "certificate")
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a calibration: {error!r}.") from error
    if version != FORMAT_VERSION:
        raise InputError(f"{path} has format version {version!r}, this software reads {FORMAT_VERSION}.")
    if made_for != model_sha256:
        return replace(CertificateConfig(), calibration=f"{UNCALIBRATED} ({NAME} is of another model)")
    return _config(fields, path)


def _config(fields: Any, path: Path) -> CertificateConfig:
    wanted = set(asdict(CertificateConfig()))
    if not isinstance(fields, dict) or set(fields) != wanted:
        raise InputError(f"the certificate in {path} must have the keys {', '.join(sorted(wanted))}.")
    try:
        parts = {
            "surface": SurfaceConfig(**fields["surface"]),
            "free_space": FreeSpaceConfig(**fields["free_space"]),
        }
        return CertificateConfig(**fields | parts)
    except TypeError as error:
        raise InputError(f"the certificate in {path} cannot be read: {error}.") from error
