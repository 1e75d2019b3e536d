"""Records refuse at birth what cannot be meant; the sentence says what is wrong and what would be right."""

from __future__ import annotations

from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from crisp.errors import InputError
from crisp.geometry.camera import Camera
from crisp.types import Crop, Detection, Estimate, Frame, Mesh, Prediction, Result

K = np.array([[50.0, 0.0, 4.0], [0.0, 50.0, 3.0], [0.0, 0.0, 1.0]])


@pytest.fixture(autouse=True)
def as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' type checker would stop a wrong shape before the record itself can say what is wrong."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def rgb() -> np.ndarray:
    return np.zeros((6, 8, 3), np.uint8)


def depth(value: float = 0.8) -> np.ndarray:
    return np.full((6, 8), value, np.float32)


def with_one(value: float) -> np.ndarray:
    changed = depth()
    changed[2, 3] = value
    return changed


def frame(**changes: Any) -> Frame:
    given: dict[str, Any] = {"rgb": rgb(), "depth_m": depth(), "camera": Camera(K, 8, 6), **changes}
    return Frame(**given)


def test_a_sound_frame_is_kept_and_its_depth_is_float32() -> None:
    kept = frame(depth_m=depth().astype(np.float64), frame_id="000001/000002")
    assert kept.depth_m.dtype == np.float32
    assert kept.depth_m[0, 0] == np.float32(0.8)
    assert kept.frame_id == "000001/000002"


