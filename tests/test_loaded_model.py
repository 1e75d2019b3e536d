"""A checkpoint ready to use: what follows from the objects that it knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from crisp.geometry.align import RegistrationConfig
from crisp.model import Model, load_model
from crisp.networks.checkpoint import save_checkpoint
from crisp.refine.recipes import load_correction
from crisp.shape.library import ShapeLibrary, name_all
from crisp.types import Certificate, CorrectionSummary, Estimate


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


def test_a_checkpoint_may_name_the_corrector_that_suits_it(flat_model: Model, tmp_path: Path) -> None:
    training = dict(flat_model.info.training) | {"correct": "search"}
    save_checkpoint(tmp_path / "knows", flat_model.network, replace(flat_model.info, training=training))
    model = load_model(tmp_path / "knows", device="cpu")
    assert model.corrector == load_correction("search")[0]
    assert model.with_correction("default").with_correction("own").corrector == model.corrector
    assert flat_model.with_correction("own").corrector == load_correction("default")[0]


def test_a_name_needs_the_network_and_the_corrector_to_agree() -> None:
    """The corrector may only have known shapes to choose from: the network's own code must be near, too."""
    codes = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    library = ShapeLibrary(("mug", "can"), (1, 2), codes, torch.tensor([0.1, 0.1]))
    said = [[1.0, 0.0], [9.0, 0.0], [4.9, 3.0]]
    estimates = [estimate(final=codes[0], network=torch.tensor(code)) for code in said]
    unsure = [None, Certificate(False, 0.1, 0.01, 0.98, 99, 0.5, reasons=("too far.",)), None]
    assert name_all(estimates, library, unsure) == ["mug", "unknown", "unknown"]
    assert name_all([replace(estimates[1], correction=None)], library, [None]) == ["mug"]
    assert name_all(estimates, None, unsure) == [None] * 3


def test_a_certificate_vouches_for_the_name_of_a_shape_that_the_network_did_not_see() -> None:
    codes = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    library = ShapeLibrary(("mug", "can"), (1, 2), codes, torch.tensor([0.1, 0.1]))
    estimates = [estimate(final=code, network=codes[1]) for code in (codes[0], torch.tensor([5.0, 9.0]))]
    sure = Certificate(True, 0.001, 0.01, 0.98, 99, 1.0)
    assert name_all(estimates, library, [sure, sure]) == ["mug", "unknown"]


def estimate(*, final: torch.Tensor, network: torch.Tensor) -> Estimate:
    T = torch.eye(4, dtype=torch.float64)
    inf = float("inf")
    said = CorrectionSummary("converged", "done.", 1, 0.01, 0.001, T.numpy(), network.numpy(), 0.1, inf)
    return Estimate(T, final, 1.0, said)
