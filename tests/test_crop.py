"""Crops: the tight box, no mixed depths, and pixels that stay where the camera saw them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crisp.crop import CropConfig, Window, crop, normalise, resample_image, sample_nearest, tight_box
from crisp.errors import ObjectFailure
from crisp.geometry.camera import Camera
from crisp.types import Crop, Detection, Frame

W, H = 64, 48
CAMERA = Camera(np.array([[70.0, 0, 31.2], [0, 72.0, 24.4], [0, 0, 1]]), W, H)
CONFIG = CropConfig(image_px=28, pnc_px=20)


def frame(depth_m: np.ndarray | None = None) -> Frame:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
    return Frame(rgb, np.full((H, W), 0.7, np.float32) if depth_m is None else depth_m, CAMERA)


def mask_of(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[top:bottom, left:right] = True
    return mask


def cut(mask: np.ndarray, depth_m: np.ndarray | None = None, config: CropConfig = CONFIG) -> Crop:
    seen = frame(depth_m)
    return crop(seen, Detection(mask), config, points_camera=CAMERA.backproject(seen.depth_m))


def test_the_box_is_tight() -> None:
    mask = mask_of(5, 7, 20, 30) & (np.arange(W) % 2 == 1)  # its odd columns: 5 to 19
    assert tight_box(mask) == (5, 7, 20, 30)
    assert cut(mask).box_px == (5, 7, 20, 30)
    single = mask_of(W - 1, H - 1, W, H)
    assert tight_box(single) == (W - 1, H - 1, W, H)


@pytest.mark.parametrize("config", [CropConfig(14, 8), CropConfig(56, 30), CropConfig()])
def test_sizes_come_from_the_configuration(config: CropConfig) -> None:
    found = cut(mask_of(4, 4, 30, 40), config=config)
    assert found.image.shape == (3, config.image_px, config.image_px)
    assert found.points_camera.shape == (config.pnc_px, config.pnc_px, 3)
    assert found.valid.shape == (config.pnc_px, config.pnc_px)


def test_depths_never_mix() -> None:
    depth_m = np.where((np.arange(W) + np.arange(H)[:, None]) % 3 == 0, 0.5, 0.9).astype(np.float32)
    for config in (CONFIG, CropConfig(28, 64)):
        z = cut(mask_of(3, 5, 40, 41), depth_m, config).points_camera[..., 2]
        assert set(z.unique().tolist()) == {np.float32(0.5).item(), np.float32(0.9).item()}


@pytest.mark.parametrize("box", [(5, 7, 20, 30), (0, 0, W, H), (50, 2, 64, 48)])
def test_points_project_to_their_place_in_the_grid(box: tuple[int, int, int, int]) -> None:
    depth_m = np.random.default_rng(1).uniform(0.4, 0.9, (H, W)).astype(np.float32)
    found = cut(mask_of(*box), depth_m)
    assert found.valid.all()
    pixels = CAMERA.project(found.points_camera.numpy())
    left, top, right, bottom = box
    g = CONFIG.pnc_px
    # Pixel centres are integers, so the box reaches from left - 1/2 to right - 1/2; nearest is within 1/2.
    wanted_u = left - 0.5 + (np.arange(g) + 0.5) / g * (right - left)
    wanted_v = top - 0.5 + (np.arange(g) + 0.5) / g * (bottom - top)
    assert np.abs(pixels[..., 0] - wanted_u).max() <= 0.5 + 1e-4
    assert np.abs(pixels[..., 1] - wanted_v[:, None]).max() <= 0.5 + 1e-4
    assert np.allclose(pixels, np.rint(pixels), atol=1e-3)


def test_one_grid_point_per_pixel_takes_each_pixel_once() -> None:
    values = np.arange(H * W).reshape(H, W)
    window = Window((10.0, 6.0, 30.0, 26.0))
    assert np.array_equal(sample_nearest(values, window, 20), values[6:26, 10:30])


def test_nothing_is_seen_outside_the_image() -> None:
    values = np.ones((H, W))
    sampled = sample_nearest(values, Window((-10.0, -10.0, 10.0, 10.0)), 20)
    assert sampled[10:, 10:].all() and not sampled[:10].any() and not sampled[:, :10].any()


@pytest.mark.parametrize("image_px", [28, 56, 10])  # finer than the box, much finer, and coarser
def test_a_ramp_stays_a_ramp(image_px: int) -> None:
    u, v = np.meshgrid(np.arange(W), np.arange(H))
    rgb = np.stack([3 * u, 4 * v, 2 * u + v], axis=-1).astype(np.uint8)
    left, top, right, bottom = 8.0, 6.0, 36.0, 34.0
    image = 255 * resample_image(rgb, Window((left, top, right, bottom)), image_px)
    unit = (torch.arange(image_px) + 0.5) / image_px
    at_u, at_v = left - 0.5 + unit * (right - left), (top - 0.5 + unit * (bottom - top))[:, None]
    wanted = torch.stack([(3 * at_u).expand_as(image[0]), (4 * at_v).expand_as(image[0]), 2 * at_u + at_v])
    assert torch.allclose(image, wanted, atol=0.02)


def test_a_box_that_shrinks_is_averaged_and_not_skipped_over() -> None:
    stripes = np.zeros((H, W, 3), np.uint8)
    stripes[:, ::2] = 255  # every second column: 48 px into 12 must see both
    image = resample_image(stripes, Window((8.0, 0.0, 56.0, 48.0)), 12)
    assert (image - 0.5).abs().max() < 0.05


def test_normalised_colours() -> None:
    grey = torch.full((2, 3, 4, 4), 0.5)
    wanted = [(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225]
    assert torch.allclose(normalise(grey)[1, :, 2, 3], torch.tensor(wanted), atol=1e-6)
    seen = frame()
    image = cut(mask_of(10, 10, 38, 38)).image  # one network pixel per image pixel
    first = torch.from_numpy(seen.rgb[10, 10] / 255.0).float()
    assert torch.allclose(image[:, 0, 0], normalise(first[:, None, None])[:, 0, 0], atol=1e-4)


def test_unmeasured_and_foreign_pixels_are_invalid_and_at_the_origin() -> None:
    depth_m = np.full((H, W), 0.7, np.float32)
    depth_m[10:20] = 0
    mask = mask_of(10, 10, 30, 30)
    mask[20:30, 20:30] = False
    found = cut(mask, depth_m)  # a grid of 20 over 20 pixels
    wanted = torch.zeros(20, 20, dtype=torch.bool)
    wanted[10:, :10] = True
    assert torch.equal(found.valid, wanted)
    assert not found.points_camera[~wanted].any()


def holes(*kept: tuple[int, int]) -> np.ndarray:
    depth_m = np.zeros((H, W), np.float32)
    depth_m[0, :] = 0.7
    for row, column in kept:
        depth_m[row, column] = 0.7
    return depth_m


@pytest.mark.parametrize(
    ("mask", "depth_m", "status", "sentence"),
    [
        (np.ones((H, W + 1), bool), None, "mask_size", "the mask is 65x48 but the frame is 64x48"),
        (np.zeros((H, W), bool), None, "mask_empty", "no pixel"),
        (mask_of(5, 5, 30, 30), holes(), "depth_missing", "no pixel of the mask has a depth"),
        (mask_of(5, 5, 8, 8), None, "too_few_points", "9 measured points; at least 16"),
        (mask_of(5, 5, 30, 30), holes((9, 9), (9, 10)), "too_few_points", "at least 16"),
    ],
)
def test_failures_of_one_object(
    mask: np.ndarray, depth_m: np.ndarray | None, status: str, sentence: str
) -> None:
    with pytest.raises(ObjectFailure, match=sentence) as caught:
        cut(mask, depth_m)
    assert caught.value.status == status
    assert caught.value.message.endswith(".")


def test_a_sparse_mask_is_judged_by_what_the_grid_meets() -> None:
    mask = np.zeros((H, W), bool)
    mask[1::9, 1::9] = True  # 6 x 7 = 42 pixels over a box of 46 x 55
    with pytest.raises(ObjectFailure, match=r"the crop holds \d measured points") as caught:
        cut(mask, config=CropConfig(28, 8))
    assert caught.value.status == "too_few_points"
