"""Analytic bodies as a depth camera measures them: their visible points, by sphere tracing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from crisp.geometry import pose
from crisp.refine.problem import Observation, State
from crisp.shape.sdf import AnalyticBox, AnalyticEllipsoid, AnalyticUnion, SignedDistance

CAMERA_M = 0.6  # of the camera from the object's origin
RAYS_PER_POINT = 6
HIT_M = 1e-9


@dataclass(frozen=True)
class Body:
    """An analytic field, a sampler of its codes, its symmetry rotations, and the allowed views.

    Args:
        draw: from (n, generator) to codes (n, C), float64.
        turns: (S, 3, 3), symmetry rotations including the identity.
        min_cosine: every axis of the object makes at least this cosine with the line of sight. Above 0 a
            camera sees three faces of a box; one or two would leave a translation open.
    """

    field: SignedDistance
    draw: Callable[[int, torch.Generator], Tensor]
    turns: Tensor
    min_cosine: float


def extents(n: int, g: torch.Generator) -> Tensor:
    """Half sizes (n, 3): the smallest 25 to 40 mm, each next one 1.25 to 1.6 times larger, in any order."""
    first = 0.025 + 0.015 * torch.rand(n, 1, generator=g, dtype=torch.float64)
    growth = 1.25 + 0.35 * torch.rand(n, 2, generator=g, dtype=torch.float64)
    sizes = torch.cat([first, first * growth[:, :1], first * growth.prod(-1, keepdim=True)], dim=-1)
    order = torch.rand(n, 3, generator=g).argsort(-1)
    return sizes.gather(1, order)


def box_with_knob(n: int, g: torch.Generator) -> Tensor:
    """A box and an ellipsoid that sticks out of its +x face, off the centre: it has no symmetry."""
    half = extents(n, g)
    centre = half * torch.tensor([1.0, 0.1, 0.4], dtype=torch.float64)
    return torch.cat([half, centre, half * torch.tensor([0.6, 0.4, 0.3], dtype=torch.float64)], dim=-1)


def bodies() -> dict[str, Body]:
    """Box, ellipsoid, and the union of the two."""
    signs = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    halves, none = torch.diag_embed(signs), torch.eye(3, dtype=torch.float64)[None]
    union = AnalyticUnion(AnalyticBox(), AnalyticEllipsoid(), 3)
    return {
        "box": Body(AnalyticBox(), extents, halves, 0.35),
        "ellipsoid": Body(AnalyticEllipsoid(), extents, halves, 0.0),
        "union": Body(union, box_with_knob, none, 0.35),
    }


def viewpoints(n: int, g: torch.Generator, min_cosine: float) -> Tensor:
    """Unit directions (n, 3) from the object to the camera, uniform among those that `min_cosine` allows."""
    found = torch.zeros(0, 3, dtype=torch.float64)
    while len(found) < n:
        d = torch.nn.functional.normalize(torch.randn(4 * n, 3, generator=g, dtype=torch.float64), dim=-1)
        found = torch.cat([found, d[d.abs().amin(-1) >= min_cosine]])
    return found[:n]


def visible_points(
    field: SignedDistance,
    code: Tensor,
    directions: Tensor,
    *,
    points: int,
    radius_m: Tensor,
    g: torch.Generator,
) -> Tensor:
    """Points (B, N, 3) of the surfaces that cameras in these directions see, object frame, float64.

    Rays go through a disc of `radius_m` (B,) about the origin, uniformly. Sphere tracing finds where they
    enter, Newton's method along the ray ends it; rays that do not converge to `HIT_M` are left out.
    """
    radius_m = radius_m[:, None, None]
    eye = (CAMERA_M * directions)[:, None]
    target = torch.randn(len(code), RAYS_PER_POINT * points, 3, generator=g, dtype=torch.float64)
    target = target - (target * directions[:, None]).sum(-1, keepdim=True) * directions[:, None]
    reach = radius_m * torch.rand(*target.shape[:2], 1, generator=g, dtype=torch.float64).sqrt()
    ray = torch.nn.functional.normalize(torch.nn.functional.normalize(target, dim=-1) * reach - eye, dim=-1)
    along = (CAMERA_M - 1.5 * radius_m).expand_as(ray[..., :1])
    with torch.no_grad():
        for _ in range(40):
            along = along + 0.8 * field(eye + along * ray, code)[..., None]
    for _ in range(5):
        at = along.detach().requires_grad_()
        distance = field(eye + at * ray, code)
        (slope,) = torch.autograd.grad(distance.sum(), at)
        step = distance[..., None].detach() / torch.where(slope.abs() > 0.02, slope, torch.inf)
        along = at.detach() - step.clamp(-0.01, 0.01)
    found = eye + along * ray
    with torch.no_grad():
        hit = (
            (field(found, code).abs() < HIT_M)
            & (slope[..., 0] < 0)
            & (found.norm(dim=-1) < 1.5 * radius_m[..., 0])
        )
    assert hit.sum(-1).min() >= points, f"too few rays hit: {hit.sum(-1).min()}"
    first = (~hit).to(torch.uint8).argsort(dim=-1, stable=True)[:, :points, None]
    return found.gather(1, first.expand(-1, -1, 3))


def displaced(n: int, g: torch.Generator, *, turn_deg: float, shift_m: float, full: bool = False) -> Tensor:
    """Motions (n, 4, 4) of up to so much, directions uniform, sizes uniform (or all of them full)."""
    size = (
        torch.ones(n, 2, dtype=torch.float64) if full else torch.rand(n, 2, generator=g, dtype=torch.float64)
    )
    way = torch.nn.functional.normalize(torch.randn(n, 2, 3, generator=g, dtype=torch.float64), dim=-1)
    limit = torch.tensor([shift_m, torch.pi * turn_deg / 180], dtype=torch.float64)
    return pose.exp((way * (size * limit)[..., None]).flatten(1))


def camera_pose(directions: Tensor, g: torch.Generator) -> Tensor:
    """T_camera_object (n, 4, 4): the object `CAMERA_M` ahead of a camera in these directions, any roll."""
    n = len(directions)
    up = torch.nn.functional.normalize(torch.randn(n, 3, generator=g, dtype=torch.float64), dim=-1)
    x = torch.nn.functional.normalize(torch.linalg.cross(up, -directions), dim=-1)
    R = torch.stack([x, torch.linalg.cross(-directions, x), -directions], dim=-2)
    t = torch.tensor([0.0, 0.0, CAMERA_M], dtype=torch.float64).repeat(n, 1)
    return pose.from_rotation_translation(R, t)


def problem_at(pnc_true: Tensor, T_true: Tensor, start: Tensor, code: Tensor) -> tuple[Observation, State]:
    """Measured points, and the state whose Z is what they are under the starting pose."""
    points = pose.apply(T_true, pnc_true)
    state = State(pose.apply(pose.inverse(start), points), start, code)
    return Observation(points, torch.ones(points.shape[:2], dtype=torch.bool)), state


def as_float32(observation: Observation, state: State) -> tuple[Observation, State]:
    """What the product computes in."""
    state = State(state.pnc.float(), state.T_camera_object.float(), state.shape_code.float())
    return Observation(observation.points_camera.float(), observation.valid), state


def pose_errors(T: Tensor, T_true: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation (degrees) and translation (metres) errors, the rotation to the nearest of the body's turns."""
    T, T_true = T.double(), T_true.double()
    allowed = T_true[:, None, :3, :3] @ turns
    angle = pose.rotation_angle_deg(T[:, None, :3, :3].expand_as(allowed), allowed).amin(-1)
    return angle, (T[:, :3, 3] - T_true[:, :3, 3]).norm(dim=-1)
