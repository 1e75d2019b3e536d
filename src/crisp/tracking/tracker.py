"""Several frames of one scene, in order: an object's shape step sees the points of its earlier frames too.

Remark 3 of the paper. Which objects are the same is told by their places in the world, or by the user; never
by a label. A track's points come from certified results alone, but a result is certified only after its
correction, which already needs the track. So each frame goes through two stages of trust:

1. The pose that the registration found is enough to *match* an object with a track: tracks lie centimetres
   apart, poses err by millimetres. The match lets it use the track's points and changes nothing.
2. What is certified in the end *feeds* a track: the matched one, if the corrected pose still lies there. An
   object without a match feeds the nearest track that no other object was matched with, or a new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from crisp.errors import InputError, ObjectFailure
from crisp.geometry.points import thinned
from crisp.objects import FrameObject, Objects
from crisp.pipeline import Stages, process
from crisp.refine.active_shape import NETWORK_BOX_NODES, box_diameters_m
from crisp.refine.problem import Observation, PooledPoints, ShapeBasis, object_points
from crisp.shape.sdf import SignedDistance
from crisp.stages import PoolOf, detections_of
from crisp.tracking.pool import MAX_FRAMES, POOLED_POINTS, AssociationConfig, Sighting, TrackPool
from crisp.types import Detection, Estimate, Frame, Result

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


PooledCorrection = Callable[[Objects, PoolOf], Objects]
"""A stage `correct` that also takes the points of other frames."""
Masks = Sequence[np.ndarray | Detection | ObjectFailure]


@dataclass(frozen=True)
class TrackingConfig:
    """How tracks are kept.

    Args:
        association: when two estimates are of one object.
        max_frames: of a track; the oldest one makes room.
        frame_points: at most so many of a frame's points are kept per object, evenly spaced.
        pooled_points: at most so many of a track's points join a frame's own, evenly spaced over its frames.

    Raises:
        InputError: numbers that leave nothing to keep.
    """

    association: AssociationConfig = field(default_factory=AssociationConfig)
    max_frames: int = MAX_FRAMES
    frame_points: int = 1000
    pooled_points: int = POOLED_POINTS

    def __post_init__(self) -> None:
        for name in ("max_frames", "frame_points", "pooled_points"):
            if getattr(self, name) < 1:
                raise InputError(f"tracking needs {name} of at least 1, got {getattr(self, name)}.")


class Tracker:
    """Estimates the frames of a scene in order. `crisp.load(...).tracker()` makes one.

    Args:
        stages: of the pipeline; must certify, for nothing else feeds a track.
        correct: in place of the stage of that name.
        decoder: shapes are measured with it.
        weights: names the weights that estimates come from. Where the name changes, all tracks are dropped:
            other weights mean other object frames.
        config: of the tracks.
    """

    def __init__(
        self,
        stages: Stages,
        correct: PooledCorrection,
        *,
        decoder: SignedDistance,
        weights: Callable[[], str],
        config: TrackingConfig | None = None,
    ) -> None:
        self._stages = stages
        self._correct = correct
        self._decoder = decoder
        self._weights = weights
        self.config = config or TrackingConfig()
        self.new_scene()

    def new_scene(self) -> None:
        """Forget all tracks: what comes next has nothing to do with them."""
        self._pool = TrackPool(max_frames=self.config.max_frames, association=self.config.association)

    def estimate(
        self,
        frame: Frame,
        masks: Masks,
        *,
        T_world_camera: Float[np.ndarray, "4 4"] | None = None,
        tracks: Sequence[str | None] | None = None,
    ) -> list[Result]:
        """As `Model.estimate`, with the points of earlier frames; each result names its track.

        Args:
            T_world_camera: (4, 4) metres, where the camera stands in a world that all frames share: objects
                are matched by their places in it. They must not move between frames.
            tracks: instead, the user's own name of each mask's object, None for one that has none.

        Returns:
            One result per mask, in order. `track` is the one that the object was matched with or has opened;
            None where it was matched with none and is not certified.

        Raises:
            InputError: not exactly one of the two, a pose that is no rigid motion, or names that do not fit
                the masks.
        """
        if (T_world_camera is None) == (tracks is None):
            raise InputError("tracking needs T_world_camera or tracks: give one of the two.")
        weights = self._weights()
        matching: Matching = (
            ByPlace(self._pool, weights, rigid(T_world_camera), self._decoder)
            if T_world_camera is not None
            else ByName(self._pool, weights, dict(enumerate(checked_names(tracks or (), masks=len(masks)))))
        )

        def pool_of(objects: Objects, basis: ShapeBasis) -> PooledPoints | None:
            names = matching.match(objects, basis)
            found = self._pool.pooled(names, weights=weights, most_points=self.config.pooled_points)
            if found is None:
                return None
            return PooledPoints(found.pnc.to(basis.network), found.valid.to(basis.network.device))

        stages = replace(self._stages, correct=lambda objects: self._correct(objects, pool_of))
        objects = process(frame, detections_of(masks), stages)
        if certified := [item for item in objects.all if item.certified]:
            matching.feed(certified, [self._object_points(item) for item in certified])
        return [replace(r, track=matching.tracks.get(slot)) for slot, r in enumerate(objects.results())]

    def _object_points(self, item: FrameObject) -> Float[Tensor, "n 3"]:
        """Its measured points in the object frame, thinned: Z = R*X + t* of Lemma 5."""
        assert item.crop is not None and item.estimate is not None
        points, valid = item.crop.points_camera.flatten(0, 1)[None], item.crop.valid.flatten()[None]
        few = Observation(*thinned(points, valid, self.config.frame_points))
        T = item.estimate.T_camera_object.cpu()[None]
        return object_points(T, few)[0][few.valid[0]]
