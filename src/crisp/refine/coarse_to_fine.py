"""A pose step that goes most of its way on a few points, and ends on all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from dataclasses import field as default

from crisp.errors import InputError
from crisp.geometry.align import MIN_POINTS
from crisp.refine.pose_step import PoseStep, PoseStepResult
from crisp.refine.problem import Observation, State, fewer_points
from crisp.refine.se3_step import Se3Step
from crisp.shape.field import SignedDistance


@dataclass(frozen=True)
class CoarseToFine:
    """Satisfies `PoseStep`: `coarse` on at most `points` points, evenly spaced, then `fine` on all.

    The way is long only at first, and a few hundred points show it as well as a thousand do. Where they did
    not, the answer may be worse than the start: whoever alternates the steps keeps the better one.

    Args:
        coarse, fine: steps over the same objective.
        points: of the first part.

    Raises:
        InputError: fewer points than a pose needs.
    """

    coarse: PoseStep = default(default_factory=Se3Step)
    fine: PoseStep = default(default_factory=lambda: Se3Step(iterations=3))
    points: int = 250

    def __post_init__(self) -> None:
        if self.points < MIN_POINTS:
            raise InputError(f"points must be at least {MIN_POINTS}, got {self.points}.")

    def __call__(self, field: SignedDistance, observation: Observation, state: State) -> PoseStepResult:
        """See `PoseStep`. Objective and trace are those of the second part; iterations count both."""
        few, pnc = fewer_points(observation, state.pnc, self.points)
        first = self.coarse(field, few, replace(state, pnc=pnc))
        # Z of the first part has few rows; the second part starts from the pose alone.
        start = replace(state, T_camera_object=first.state.T_camera_object)
        second = self.fine(field, observation, start)
        return replace(second, iterations=first.iterations + second.iterations)
