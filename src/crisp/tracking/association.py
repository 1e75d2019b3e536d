"""Which objects of a frame are which tracks of its scene: told by the user, or by their places in the world.

Matching is for estimates under way, which may use a track but not change it; certified results feed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from crisp.errors import InputError
from crisp.objects import FrameObject, Objects
from crisp.refine.active_shape import NETWORK_BOX_NODES, box_diameters_m
from crisp.refine.problem import ShapeBasis
from crisp.shape.sdf import SignedDistance
from crisp.tracking.pool import Sighting, TrackPool
from crisp.types import Estimate

RIGID_TOLERANCE = 1e-3
Names = list[str | None]


@runtime_checkable
class Matching(Protocol):
    """Tells which objects of a frame are which; the tracks are in its pool, made by its weights."""

    @property
    def pool(self) -> TrackPool: ...

    @property
    def weights(self) -> str: ...

    @property
    def tracks(self) -> dict[int, str | None]:
        """What is known so far: the track of each object by its slot."""

    def match(self, objects: Objects, basis: ShapeBasis) -> Names:
        """The track of each object alive, by its registered estimate."""

    def feed(self, certified: Sequence[FrameObject], points: Sequence[Tensor]) -> None:
        """Hand certified objects and their points (N, 3) in the object frame over to the pool."""


@dataclass(frozen=True, eq=False)
class ByName:
    """The user says which object is which."""

    pool: TrackPool
    weights: str
    tracks: dict[int, str | None]

    def match(self, objects: Objects, basis: ShapeBasis) -> Names:
        return [self.tracks[slot] for slot in objects.slots]

    def feed(self, certified: Sequence[FrameObject], points: Sequence[Tensor]) -> None:
        for item, some in zip(certified, points, strict=True):
            if (name := self.tracks[item.slot]) is not None:
                self.pool.add(name, some, weights=self.weights)


@dataclass(eq=False)
class ByPlace:
    """Objects are told apart by where they stand in the world. Sizes are those of boxes on a coarse grid."""

    pool: TrackPool
    weights: str
    T_world_camera: Float[Tensor, "4 4"]
    decoder: SignedDistance
    tracks: dict[int, str | None] = field(default_factory=dict)
    # The decoder's, known once there is an estimate.
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def match(self, objects: Objects, basis: ShapeBasis) -> Names:
        self.device = basis.network.device
        sizes = self._sizes(basis.network) if (d := basis.network_diameters_m) is None else d
        names = self.pool.match(self._sightings(objects.estimates, sizes), weights=self.weights)
        self.tracks.update(zip(objects.slots, names, strict=True))
        return names

    def feed(self, certified: Sequence[FrameObject], points: Sequence[Tensor]) -> None:
        estimates = [item.estimate for item in certified if item.estimate is not None]
        sizes = self._sizes(torch.stack([item.shape_code for item in estimates]))
        slots = [item.slot for item in certified]
        matched = [self.tracks[slot] for slot in slots]
        taken = {name for name in self.tracks.values() if name is not None}
        sightings = self._sightings(estimates, sizes)
        names = self.pool.observe(sightings, points, weights=self.weights, matched=matched, taken=taken)
        self.tracks.update(zip(slots, names, strict=True))

    def _sizes(self, codes: Float[Tensor, "k c"]) -> Float[Tensor, " k"]:
        return box_diameters_m(self.decoder, codes.to(self.device), nodes=NETWORK_BOX_NODES)

    def _sightings(self, estimates: Sequence[Estimate], sizes_m: Float[Tensor, " b"]) -> list[Sighting]:
        return [
            Sighting(
                self.T_world_camera @ item.T_camera_object.double().cpu(), item.shape_code.cpu(), float(size)
            )
            for item, size in zip(estimates, sizes_m, strict=True)
        ]


def rigid(T_world_camera: Float[np.ndarray, "4 4"]) -> Float[Tensor, "4 4"]:
    """A camera's pose, checked, in float64.

    Raises:
        InputError: it is no rigid motion.
    """
    T = np.asarray(T_world_camera, dtype=np.float64)
    R = T[:3, :3]
    sound = (
        T.shape == (4, 4)
        and np.isfinite(T).all()
        and np.array_equal(T[3], [0, 0, 0, 1])
        and np.allclose(R @ R.T, np.eye(3), atol=RIGID_TOLERANCE)
        and np.linalg.det(R) > 0
    )
    if not sound:
        raise InputError(
            "T_world_camera must be a rigid motion: a 4x4 array of a rotation and a place in metres."
        )
    return torch.from_numpy(T)


def checked_names(tracks: Sequence[object], *, masks: int) -> list[str | None]:
    """Names of a frame's objects, as the user gives them.

    Raises:
        InputError: not one for each mask, one that is empty or no text, or the same for two masks.
    """
    if len(tracks) != masks:
        raise InputError(
            f"there are {masks} masks but {len(tracks)} track ids: give one for each mask, in order."
        )
    names = [name for name in tracks if name is None or (isinstance(name, str) and name)]
    if len(names) != len(tracks):
        bad = next(name for name in tracks if name is not None and not (isinstance(name, str) and name))
        raise InputError(f"a track id must be a text that is not empty, or None, got {bad!r}.")
    if twice := sorted(name for name, count in Counter(names).items() if name is not None and count > 1):
        raise InputError(f"track id '{twice[0]}' stands for two masks of one frame: an object is seen once.")
    return names
