"""What every process has to say, heard by all."""

from __future__ import annotations

from typing import TypeVar

import torch
from lightning_fabric import Fabric

Said = TypeVar("Said")


def gathered(mine: Said, fabric: Fabric) -> list[Said]:
    """One entry a process, in the order of their ranks."""
    if fabric.world_size == 1:
        return [mine]
    entries: list[Said | None] = [None] * fabric.world_size
    torch.distributed.all_gather_object(entries, mine)
    return entries  # type: ignore[return-value]
