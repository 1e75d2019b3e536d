"""Surface where the camera looked through: worked cases with spheres before a wall, and a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crisp.errors import InputError
from crisp.geometry.camera import Camera
from crisp.refine.free_space import DepthMap, FreeSpace, FreeSpaceConfig, free_space, grown, outside_mask
from crisp.shape.sdf import AnalyticSphere
from crisp.shape.surface import SurfacePoints, surface_points

CAMERA = Camera(np.array([[100.0, 0, 49.5], [0, 100.0, 39.5], [0, 0, 1]]), width=100, height=80)
RADIUS_M = 0.06
SPHERE = surface_points(AnalyticSphere(cube_half_m=0.1), torch.tensor([[RADIUS_M]]))
EXACT = FreeSpaceConfig(tolerance_m=0.002, tolerance_share=0.0, margin_px=1)


def at(x: float, y: float, z: float) -> torch.Tensor:
    T = torch.eye(4, dtype=torch.float64)[None].clone()
    T[0, :3, 3] = torch.tensor([x, y, z])
    return T


def wall(depth_m: float) -> torch.Tensor:
    return torch.full((80, 100), depth_m)


def sphere_depth(z: float) -> torch.Tensor:
    """Exact depth of the sphere at (0, 0, z) before a wall at 1 m: the nearer root along each ray."""
    rays = torch.from_numpy(CAMERA.rays())
    a, b, c = rays.square().sum(-1), rays[..., 2] * z, z**2 - RADIUS_M**2
    root = b**2 - a * c
    return torch.where(root > 0, (b - root.clamp(min=0).sqrt()) / a, 1.0).float()


def check(T: torch.Tensor, depth_m: torch.Tensor, config: FreeSpaceConfig = EXACT) -> FreeSpace:
    return free_space(SPHERE, T, DepthMap(depth_m, CAMERA), config=config)


def test_a_surface_in_seen_air_is_all_violation() -> None:
    found = check(at(0, 0, 0.5), wall(1.0))
    assert float(found.share) == 1.0
    # From 0.5 m the camera sees the cap before the tangent cone: (1 - r / d) / 2 = 44 % of a sphere.
    assert int(found.checked) == pytest.approx(0.44 * int(SPHERE.valid.sum()), rel=0.15)


def test_a_surface_that_was_measured_is_none() -> None:
    assert float(check(at(0, 0, 0.5), sphere_depth(0.5)).share) == 0.0


def test_what_is_measured_elsewhere_on_the_object_does_not_hide_it() -> None:
    # 2 cm too near: the front of it stands before the measurement by 2 cm times a cosine.
    found = check(at(0, 0, 0.48), sphere_depth(0.5))
    assert float(found.share) > 0.9


@pytest.mark.parametrize(
    ("T", "depth_m"),
    [
        (at(0, 0, 0.5), torch.zeros(80, 100)),  # nothing was measured
        (at(0, 0, 0.5), wall(0.3)),  # it is hidden behind something
        (at(2.0, 0, 0.5), wall(1.0)),  # it is beside the image
        (at(0, 0, -0.5), wall(1.0)),  # it is behind the camera
    ],
)
def test_no_measurement_is_no_evidence(T: torch.Tensor, depth_m: torch.Tensor) -> None:
    found = check(T, depth_m)
    assert int(found.checked) == 0
    assert torch.isnan(found.share).all()


def test_half_hidden_counts_the_half_that_is_seen() -> None:
    depth_m = wall(1.0)
    depth_m[:, :50] = 0.2
    found = check(at(0, 0, 0.5), depth_m)
    assert 0.35 < int(found.checked) / int(check(at(0, 0, 0.5), wall(1.0)).checked) < 0.65
    # Next to the near edge a pixel on the left speaks for it: with the margin, that is no violation.
    assert 0.8 < float(found.share) < 1.0
    sharp = FreeSpaceConfig(tolerance_m=0.002, tolerance_share=0.0, margin_px=0)
    assert float(check(at(0, 0, 0.5), depth_m, sharp).share) == 1.0


def test_a_wider_margin_or_tolerance_never_accuses_more() -> None:
    depth_m, T = sphere_depth(0.5), at(0.01, 0.005, 0.497)
    shares = [float(check(T, depth_m, FreeSpaceConfig(0.001, 0.0, m)).share) for m in range(4)]
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]
    counts = []
    for tolerance in (0.0, 0.002, 0.005, 0.6):
        found = check(T, depth_m, FreeSpaceConfig(tolerance, 0.0, 0))
        counts.append(float(found.share) * int(found.checked))
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1] == 0


def test_it_equals_its_plain_twin() -> None:
    generator = torch.Generator().manual_seed(0)
    patches = 0.4 + 0.3 * torch.rand(10, 10, generator=generator)
    depth_m = patches.repeat_interleave(8, dim=0).repeat_interleave(10, dim=1)
    depth_m[torch.rand(80, 100, generator=generator) < 0.3] = 0.0
    T = at(0.03, -0.02, 0.55)
    config = FreeSpaceConfig(tolerance_m=0.004, tolerance_share=0.01, margin_px=2)
    checked = before = 0
    for point, normal in zip(SPHERE.points_object[0], SPHERE.normal[0], strict=True):
        x = point.double() + T[0, :3, 3]
        u, v = (round(float(x[i] / x[2]) * 100 + c) for i, c in ((0, 49.5), (1, 39.5)))
        if float(normal.double() @ x) >= 0 or float(depth_m[v, u]) == 0:
            continue
        z, tolerance = float(x[2]), 0.004 + 0.01 * float(x[2])
        if z >= float(depth_m[v, u]) + tolerance:
            continue
        checked += 1
        around = depth_m[max(v - 2, 0) : v + 3, max(u - 2, 0) : u + 3]
        before += z < float(around[around > 0].min()) - tolerance
    found = check(T, depth_m, config)
    assert int(found.checked) == checked
    assert float(found.share) == pytest.approx(before / checked)
    assert 0 < before < checked


def sphere_mask(z: float) -> torch.Tensor:
    return sphere_depth(z) < 1.0


def outside(T: torch.Tensor, depth_m: torch.Tensor, mask: torch.Tensor) -> float:
    of, depth = torch.zeros(len(T), dtype=torch.long), DepthMap(depth_m, CAMERA)
    return float(outside_mask(SPHERE, T, depth, inside=grown(mask[None], 1), of=of, config=EXACT))


def test_a_surface_in_its_mask_is_all_inside_and_beside_it_all_outside() -> None:
    assert outside(at(0, 0, 0.5), sphere_depth(0.5), sphere_mask(0.5)) == 0.0
    assert outside(at(0.25, 0, 0.6), sphere_depth(0.5), sphere_mask(0.5)) == 1.0


def test_what_lies_on_another_object_is_outside_though_no_camera_saw_through_it() -> None:
    """The mask is the left half alone: the right half of what was measured is another object's."""
    mask = sphere_mask(0.5)
    mask[:, 50:] = False
    assert 0.35 < outside(at(0, 0, 0.5), sphere_depth(0.5), mask) < 0.55
    assert float(check(at(0, 0, 0.5), sphere_depth(0.5)).share) == 0.0


