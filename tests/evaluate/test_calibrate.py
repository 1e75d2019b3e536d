"""What bounds are chosen from, their file, and a model that heeds it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crisp.certify.certificate import CertificateConfig, read_calibration, write_calibration
from crisp.cli import main
from crisp.data.bop.reader import BopDataset
from crisp.errors import InputError
from crisp.evaluate.calibrate import Judged, calibrate, evidence_of, judge, measuring
from crisp.model import BACKBONE, Model, load_model
from crisp.shape.mesh import MeshConfig
from crisp.types import Certificate

INF = np.inf


def judged(certificate: Certificate | None, **changes: float) -> Judged:
    values = {"diameter_m": 0.1, "add_s_m": 0.009, "chamfer_m": 0.004, "camera_chamfer_m": 0.004} | changes
    return Judged("000000/000000", "mug", "mug", 1.0, certificate, **values)


MEASURED = Certificate(True, 0.003, 0.11, 0.98, 100, 1.0, free_space_share=0.02, mu=1e-5)


def test_evidence_is_read_from_certificates() -> None:
    found = evidence_of([judged(MEASURED), judged(None, add_s_m=INF), judged(replace(MEASURED, mu=None))])
    assert found.residual_m.tolist() == [0.003, INF, 0.003]
    assert found.diameter_m.tolist() == [0.11, 1.0, 0.11]
    assert found.free_space_share.tolist() == [0.02, INF, 0.02]
    assert found.minus_mu.tolist() == [-1e-5, INF, INF]
    assert found.right.tolist() == [True, False, True]


def test_right_is_pose_and_shape() -> None:
    assert judged(None).right
    assert not judged(None, add_s_m=0.011).right  # 10 % of 0.1 m
    assert not judged(None, chamfer_m=0.0051).right  # 5 %
    assert judged(None, add_s_m=INF).right_in_camera
    assert not judged(None, camera_chamfer_m=0.0051).right_in_camera


@pytest.fixture(scope="module")
def model(flat_checkpoint: Path) -> Model:
    return load_model(flat_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def one_scene(bop_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third of the small set: two frames of a brick and a can."""
    root = tmp_path_factory.mktemp("scene") / "tiny"
    shutil.copytree(bop_root / "models", root / "models")
    shutil.copytree(bop_root / "train" / "000000", root / "train" / "000000")
    return root


def test_judging_holds_each_label_against_its_estimate(model: Model, one_scene: Path) -> None:
    dataset = BopDataset(one_scene, "train")
    quick = replace(model, corrector=None, meshing=MeshConfig(resolution=32))
    rows = judge(replace(quick, certificate=measuring(CertificateConfig())), dataset)
    assert len(rows) == sum(len(dataset.instances(key)) for key in dataset.keys)
    assert {row.name for row in rows} == {"brick", "can"}
    first = rows[0]
    assert first.certificate is not None
    # The network's shape is a sphere of 3 cm, whatever it sees.
    assert first.certificate.threshold_m == pytest.approx(0.06, rel=0.03)
    assert np.isfinite([first.add_s_m, first.chamfer_m, first.camera_chamfer_m]).all()
    assert judge(model, dataset, min_visib_fract=1.1) == []


def test_calibrating_writes_bounds_that_the_model_then_uses(
    flat_checkpoint: Path, one_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judged, "right", property(lambda row: True))
    out = tmp_path / "calibration.json"
    data = ["--dataset", str(one_scene), "--split", "train"]
    arguments = ["calibrate", *data, "--weights", str(flat_checkpoint)]
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--target", "0.2", "--out", str(out)])
    assert left.value.code == 0
    content = json.loads(out.read_text())
    sha256 = load_model(flat_checkpoint).sha256
    assert content["model_sha256"] == sha256
    assert content["evidence"]["instances"] == 4 and content["evidence"]["right_instances"] == 4
    assert content["evidence"]["chosen"]["interval"][0] >= 0.2
    assert {"residual in metres", "residual in diameters", "free space", "minus mu"} < set(
        content["evidence"]["curves"]
    )
    config = read_calibration(out, model_sha256=sha256)
    assert config.calibration == "calibrated on 4 instances of tiny/train"
    assert config.calibrated_with == content["corrector"] == "default"
    assert (config.eps_m is None) != (config.eps_share is None)


def test_a_model_is_loaded_with_its_calibration(flat_checkpoint: Path, tmp_path: Path) -> None:
    assert load_model(flat_checkpoint).certificate == CertificateConfig()
    folder = tmp_path / flat_checkpoint.parent.name / "flat"
    shutil.copytree(flat_checkpoint, folder)
    document = json.loads((folder / "checkpoint.json").read_text())
    document["files"]["backbone"]["path"] = os.path.relpath(BACKBONE, folder)
    (folder / "checkpoint.json").write_text(json.dumps(document))
    bounds = {"eps_m": 0.004, "free_space_share": 0.1}
    config = CertificateConfig(**bounds, calibration="calibrated on x", calibrated_with="default")
    before = load_model(folder).sha256
    write_calibration(folder / "calibration.json", config, model_sha256=before, evidence={})
    model = load_model(folder)
    assert model.certificate == config
    assert model.sha256 == before  # calibrating changes no hash


def test_a_target_must_be_a_share(model: Model, bop_root: Path) -> None:
    with pytest.raises(InputError, match="between 0 and 1, got 95"):
        calibrate(model, [BopDataset(bop_root, "train")], target=95.0)


def test_a_calibration_comes_back_as_it_was(tmp_path: Path) -> None:
    config = CertificateConfig(
        eps_m=None,
        eps_share=0.02,
        free_space_share=0.1,
        calibration="calibrated on x",
        calibrated_with="search",
    )
    path = tmp_path / "deep" / "calibration.json"
    write_calibration(path, config, model_sha256="abc", evidence={"instances": 3})
    assert read_calibration(path, model_sha256="abc") == config
    assert [p.name for p in path.parent.iterdir()] == ["calibration.json"]


def test_without_a_calibration_of_its_own_a_model_says_so(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    assert read_calibration(path, model_sha256="abc") == CertificateConfig()
    assert CertificateConfig().calibration.startswith("uncalibrated")
    write_calibration(path, CertificateConfig(eps_m=0.1), model_sha256="other", evidence={})
    found = read_calibration(path, model_sha256="abc")
    assert found.eps_m == CertificateConfig().eps_m and "of another model" in found.calibration


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda content: content.pop("certificate"), "'certificate'"),
        (lambda content: content.update(format_version=9), "format version 9"),
        (lambda content: content["certificate"].update(epsilon=1), "certificate .*'epsilon'"),
        (lambda content: content["certificate"].pop("mu_min"), "certificate .*'mu_min'"),
        (lambda content: content["certificate"].update(mu_min="1e-6"), "certificate: mu_min"),
        (lambda content: content["certificate"].update(calibrated_with="bcd"), "'calibrated_with'"),
        (lambda content: content["certificate"]["surface"].update(colour=1), "surface .*'colour'"),
        (lambda content: content["certificate"].update(eps_m=-1.0), "eps_m"),
    ],
)
def test_a_damaged_calibration_is_refused(change, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(path, CertificateConfig(), model_sha256="abc", evidence={})
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=sentence):
        read_calibration(path, model_sha256="abc")
    path.write_text("{")
    with pytest.raises(InputError, match=r"calibration\.json"):
        read_calibration(path, model_sha256="abc")
