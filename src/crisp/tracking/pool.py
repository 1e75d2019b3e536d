"""Several views of one object (Remark 3): tracks, and the object points of up to 50 frames of each.

Tracks come from certified poses where the camera's own poses are known, or from ids that the user gives.
There is no place for a label of a data set here: a track of ground truth would leak it into the estimate.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from crisp.errors import InputError
from crisp.geometry.points import thinned
from crisp.refine.problem import PooledPoints

MAX_FRAMES = 50
POOLED_POINTS = 1000


@dataclass(frozen=True, eq=False)
class Sighting:
    """An estimate in one frame, placed in the world.

    Args:
        T_world_object: (4, 4) T_world_camera @ T_camera_object, metres.
        shape_code: (C,) h.
        diameter_m: of the estimated shape; of the same kind for all sightings that are compared.
    """

    T_world_object: Float[Tensor, "4 4"]
    shape_code: Float[Tensor, " c"]
    diameter_m: float

    @property
    def centre_world_m(self) -> Float[Tensor, " 3"]:
        """The object's origin: the middle of its visible points would move with the view."""
        return self.T_world_object[:3, 3]


@dataclass(frozen=True)
class AssociationConfig:
    """When two sightings are of one object.

    Args:
        centre_m: at most this far apart in the world, metres. Objects move no further between frames.
        diameter_ratio: the larger diameter over the smaller, at most.
        code_distance: |h - h'| at most, in the model's own units; None leaves codes out.
    """

    centre_m: float = 0.03
    diameter_ratio: float = 1.25
    code_distance: float | None = None

    def __post_init__(self) -> None:
        if not self.centre_m > 0 or not self.diameter_ratio >= 1:
            raise InputError(
                "association needs a positive centre_m and a diameter_ratio of at least 1, "
                f"got {self.centre_m} and {self.diameter_ratio}."
            )
        if self.code_distance is not None and not self.code_distance > 0:
            raise InputError(f"code_distance must be positive or None, got {self.code_distance}.")


def associate(
    known: Sequence[Sighting], seen: Sequence[Sighting], config: AssociationConfig | None = None
) -> list[int | None]:
    """For each sighting the known one that it continues, or None; nearest pairs first, each used once."""
    config = config or AssociationConfig()
    matched: list[int | None] = [None] * len(seen)
    if not known or not seen:
        return matched
    cost = _costs(known, seen, config)
    while cost.isfinite().any():
        old, new = divmod(int(cost.argmin()), len(seen))
        matched[new] = old
        cost[old, :] = torch.inf
        cost[:, new] = torch.inf
    return matched


def _costs(
    known: Sequence[Sighting], seen: Sequence[Sighting], config: AssociationConfig
) -> Float[Tensor, "k s"]:
    """Distances of centres in metres; infinite where a pair cannot be one object."""
    apart = torch.cdist(_stack(known, "centre_world_m"), _stack(seen, "centre_world_m"))
    sizes = [torch.tensor([s.diameter_m for s in group], dtype=torch.float64) for group in (known, seen)]
    ratio = (sizes[0][:, None].log() - sizes[1].log()).abs().exp()
    possible = (apart <= config.centre_m) & (ratio <= config.diameter_ratio)
    if config.code_distance is not None:
        codes = torch.cdist(_stack(known, "shape_code"), _stack(seen, "shape_code"))
        possible &= codes <= config.code_distance
    return torch.where(possible, apart, torch.inf)


