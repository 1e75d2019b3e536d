"""Before and after: distances that can be reasoned out, and the network's own word given back unchanged."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from page_reader import CAMERA, pose

from crisp.errors import ObjectFailure
from crisp.model import Model
from crisp.output.report import compare, network_alone
from crisp.shape.mesh import MeshConfig
from crisp.shape.sdf import AnalyticBox
from crisp.types import Certificate, CorrectionSummary, Detection, Frame, Mesh, Result

HALF_M = (0.05, 0.04, 0.03)
AWAY_M = 0.5


class BoxModel(Model):
    """Its shapes are boxes; of everything else it has nothing."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        object.__setattr__(self, "network", SimpleNamespace(decoder=AnalyticBox(cube_half_m=0.1)))
        object.__setattr__(self, "meshing", MeshConfig(resolution=41))  # nodes 5 mm apart


@pytest.fixture
def frame() -> Frame:
    """The box's front face fills the middle of the image; one of its pixels was not measured."""
    depth_m = np.full((CAMERA.height, CAMERA.width), AWAY_M - HALF_M[2], dtype=np.float32)
    depth_m[60, 80] = 0.0
    return Frame(np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8), depth_m, CAMERA)


@pytest.fixture
def detection() -> Detection:
    mask = np.zeros((CAMERA.height, CAMERA.width), dtype=bool)
    mask[55:66, 72:89] = True  # within 120 * 0.04 / 0.47 = 10 px and 12 px of the middle
    return Detection(mask)


def summary(*, moved_m: float = 0.0, code: tuple[float, float, float] = HALF_M) -> CorrectionSummary:
    return CorrectionSummary(
        status="converged",
        reason="the objective stopped falling.",
        rounds=2,
        rms_start_m=moved_m,
        rms_m=0.0,
        T_camera_object_start=pose(0.0, 0.0, AWAY_M + moved_m),
        shape_code_start=np.array(code, dtype=np.float32),
        lambda_min=0.0,
        mu=1.0,
    )


def found(correction: CorrectionSummary | None) -> Result:
    solid = trimesh.creation.box(2 * np.array(HALF_M))
    return Result(
        status="ok",
        T_camera_object=pose(0.0, 0.0, AWAY_M),
        shape_code=np.array(HALF_M, dtype=np.float32),
        mesh=Mesh(np.array(solid.vertices), np.array(solid.faces)),
        box_px=(72, 55, 89, 66),
        correction=correction,
        certificate=Certificate(True, 0.0, 0.01, 0.98, 186, 1.0),
    )


def test_distances_before_and_after(frame: Frame, detection: Detection) -> None:
    """8 mm too far, the front face lies 8 mm behind every point; the mask has 11 x 17 pixels, less one."""
    result = found(summary(moved_m=0.008))
    (compared,) = compare(BoxModel(), frame, [detection], results=[result])
    assert compared is not None and compared.start is not None and compared.start_distance_m is not None
    measured = detection.mask & (frame.depth_m > 0)
    for distance, wanted in ((compared.start_distance_m, 0.008), (compared.distance_m, 0.0)):
        assert distance.shape == (CAMERA.height, CAMERA.width)
        np.testing.assert_array_equal(~np.isnan(distance), measured)
        np.testing.assert_allclose(distance[measured], wanted, atol=1e-6)
    assert measured.sum() == 11 * 17 - 1


def test_the_networks_shape_is_meshed_where_it_is_another(frame: Frame, detection: Detection) -> None:
    """The start is 20 mm larger each way: at the true pose its front face is 20 mm before the points."""
    larger = tuple(half + 0.02 for half in HALF_M)
    result = found(summary(code=larger))
    (compared,) = compare(BoxModel(), frame, [detection], results=[result])
    assert compared is not None and compared.start is not None and compared.start_distance_m is not None
    np.testing.assert_allclose(np.nanmax(compared.start_distance_m), 0.02, atol=1e-6)
    assert compared.start.mesh is not None
    np.testing.assert_allclose(np.ptp(compared.start.mesh.vertices, axis=0), 2 * np.array(larger), atol=1e-3)
    assert compared.start.diameter_m == pytest.approx(2 * np.linalg.norm(larger), abs=5e-3)


def test_the_networks_word_is_given_back_as_it_was() -> None:
    kept = found(summary(moved_m=0.008))
    gone = found(summary(code=(-0.3, -0.3, -0.3)))  # no point is that far inside: no surface
    starts = network_alone(BoxModel(), [kept, gone, found(None)])
    assert starts[0] is not None and starts[1] is not None and starts[2] is None
    np.testing.assert_array_equal(starts[0].T_camera_object, pose(0.0, 0.0, AWAY_M + 0.008))
    assert starts[0].mesh is kept.mesh and starts[0].status == "ok"
    assert (starts[0].certificate, starts[0].correction) == (None, None)  # those are of the corrected answer
    assert (starts[1].status, starts[1].mesh) == ("no_surface", None) and starts[1].message


def test_objects_without_an_estimate_keep_their_places(frame: Frame, detection: Detection) -> None:
    failed = ObjectFailure("mask_empty", "the mask has no pixel.")
    results = [Result(failed.status, failed.message), found(None), replace(found(None), shape_code=None)]
    nothing, plain, codeless = compare(BoxModel(), frame, [failed, detection, detection], results=results)
    assert nothing is None and codeless is None
    assert plain is not None and plain.start is None and plain.start_distance_m is None
    np.testing.assert_allclose(np.nanmax(plain.distance_m), 0.0, atol=1e-6)


def test_nothing_at_all(frame: Frame) -> None:
    assert compare(BoxModel(), frame, [], results=[]) == []
