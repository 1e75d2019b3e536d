"""Several frames of one scene, in order: an object's shape step sees the points of its earlier frames too.

Remark 3 of the paper. Which objects are the same is told by where they stand in the world, or by the user;
never by a label. A track's points come from certified results alone, but a result is certified only after
its correction, which already needs the track. So each frame goes through two stages of trust:

1. The pose that the registration found is enough to *match* an object with a track: tracks lie centimetres
   apart, poses err by millimetres. The match lets it use the track's points and changes nothing.
2. What is certified in the end *feeds* a track: the matched one, if the corrected pose still lies there. What
   was matched with none feeds the nearest that no other object of the frame was matched with, or a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from crisp.errors import InputError, ObjectFailure
from crisp.geometry.points import thinned
from crisp.pipeline import Stages, estimate
from crisp.refine.problem import Observation, PooledPoints, ShapeBasis, object_points
from crisp.shape.sdf import SignedDistance
from crisp.stages import PoolOf, detections_of
from crisp.tracking.association import ByName, ByPlace, Matching, checked_names, rigid
from crisp.tracking.pool import MAX_FRAMES, POOLED_POINTS, AssociationConfig, TrackPool
from crisp.types import Crop, Detection, Estimate, Frame, Prediction, Result

PooledCorrection = Callable[[Sequence[Estimate], tuple[Prediction, Sequence[Crop]], PoolOf], list[Estimate]]
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
        correct: the stage of that name, with the points of other frames.
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
        run = _Run(self._stages, self._correct, matching, config=self.config)
        stages = replace(self._stages, cut=run.cut, correct=run.correct)
        results = estimate(frame, detections_of(masks), stages)
        run.settle(results)
        return [replace(result, track=matching.tracks.get(i)) for i, result in enumerate(results)]


class _Run:
    """One frame under way: which detection each crop was cut from, and what came of it."""

    def __init__(
        self, stages: Stages, correct: PooledCorrection, matching: Matching, *, config: TrackingConfig
    ) -> None:
        self._stages, self._correct, self._matching, self._config = stages, correct, matching, config
        self._crops: list[Crop | ObjectFailure] = []

    def cut(
        self, frame: Frame, detections: Sequence[Detection | ObjectFailure]
    ) -> list[Crop | ObjectFailure]:
        self._crops = self._stages.cut(frame, detections)
        return self._crops

    def correct(
        self, estimates: Sequence[Estimate], prediction: Prediction, crops: Sequence[Crop]
    ) -> list[Estimate]:
        # A stage sees only the objects that are still alive; a crop tells which detection it was cut from.
        place = {id(crop): slot for slot, crop in enumerate(self._crops)}
        slots = [place[id(crop)] for crop in crops]

        def pool_of(registered: Sequence[Estimate], basis: ShapeBasis) -> PooledPoints | None:
            names = self._matching.match(slots, registered, basis)
            found = self._matching.pool.pooled(
                names, weights=self._matching.weights, most_points=self._config.pooled_points
            )
            if found is None:
                return None
            return PooledPoints(found.pnc.to(basis.network), found.valid.to(basis.network.device))

        return self._correct(estimates, (prediction, crops), pool_of)

    def settle(self, results: Sequence[Result]) -> None:
        """Feed the tracks with what was certified."""
        sure = [i for i, r in enumerate(results) if r.certificate is not None and r.certificate.certified]
        if sure:
            points = [self._object_points(i, results[i]) for i in sure]
            self._matching.feed(sure, [results[i] for i in sure], points)

    def _object_points(self, slot: int, result: Result) -> Float[Tensor, "n 3"]:
        """The measured points of a result in its object's frame, thinned: Z = R*X + t* of Lemma 5."""
        crop = self._crops[slot]
        assert isinstance(crop, Crop) and result.T_camera_object is not None
        seen, valid = crop.points_camera.flatten(0, 1)[None], crop.valid.flatten()[None]
        few = Observation(*thinned(seen, valid, self._config.frame_points))
        T = torch.as_tensor(result.T_camera_object)[None]
        return object_points(T, few)[0][few.valid[0]]
