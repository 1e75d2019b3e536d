"""A checkpoint ready to use: what follows from the objects that it knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from crisp.geometry.align import RegistrationConfig
from crisp.model import Model, load_model
from crisp.networks.checkpoint import save_checkpoint


def test_registration_is_as_tolerant_as_the_known_objects_are_large(
    flat_model: Model, tmp_path: Path
) -> None:
    """The flat model knows an object of 6 cm; one of 1.2, as SPE3R's are, has a twentieth of that."""
    assert flat_model.registration == RegistrationConfig()
    library = replace(flat_model.info.library, diameters_m=torch.tensor([1.2]))
    save_checkpoint(tmp_path / "large", flat_model.network, replace(flat_model.info, library=library))
    large = load_model(tmp_path / "large", device="cpu")
    assert large.registration.inlier_m == pytest.approx(0.06)
    assert large.settings.registration == large.registration
