"""All measured points of each object's mask, not only those of the crop's grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool

from crisp.errors import InputError
from crisp.refine.problem import Observation
from crisp.types import Frame


def observe_pixels(frame: Frame, masks: Sequence[Bool[np.ndarray, "h w"]]) -> Observation:
    """The measured pixels of each mask, back-projected: (B, N, 3) metres, float32, on the CPU.

    N is the largest count; the padding is zeros and not valid (the only place where rows are padded).

    Raises:
        InputError: a mask of another size than the frame.
    """
    if wrong := [mask.shape for mask in masks if mask.shape != frame.depth_m.shape]:
        raise InputError(
            f"a mask is {wrong[0][1]}x{wrong[0][0]} but the frame is "
            f"{frame.camera.width}x{frame.camera.height}: it must have the frame's size."
        )
    rows = [torch.from_numpy(frame.points_camera[mask & (frame.depth_m > 0)]) for mask in masks]
    counts = torch.tensor([len(row) for row in rows], dtype=torch.long)
    longest = int(counts.max()) if rows else 0
    padded = torch.zeros(len(rows), longest, 3)
    valid = torch.arange(longest) < counts[:, None]
    if rows:
        padded[valid] = torch.cat(rows)
    return Observation(padded, valid)
