"""Rotations about the origin."""

from __future__ import annotations

import torch
from scipy.spatial.transform import Rotation

NOT_TURNED = torch.eye(4, dtype=torch.float64)


def turned(degrees: tuple[float, float, float]) -> torch.Tensor:
    """About x, y and z, one after the other, as a pose."""
    T = NOT_TURNED.clone()
    T[:3, :3] = torch.from_numpy(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix())
    return T