def _stack(group: Sequence[Sighting], name: str) -> Float[Tensor, "k c"]:
    return torch.stack([getattr(sighting, name) for sighting in group]).double().cpu()


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of a network's weights: object points from other weights belong to another object frame."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class TrackPool:
    """The object points of the last frames of every track, all made by the same weights.

    Every call names the weights; where they have changed, everything that older ones made is dropped first.

    Args:
        max_frames: of a track; the oldest one makes room.
        association: when two sightings are of one object.
    """

    def __init__(self, *, max_frames: int = MAX_FRAMES, association: AssociationConfig | None = None) -> None:
        if max_frames < 1:
            raise InputError(f"a track holds at least 1 frame, got max_frames={max_frames}.")
        self._max_frames = max_frames
        self._association = association or AssociationConfig()
        self._weights: str | None = None
        self._frames: dict[str, deque[Float[Tensor, "n 3"]]] = {}
        self._last: dict[str, Sighting] = {}
        self._made = 0

    def add(self, track: str, pnc: Float[Tensor, "n 3"], *, weights: str) -> None:
        """Add one frame's valid object points (metres) to a track that the caller names.

        Raises:
            InputError: no points, or points that are not finite.
        """
        self._keep_to(weights)
        if len(pnc) == 0 or not pnc.isfinite().all():
            raise InputError(f"the points of track {track} must be finite, and there must be some.")
        frames = self._frames.setdefault(track, deque(maxlen=self._max_frames))
        frames.append(pnc.detach().clone())

    def match(self, sightings: Sequence[Sighting], *, weights: str) -> list[str | None]:
        """The known tracks that the sightings of one frame continue, None for new ones. Changes nothing.

        For estimates under way, which nothing has certified yet: they may use a track, not feed it.
        """
        self._keep_to(weights)
        names = list(self._last)
        known = [self._last[name] for name in names]
        return [None if old is None else names[old] for old in associate(known, sightings, self._association)]

    def observe(
        self,
        sightings: Sequence[Sighting],
        pnc: Sequence[Float[Tensor, "_ 3"]],
        *,
        weights: str,
        matched: Sequence[str | None] = (),
        taken: Collection[str] = (),
    ) -> list[str]:
        """Add the certified sightings of one frame, continuing tracks or opening new ones; their tracks.

        Args:
            pnc: Z of each, its valid object points, metres.
            matched: what `match` said of each before; the others choose among the tracks that this leaves.
                Where a sighting has moved away from its track since, it keeps the name, but its points stay
                out.
            taken: the tracks that objects of this frame were matched with which are not certified.
        """
        self._keep_to(weights)
        matched = list(matched) or [None] * len(sightings)
        tracks = self._continued(sightings, matched, taken={*matched, *taken})
        for track, sighting, points in zip(tracks, sightings, pnc, strict=True):
            last = self._last.get(track)
            if last is None or associate([last], [sighting], self._association) == [0]:
                self.add(track, points, weights=weights)
                self._last[track] = sighting
        return tracks

    def pooled(
        self, tracks: Sequence[str | None], *, weights: str, most_points: int = POOLED_POINTS
    ) -> PooledPoints | None:
        """The object points of several tracks, as rows for a shape step; None where there are none at all.

        Args:
            tracks: None, or a track that is not known, is an object without points: a row of padding.
            most_points: of each track, evenly spaced over its frames, so that many frames cost what one does.
        """
        self._keep_to(weights)
        rows = [tuple(self._frames.get(track or "", ())) for track in tracks]
        like = next((row[0] for row in rows if row), None)
        if like is None:
            return None
        held = [torch.cat(row) if row else like.new_zeros(0, 3) for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(held, batch_first=True)
        counts = torch.tensor([len(points) for points in held], device=like.device)
        valid = torch.arange(padded.shape[1], device=like.device) < counts[:, None]
        return PooledPoints(*thinned(padded, valid, most_points))

    def frames(self, track: str) -> int:
        """How many frames a track holds."""
        return len(self._frames.get(track, ()))

    def _continued(
        self, sightings: Sequence[Sighting], matched: Sequence[str | None], *, taken: Collection[str | None]
    ) -> list[str]:
        names = [name for name in self._last if name not in taken]
        open_ones = [i for i, name in enumerate(matched) if name is None]
        known = [self._last[name] for name in names]
        found = associate(known, [sightings[i] for i in open_ones], self._association)
        old = {i: names[k] for i, k in zip(open_ones, found, strict=True) if k is not None}
        return [name or old.get(i) or self._new_track() for i, name in enumerate(matched)]

    def _keep_to(self, weights: str) -> None:
        if weights != self._weights:
            self._frames.clear()
            self._last.clear()
            self._weights = weights

    def _new_track(self) -> str:
        """A name that no caller has given to a track of theirs, and that was never used before."""
        while True:
            name = f"track-{self._made}"
            self._made += 1
            if name not in self._frames:
                return name
