"""Training views: targets are the object's own coordinates, and the image shows them where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from crisp.crop import CropConfig, crop, normalise
from crisp.geometry.camera import Camera
from crisp.learn.recipe import Augmentation
from crisp.learn.views import Scenery, View, cut_view
from crisp.types import Detection, Frame

W, H = 96, 72
CAMERA = Camera(np.array([[100.0, 0, 47], [0, 104.0, 36.5], [0, 0, 1]]), W, H)
NOTHING = Augmentation(**dict.fromkeys(Augmentation.__dataclass_fields__, 0.0))
SPAN_M = 0.5  # of coordinates that colours can name
PX = 56


def tilted_plane() -> tuple[Scenery, np.ndarray, np.ndarray]:
    """A plane whose colours are its points' coordinates in the object frame, a disc of it, and the pose."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("xyz", [0.4, -0.3, 0.8]).as_matrix()
    T[:3, 3] = [0.02, -0.01, 0.5]
    rays = CAMERA.rays()
    normal = T[:3, 2]
    depth_m = ((T[:3, 3] @ normal) / (rays @ normal)).astype(np.float32)
    points_camera = CAMERA.backproject(depth_m)
    points_object = (points_camera - T[:3, 3]) @ T[:3, :3]
    rgb = np.clip(255 * (points_object / SPAN_M + 0.5), 0, 255).round().astype(np.uint8)
    u, v = np.meshgrid(np.arange(W), np.arange(H))
    mask = (u - 50) ** 2 / 24**2 + (v - 34) ** 2 / 18**2 < 1
    return Scenery(rgb, depth_m, points_camera), mask, T


def view(augmentation: Augmentation | None, seed: int = 0) -> View:
    scenery, mask, T = tilted_plane()
    rng = np.random.default_rng(seed)
    found = cut_view(
        scenery, mask, T, image_px=PX, pnc_px=PX, augmentation=augmentation, rng=rng if augmentation else None
    )
    assert found is not None
    return found


def told_by_colour(image: torch.Tensor) -> torch.Tensor:
    return (image.permute(1, 2, 0) - 0.5) * SPAN_M


def misfit_m(found: View) -> float:
    """Largest difference between coordinates and those that colours tell, where colours are not blended."""
    inner = torch.from_numpy(binary_erosion(found.valid.numpy(), iterations=3))
    difference = (told_by_colour(found.image) - found.target).norm(dim=-1)
    assert inner.sum() > 400
    return float(difference[inner].max())


# A pixel is about 5 mm wide on the plane, and nearest sampling is off by half a pixel along each axis:
# up to 4 mm. A colour step is 2 mm. A wrong sign of the turn, or half a pixel's bias, would be far above that
# at the disc's rim (60 mm from its centre).
ALIGNED_M = 0.0055


def test_a_plain_view_is_what_inference_cuts() -> None:
    scenery, mask, T = tilted_plane()
    found = view(None)
    config = CropConfig(image_px=PX, pnc_px=PX)
    frame = Frame(scenery.rgb, scenery.depth_m, CAMERA)
    seen = crop(frame, Detection(mask), config, points_camera=scenery.points_camera)
    assert torch.equal(normalise(found.image), seen.image)
    assert torch.equal(found.valid, seen.valid)
    # Target = T^-1 X at every valid pixel, and nothing elsewhere.
    wanted = (seen.points_camera.double().numpy() - T[:3, 3]) @ T[:3, :3]
    assert np.allclose(found.target[found.valid], wanted[found.valid], atol=1e-6)
    assert not found.target[~found.valid].any()
    assert found.target[found.valid][:, 2].abs().max() < 1e-6  # the plane is z = 0 of its object


def test_a_plain_views_colours_lie_on_its_targets() -> None:
    assert misfit_m(view(None)) < ALIGNED_M


@pytest.mark.parametrize("seed", range(8))
def test_a_turned_and_moved_views_colours_lie_on_its_targets(seed: int) -> None:
    found = view(replace(NOTHING, rotation_deg=60.0, box_jitter=0.1), seed)
    assert misfit_m(found) < ALIGNED_M
    assert found.target[found.valid][:, 2].abs().max() < 1e-6


def test_the_tolerance_would_see_a_turn_the_other_way() -> None:
    found = view(replace(NOTHING, rotation_deg=60.0), seed=1)
    mirrored = View(found.image, found.target.flip(1), found.valid.flip(1))
    assert misfit_m(mirrored) > 4 * ALIGNED_M


def test_turning_turns() -> None:
    turned, plain = view(replace(NOTHING, rotation_deg=60.0), seed=1), view(None)
    centre = PX // 2
    difference = (turned.target - plain.target).norm(dim=-1)
    assert difference[centre, centre] < 0.01 < difference[turned.valid & plain.valid].max()


def test_the_turned_box_is_tight_too() -> None:
    found = view(replace(NOTHING, rotation_deg=60.0), seed=3)
    rows, columns = found.valid.any(1).nonzero().flatten(), found.valid.any(0).nonzero().flatten()
    assert rows[0] <= 1 and columns[0] <= 1 and rows[-1] >= PX - 2 and columns[-1] >= PX - 2


@pytest.mark.parametrize("seed", range(6))
def test_covered_pixels_are_invalid_and_the_rest_stays_true(seed: int) -> None:
    covering = replace(NOTHING, occlusion=1.0)
    found, plain = view(covering, seed), view(None)
    assert misfit_m(found) < ALIGNED_M  # what shows other things is not valid
    # Between 5 and 35 % of the object are hidden; measured by area, since the window shrinks with it.
    share = points_area(found) / points_area(plain)
    assert 0.55 < share < 0.98


def points_area(found: View) -> float:
    """Area of the valid targets on the plane: their convex extent."""
    return float(ConvexHull(found.target[found.valid][:, :2].double().numpy()).volume)


def test_colours_change_and_geometry_does_not() -> None:
    colourful = replace(
        NOTHING, brightness=0.5, contrast=0.4, saturation=0.5, hue=0.1, noise=0.05, blur_px=2.0
    )
    found, plain = view(colourful, seed=4), view(None)
    assert torch.equal(found.target, plain.target) and torch.equal(found.valid, plain.valid)
    assert (found.image - plain.image).abs().mean() > 0.02
    assert found.image.dtype == torch.float32 and found.image.min() >= 0 and found.image.max() <= 1


def test_the_same_seed_gives_the_same_view() -> None:
    first, again, other = (view(Augmentation(), seed) for seed in (5, 5, 6))
    assert torch.equal(first.image, again.image) and torch.equal(first.target, again.target)
    assert not torch.equal(first.image, other.image)


def test_an_object_without_measurements_gives_no_view() -> None:
    scenery, mask, T = tilted_plane()
    blind = Scenery(scenery.rgb, np.zeros_like(scenery.depth_m), np.zeros_like(scenery.points_camera))
    assert cut_view(blind, mask, T, image_px=PX, pnc_px=PX) is None
    assert cut_view(scenery, np.zeros_like(mask), T, image_px=PX, pnc_px=PX) is None
