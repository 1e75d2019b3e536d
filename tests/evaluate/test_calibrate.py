"""Bounds that certify as seldom wrongly as was asked, their file, and a model that heeds it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from crisp.cli import main
from crisp.data.bop import BopDataset
from crisp.errors import InputError
from crisp.evaluate.bounds import Bounds, Evidence, Point, choose, curve, point
from crisp.evaluate.calibrate import calibrate, evidence_of, measuring
from crisp.evaluate.judge import Judged, judge
from crisp.model import BACKBONE, Model, load_model
from crisp.refine.calibration_file import read_calibration, write_calibration
from crisp.refine.certificate import CertificateConfig
from crisp.shape.mesh import MeshConfig
from crisp.types import Certificate

INF = np.inf


def evidence(
    residual_mm: list[float],
    right: list[bool],
    *,
    free: list[float] | None = None,
    minus_mu: list[float] | None = None,
    diameter_m: list[float] | None = None,
) -> Evidence:
    n = len(right)
    return Evidence(
        residual_m=np.array(residual_mm) / 1000,
        diameter_m=np.array(diameter_m or [0.1] * n),
        free_space_share=np.array(free or [0.0] * n),
        minus_mu=np.array(minus_mu or [INF] * n),
        right=np.array(right),
    )


def spread(count: int, low: float, high: float) -> list[float]:
    return np.linspace(low, high, count).tolist()


def test_a_residual_that_costs_nothing_is_tightened() -> None:
    """All are right, and one residual is far off: the loosest bound would let in any stranger."""
    found = evidence([*spread(199, 1, 5), 60.0], [True] * 200)
    bounds = choose(found, target=0.95)
    assert found.residual(bounds.scale)[found.residual(bounds.scale) < bounds.residual].max() < 0.05
    assert bounds.certified(found).sum() >= 0.95 * 199


def test_the_residual_alone_is_cut_where_the_wrong_ones_begin() -> None:
    # 100 right ones of 1 to 5 mm, 50 wrong ones of 6 to 9 mm. 100 of 100 have an interval from 0.964 up
    # (0.025^(1/100)), so 0.95 is reached with all of them; a few wrong ones are affordable (1 of 101: 0.946).
    found = evidence(spread(100, 1, 5) + spread(50, 6, 9), [True] * 100 + [False] * 50)
    bounds = choose(found, target=0.95)
    certified = bounds.certified(found)
    assert point(found, certified).interval[0] >= 0.95
    assert 0.95 * 97 <= certified.sum() <= 100  # tightening may cost a twentieth
    assert bounds.free_space_share == 0.0 and bounds.minus_mu == INF


def test_each_check_is_used_where_it_alone_tells_right_from_wrong() -> None:
    right = [True] * 100 + [False] * 50
    mixed = np.random.default_rng(0).uniform(1, 5, 150).tolist()
    told = spread(100, 0.0, 0.1) + spread(50, 0.3, 0.6)
    by_free = choose(evidence(mixed, right, free=told), target=0.9)
    assert 0.08 < by_free.free_space_share < 0.3
    by_mu = choose(evidence(mixed, right, minus_mu=[-v for v in told[::-1]][::-1]), target=0.3)
    assert by_mu.certified(evidence(mixed, right, minus_mu=[-v for v in told])).any()


@pytest.mark.parametrize("seed", range(5))
def test_no_combination_of_bounds_certifies_more(seed: int) -> None:
    """All bounds that tell instances apart are tried one by one here."""
    rng = np.random.default_rng(seed)
    right = rng.random(40) < 0.8
    figures = rng.integers(0, 6, (3, 40)) + 2 * ~right  # small numbers: many equals
    found = evidence(figures[0].tolist(), right.tolist(), free=figures[1].astype(float).tolist())
    found = replace(found, minus_mu=np.where(figures[2] > 6, INF, -1.0 / (1 + figures[2])))
    residuals = [value + 1e-9 for value in np.unique(found.residual_m)]
    places = product(residuals, [*np.unique(found.free_space_share), INF], [*np.unique(found.minus_mu), INF])
    reached = [p for place in places if (p := tried(found, *place)).interval[0] >= 0.5]
    most = max(p.certified for p in reached)
    least_right = min(p.certified - p.wrong for p in reached if p.certified == most)
    chosen = point(found, choose(found, target=0.5).certified(found))
    assert chosen.interval[0] >= 0.5
    assert chosen.certified <= most
    assert chosen.certified - chosen.wrong >= least_right - 0.05 * most  # what tightening may cost


def tried(found: Evidence, residual: float, free_space_share: float, minus_mu: float) -> Point:
    return point(found, Bounds("metres", residual, free_space_share, minus_mu).certified(found))


def test_one_wrong_instance_is_shut_out_where_it_lies() -> None:
    """Not at the next of a few places: one small mu must not cost the right ones that are as flat."""
    right = [True] * 400 + [False]
    mu = [*spread(400, -1e-4, -1.1e-6), -1e-6]
    found = evidence([3.0] * 401, right, free=[*spread(400, 0.0, 0.2), 0.1], minus_mu=mu)
    bounds = choose(found, target=0.99)
    assert bounds.certified(found).tolist() == right
    assert bounds.minus_mu == pytest.approx(-1.1e-6)


def test_checks_are_as_strict_as_what_is_certified_allows() -> None:
    """Nothing wrong has a high share of free space here; it is refused all the same, as unheard of."""
    free = [*spread(200, 0.0, 0.1), 0.9]
    found = evidence([3.0] * 200 + [30.0], [True] * 200 + [False], free=free, minus_mu=[-1.0] * 201)
    bounds = choose(found, target=0.95)
    assert bounds.free_space_share == pytest.approx(0.1) and bounds.minus_mu == -1.0
    assert bounds.certified(found).sum() == 200


def test_a_share_of_the_diameter_is_chosen_where_it_tells_more() -> None:
    # Right ones are off by 1 % of very different diameters, wrong ones by 4 %: metres mix them up.
    diameters = spread(100, 0.05, 0.3) + spread(50, 0.05, 0.3)
    residual = [1000 * d * share for d, share in zip(diameters, [0.01] * 100 + [0.04] * 50, strict=True)]
    found = evidence(residual, [True] * 100 + [False] * 50, diameter_m=diameters)
    bounds = choose(found, target=0.95)
    assert bounds.scale == "diameters"
    assert bounds.certified(found)[:100].sum() >= 97


def test_a_stricter_target_certifies_no_more_and_is_kept() -> None:
    rng = np.random.default_rng(1)
    right = rng.random(600) < 0.8
    residual = np.where(right, rng.gamma(2, 1.0, 600), rng.gamma(4, 1.5, 600))
    found = evidence(residual.tolist(), right.tolist(), free=rng.random(600).tolist())
    counts = []
    for target in (0.85, 0.9, 0.95):
        chosen = point(found, choose(found, target=target).certified(found))
        assert chosen.interval[0] >= target
        counts.append(chosen.certified)
    assert counts == sorted(counts, reverse=True) and counts[-1] > 0


def test_a_target_that_nothing_reaches_is_refused() -> None:
    few = evidence(spread(20, 1, 5), [True] * 20)  # 20 of 20: from 0.83 up
    with pytest.raises(InputError, match=r"no bounds certify .* 20 of 20 estimates are right"):
        choose(few, target=0.95)
    assert choose(few, target=0.8).certified(few).sum() >= 19
    with pytest.raises(InputError, match="no bounds certify"):
        choose(evidence([INF] * 3, [False] * 3), target=0.5)


def test_what_has_no_estimate_is_never_certified_and_counts_as_not_covered() -> None:
    found = evidence([INF] * 100 + spread(100, 1, 5), [False] * 100 + [True] * 100)
    bounds = Bounds("metres", INF)
    assert bounds.certified(found).tolist() == [False] * 100 + [True] * 100
    assert point(found, bounds.certified(found)).coverage == 0.5


def test_a_curve_covers_more_and_more() -> None:
    found = evidence(spread(50, 1, 5) + spread(50, 4, 9), [True] * 50 + [False] * 50)
    points = curve(found, found.residual("metres"))
    assert [p.certified for p in points] == sorted(p.certified for p in points)
    assert points[-1].coverage == 1.0 and points[-1].wrong == 50
    assert points[0].precision == 1.0


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
    assert (config.eps_m is None) != (config.eps_share is None)


def test_a_model_is_loaded_with_its_calibration(flat_checkpoint: Path, tmp_path: Path) -> None:
    assert load_model(flat_checkpoint).certificate == CertificateConfig()
    folder = tmp_path / flat_checkpoint.parent.name / "flat"
    shutil.copytree(flat_checkpoint, folder)
    document = json.loads((folder / "checkpoint.json").read_text())
    document["files"]["backbone"]["path"] = os.path.relpath(BACKBONE, folder)
    (folder / "checkpoint.json").write_text(json.dumps(document))
    config = CertificateConfig(eps_m=0.004, free_space_share=0.1, calibration="calibrated on x")
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
        eps_m=None, eps_share=0.02, free_space_share=0.1, calibration="calibrated on x"
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
        (lambda content: content.pop("certificate"), "is not a calibration"),
        (lambda content: content.update(format_version=9), "format version 9"),
        (lambda content: content["certificate"].update(epsilon=1), "must have the keys"),
        (lambda content: content["certificate"]["surface"].update(colour=1), "cannot be read"),
        (lambda content: content["certificate"].update(eps_m=-1.0), "eps_m must be positive"),
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
    with pytest.raises(InputError, match="is not a calibration"):
        read_calibration(path, model_sha256="abc")
