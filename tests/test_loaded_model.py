"""A checkpoint ready to use: what follows from the objects that it knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_stages import FRAME

from crisp.certify.certificate import CertificateConfig, write_calibration
from crisp.geometry.align import RegistrationConfig
from crisp.model import Model, load_model
from crisp.networks.checkpoint import save_checkpoint, sha256
from crisp.recipes import correction_label, load_correction
from crisp.shape.library import ShapeLibrary, name_all
from crisp.types import Certificate, CorrectionSummary, Estimate

RECIPES = Path(__file__).parent.parent / "src" / "crisp" / "recipes" / "correct"


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


def calibrated(model: Model, folder: Path, *, own: str, measured: str | None) -> Model:
    """The flat model with a corrector of its own, and bounds that everything is within."""
    training = dict(model.info.training) | {"correct": own}
    save_checkpoint(folder, model.network, replace(model.info, training=training), dtype="float32")
    config = CertificateConfig(eps_m=10.0, calibration="calibrated on x", calibrated_with=measured)
    digest = sha256(folder / "checkpoint.json")
    write_calibration(folder / "calibration.json", config, model_sha256=digest, evidence={})
    return load_model(folder, device="cpu")


def certificates(model: Model) -> Certificate:
    mask = np.zeros((72, 96), bool)
    mask[10:30, 12:32] = True
    (result,) = model.estimate(FRAME, [mask])
    assert result.certificate is not None
    return result.certificate


@pytest.mark.parametrize("measured", ["default", None])
def test_bounds_certify_estimates_of_the_corrector_that_they_were_measured_with(
    flat_model: Model, tmp_path: Path, measured: str | None
) -> None:
    """Older files do not say which: it was the model's own."""
    model = calibrated(flat_model, tmp_path / "m", own="default", measured=measured)
    assert certificates(model).certified
    for name in ("own", "default", str(RECIPES / "default.toml")):
        again = model.with_correction("bcd").with_correction(name)
        assert again.certificate is not None and again.certificate.withheld is None
    other = certificates(model.with_correction("bcd"))
    assert not other.certified
    (reason,) = other.reasons
    assert '"default"' in reason and '"bcd"' in reason and "crisp calibrate" in reason


def test_a_model_whose_own_corrector_is_not_the_one_that_was_calibrated_certifies_nothing(
    flat_model: Model, tmp_path: Path
) -> None:
    model = calibrated(flat_model, tmp_path / "m", own="bcd", measured="default")
    assert model.certificate is not None and model.certificate.withheld is not None
    fits = model.with_correction("default").certificate
    assert fits is not None and fits.withheld is None and fits.eps_m == 10.0


def test_settings_with_a_certificate_of_their_own_and_published_bounds_are_not_withheld(
    flat_model: Model, tmp_path: Path
) -> None:
    model = calibrated(flat_model, tmp_path / "m", own="default", measured="default")
    assert model.with_correction("ycbv-lsq").certificate == load_correction("ycbv-lsq")[1]
    assert flat_model.with_correction("bcd").certificate == CertificateConfig()  # never calibrated


def test_bounds_measured_with_a_file_of_ones_own_count_for_that_file(
    flat_model: Model, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text((RECIPES / "default.toml").read_text().replace("rounds = 2", "rounds = 1"))
    label = correction_label(str(mine))
    model = calibrated(flat_model, tmp_path / "m", own="default", measured=label)
    assert model.certificate is not None and model.certificate.withheld is not None
    same = model.with_correction(str(mine)).certificate
    assert same is not None and same.withheld is None
    mine.write_text(mine.read_text().replace("rounds = 1", "rounds = 3"))
    changed = model.with_correction(str(mine)).certificate
    assert changed is not None and changed.withheld is not None


def test_the_bundled_models_certify_with_their_own_corrector_alone() -> None:
    for name, other in (("ycbv-small", "default"), ("bundled", "bcd")):
        model = load_model(name, device="cpu")
        assert model.certificate is not None and model.certificate.withheld is None
        changed = model.with_correction(other).certificate
        assert changed is not None and changed.withheld is not None


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