def test_what_is_hidden_or_was_not_measured_is_no_evidence_against_a_mask() -> None:
    nothing = torch.zeros(80, 100, dtype=torch.bool)
    for depth_m in (torch.zeros(80, 100), wall(0.3)):
        assert np.isnan(outside(at(0, 0, 0.5), depth_m, nothing))


def test_each_shape_has_its_own_mask() -> None:
    masks = torch.stack([sphere_mask(0.5), torch.zeros(80, 100, dtype=torch.bool)])
    three = SPHERE.take(torch.tensor([0, 0, 0]))
    T, depth = at(0, 0, 0.5).expand(3, 4, 4), DepthMap(sphere_depth(0.5), CAMERA)
    of = torch.tensor([1, 0, 1])
    found = outside_mask(three, T, depth, inside=grown(masks, 1), of=of, config=EXACT)
    assert found.tolist() == [1.0, 0.0, 1.0]


def test_a_mask_grows_by_its_margin_along_both_axes() -> None:
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[0, 4, 3] = True
    wanted = torch.zeros(1, 9, 9, dtype=torch.bool)
    wanted[0, 2:7, 1:6] = True
    assert torch.equal(grown(mask, 2), wanted)


def test_padding_is_no_surface() -> None:
    padded = SurfacePoints(
        torch.cat([SPHERE.points_object, torch.zeros(1, 50, 3)], dim=1),
        torch.cat([SPHERE.normal, torch.full((1, 50, 3), -1.0)], dim=1),
        torch.cat([SPHERE.valid, torch.zeros(1, 50, dtype=torch.bool)], dim=1),
    )
    found = free_space(padded, at(0, 0, 0.5), DepthMap(wall(1.0), CAMERA), config=EXACT)
    assert int(found.checked) == int(check(at(0, 0, 0.5), wall(1.0)).checked)


@pytest.mark.parametrize("values", [(-0.1, 0.0, 1), (0.0, -0.1, 1), (0.0, 0.0, -1)])
def test_tolerances_that_cannot_be_are_refused(values: tuple[float, float, int]) -> None:
    with pytest.raises(InputError, match="must not be negative"):
        FreeSpaceConfig(*values)
