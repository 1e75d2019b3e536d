"""Rigid motions as 4x4 matrices with any leading batch axes. `T_a_b` maps points of frame b to frame a.

Tangent vectors are (v, w): translation part first, metres; rotation part second, radians.
"""

from __future__ import annotations

import roma
import torch
from jaxtyping import Float
from torch import Tensor

SMALL_ANGLE_RAD = 1e-2


def from_rotation_translation(
    R: Float[Tensor, "*b 3 3"], t: Float[Tensor, "*b 3"]
) -> Float[Tensor, "*b 4 4"]:
    """The motion z -> R z + t."""
    top = torch.cat([R, t.unsqueeze(-1)], dim=-1)
    last_row = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=R.dtype, device=R.device)
    return torch.cat([top, last_row.expand(*R.shape[:-2], 1, 4)], dim=-2)


def inverse(T: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4 4"]:
    """The inverse motion: R transposed, and -R' t."""
    R_back = T[..., :3, :3].mT
    t_back = -(R_back @ T[..., :3, 3:])[..., 0]
    return from_rotation_translation(R_back, t_back)


def apply(T: Float[Tensor, "*b 4 4"], points: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 3"]:
    """Transform points; T and the points must have the same leading axes."""
    return points @ T[..., :3, :3].mT + T[..., None, :3, 3]


def exp(xi: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 4 4"]:
    """Exponential map of SE(3); smooth (value and gradient) at zero."""
    v, w = xi[..., :3], xi[..., 3:]
    squared = w.square().sum(-1)
    small = squared < SMALL_ANGLE_RAD**2
    # The unused branch must stay finite, or its gradient would be NaN times zero.
    safe = torch.where(small, 1.0, squared)
    angle = safe.sqrt()
    a = torch.where(small, 1 - squared / 6 + squared**2 / 120, angle.sin() / angle)
    b = torch.where(small, 0.5 - squared / 24 + squared**2 / 720, (1 - angle.cos()) / safe)
    c = torch.where(small, 1 / 6 - squared / 120 + squared**2 / 5040, (angle - angle.sin()) / (angle * safe))
    W = _cross_matrix(w)
    identity, W2 = torch.eye(3, dtype=xi.dtype, device=xi.device), W @ W
    R = identity + a[..., None, None] * W + b[..., None, None] * W2
    V = identity + b[..., None, None] * W + c[..., None, None] * W2
    return from_rotation_translation(R, (V @ v.unsqueeze(-1))[..., 0])


def log(T: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 6"]:
    """Inverse of `exp` for rotations of at most 180 degrees."""
    w = roma.rotmat_to_rotvec(T[..., :3, :3])
    squared = w.square().sum(-1)
    small = squared < SMALL_ANGLE_RAD**2
    safe = torch.where(small, 1.0, squared)
    half = safe.sqrt() / 2
    d = torch.where(small, 1 / 12 + squared / 720, (1 - half / half.tan()) / safe)
    W = _cross_matrix(w)
    V_inverse = torch.eye(3, dtype=T.dtype, device=T.device) - W / 2 + d[..., None, None] * (W @ W)
    return torch.cat([(V_inverse @ T[..., :3, 3:])[..., 0], w], dim=-1)


def _cross_matrix(w: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    x, y, z = w.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def rotation_angle_deg(R_a: Float[Tensor, "*b 3 3"], R_b: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b"]:
    """Angle of the rotation between two rotations, degrees in [0, 180]."""
    return torch.rad2deg(roma.rotmat_geodesic_distance(R_a, R_b))


def random_rotation(n: int, generator: torch.Generator) -> Float[Tensor, "n 3 3"]:
    """n rotations, uniform on SO(3), float64."""
    return roma.random_rotmat(n, dtype=torch.float64, generator=generator, device=generator.device)