def test_a_frame_may_miss_depth_in_places() -> None:
    sparse = np.zeros((6, 8), np.float32)
    sparse[1, 1] = 0.5
    assert frame(depth_m=sparse).depth_m.sum() == 0.5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rgb": rgb()[..., 0]}, r"must be \(H, W, 3\) uint8"),
        ({"rgb": rgb().astype(np.float32)}, r"must be \(H, W, 3\) uint8, got \(6, 8, 3\) float32"),
        ({"rgb": np.zeros((6, 8, 4), np.uint8)}, r"must be \(H, W, 3\) uint8"),
        ({"rgb": rgb()[:5]}, "the colour image is 8x5 but the camera is for 8x6"),
        ({"depth_m": depth()[:, :7]}, "the depth map is 7x6 but the camera is for 8x6"),
        ({"depth_m": depth()[..., None]}, "the depth map is"),
        ({"depth_m": np.ones((6, 8), np.uint16)}, "must be floating point metres, got uint16"),
        ({"depth_m": with_one(np.nan)}, "NaN or infinity: write 0"),
        ({"depth_m": with_one(np.inf)}, "NaN or infinity: write 0"),
        ({"depth_m": with_one(-0.1)}, "negative values"),
        ({"depth_m": depth(0)}, "zero everywhere"),
        ({"depth_m": depth(800)}, "median depth is 800 m: this looks like millimetres read as metres"),
        ({"depth_m": depth(0.0008)}, "median depth is 0.80 mm: this looks like a wrong depth_scale"),
    ],
)
def test_a_frame_refuses(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        frame(**changes)


@pytest.mark.parametrize(
    ("K", "size", "sentence"),
    [
        (np.eye(4), (8, 6), r"3x3 matrix of finite numbers, got shape \(4, 4\)"),
        (np.where(K == 50, np.nan, K), (8, 6), "3x3 matrix of finite numbers"),
        (np.where(K == 50, 0, K), (8, 6), "singular or not of the form"),
        (K.T, (8, 6), "singular or not of the form"),
        (-K, (8, 6), "singular or not of the form"),
        (K, (0, 6), "image size must be positive, got 0x6"),
        (K, (80, 60), "seems to belong to another image size"),
        (K, (4, 3), "seems to belong to another image size"),
    ],
)
def test_a_camera_refuses(K: np.ndarray, size: tuple[int, int], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Camera(K, *size)


def test_an_estimate_must_be_rigid() -> None:
    code = torch.zeros(3)
    Estimate(torch.eye(4, dtype=torch.float64), code, 1.0)
    scaled = torch.eye(4, dtype=torch.float64)
    scaled[0, 0] = 1.001
    with pytest.raises(ValueError, match="not a rigid transform"):
        Estimate(scaled, code, 1.0)
    with pytest.raises(ValueError, match="not a rigid transform"):
        Estimate(torch.full((4, 4), torch.nan, dtype=torch.float64), code, 1.0)
    with pytest.raises(ValueError, match="reflection"):
        Estimate(torch.diag(torch.tensor([1.0, 1.0, -1.0, 1.0], dtype=torch.float64)), code, 1.0)


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.ones((6, 8), np.uint8), r"must be an \(H, W\) array of bool, got \(6, 8\) uint8"),
        (np.ones((6, 8, 1), bool), r"got \(6, 8, 1\) bool"),
        ([[True]], "got list"),
    ],
)
def test_a_detection_refuses(mask: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Detection(mask)


def test_a_mask_of_any_size_makes_a_detection() -> None:
    """The size, and that there is a pixel, are judged for each object alone when it is cut out."""
    assert Detection(np.zeros((3, 5), bool)).mask.shape == (3, 5)


SOUND: dict[type, dict[str, Any]] = {
    Crop: {
        "image": torch.zeros(3, 14, 14),
        "points_camera": torch.zeros(4, 4, 3),
        "valid": torch.ones(4, 4, dtype=torch.bool),
        "box_px": (1, 2, 3, 4),
    },
    Prediction: {"pnc": torch.zeros(2, 4, 4, 3), "shape_code": torch.zeros(2, 5)},
    Mesh: {"vertices": np.zeros((3, 3)), "faces": np.array([[0, 1, 2]])},
    Result: {
        "status": "ok",
        "T_camera_object": np.eye(4),
        "shape_code": np.zeros(5, np.float32),
        "mesh": Mesh(np.zeros((0, 3)), np.zeros((0, 3), int)),
        "diameter_m": 0.1,
        "inlier_share": 1.0,
        "box_px": (1, 2, 3, 4),
        "pnc": np.zeros((4, 4, 3), np.float32),
        "valid": np.ones((4, 4), bool),
    },
}


@pytest.mark.parametrize("record", SOUND)
def test_sound_records_are_kept(record: type) -> None:
    made = record(**SOUND[record])
    assert all(getattr(made, name) is value for name, value in SOUND[record].items())


@pytest.mark.parametrize(
    ("record", "changes", "sentence"),
    [
        (Crop, {"image": torch.zeros(14, 14, 3)}, r"an image \(3, S, S\) float32, got \(14, 14, 3\) float32"),
        (Crop, {"image": torch.zeros(3, 14, 15)}, r"an image \(3, S, S\)"),
        (Crop, {"image": torch.zeros(3, 14, 14).byte()}, r"float32, got \(3, 14, 14\) uint8"),
        (Crop, {"points_camera": torch.zeros(5, 5, 3)}, r"points \(G, G, 3\)"),
        (Crop, {"points_camera": torch.zeros(4, 4, 3).double()}, r"got \(4, 4, 3\) float64"),
        (Crop, {"valid": torch.ones(4, 4)}, r"valid \(G, G\) bool, got .* \(4, 4\) float32"),
        (Crop, {"valid": torch.ones(16, dtype=torch.bool)}, r"valid \(G, G\) bool"),
        (Crop, {"box_px": (3, 2, 3, 4)}, "left, top, right, bottom"),
        (Crop, {"box_px": (1, 4, 3, 2)}, "left, top, right, bottom"),
        (Prediction, {"pnc": torch.zeros(2, 16, 3)}, r"pnc \(B, G, G, 3\)"),
        (Prediction, {"pnc": torch.zeros(2, 3, 4, 4)}, r"pnc \(B, G, G, 3\)"),
        (Prediction, {"pnc": torch.zeros(2, 4, 4, 3).long()}, "floating point, got .* int64"),
        (Prediction, {"shape_code": torch.zeros(3, 5)}, r"shape_code \(B, C\)"),
        (Prediction, {"shape_code": torch.zeros(2)}, r"shape_code \(B, C\)"),
        (Mesh, {"vertices": np.zeros((3, 2))}, r"vertices must be \(N, 3\) floating point"),
        (Mesh, {"vertices": np.zeros((3, 3), int)}, r"vertices must be .*, got \(3, 3\) int64"),
        (Mesh, {"faces": np.zeros((1, 3))}, r"faces must be \(N, 3\) whole numbers, got \(1, 3\) float64"),
        (Mesh, {"faces": np.array([[0, 1, 3]])}, "numbers of its 3 vertices"),
        (Mesh, {"faces": np.array([[0, 1, -1]])}, "numbers of its 3 vertices"),
        (Result, {"status": "fine"}, "a known status"),
        (Result, {"status": "no_surface"}, "a sentence if not ok"),
        (Result, {"T_camera_object": np.eye(3)}, r"T_camera_object \(4, 4\)"),
        (Result, {"shape_code": np.zeros((1, 5))}, r"a code \(C,\), got \(1, 5\) float64"),
        (Result, {"pnc": np.zeros((4, 5, 3))}, r"pnc \(G, G, 3\)"),
        (Result, {"valid": np.ones((5, 5), bool)}, r"valid \(G, G\) bool"),
        (Result, {"valid": np.ones((4, 4))}, r"valid \(G, G\) bool"),
        (Result, {"diameter_m": -0.1}, "diameter_m cannot be -0.1"),
        (Result, {"diameter_m": np.inf}, "diameter_m cannot be inf"),
        (Result, {"inlier_share": np.nan}, "inlier_share cannot be nan"),
        (Result, {"inlier_share": 1.5}, "inlier_share cannot be 1.5"),
        (Result, {"box_px": (1, 2, 1, 4)}, "left, top, right, bottom"),
    ],
)
def test_records_refuse(record: type, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        record(**SOUND[record] | changes)


def test_an_object_without_estimate_needs_its_sentence_alone() -> None:
    assert Result(status="mask_empty", message="the mask has no pixel.").mesh is None
