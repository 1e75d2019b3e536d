"""Records refuse at birth what cannot be meant; the sentence says what is wrong and what would be right."""

from __future__ import annotations

from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from crisp.errors import InputError
from crisp.geometry.camera import Camera
from crisp.types import Estimate, Frame

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
