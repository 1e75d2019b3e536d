"""The pose step's protocol and record, and what its two implementations share (method, section 4).

`z_step.ZGradientStep` is the published solver over Z; `se3_step.Se3Step` solves the same problem over the six
numbers of the pose, which by Lemma 5 has the same optimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from crisp.errors import InputError
from crisp.geometry.align import MIN_POINTS
from crisp.refine.problem import Observation, State
from crisp.shape.field import SignedDistance

TOO_FEW_POINTS = "fewer than four points were measured: the pose stays as it was."
NOT_FINITE = "points, coordinates, pose or code hold numbers that are not finite: the pose stays as it was."
NO_FIELD = "the shape has no finite distances at the measured points: the pose stays as it was."


@dataclass(frozen=True, eq=False)
class PoseStepResult:
    """Where a pose step ended, per object.

    Args:
        state: the best iterate, a copy; the shape codes are those that came in.
        objective: what the step minimised, at that state, square metres (`problem.objective`, trimmed where
            the step trims); NaN where the step could not run.
        iterations: (B,) steps tried; 0 where the step could not run.
        trace: (B, I + 1) objective at the start and after each iteration of the longest run; an object that
            stopped earlier repeats its last value.
        reasons: a sentence where the step could not run and the state is unchanged, else empty.
    """

    state: State
    objective: Float[Tensor, " b"]
    iterations: Int[Tensor, " b"]
    trace: Float[Tensor, "b i"]
    reasons: tuple[str, ...]


@runtime_checkable
class PoseStep(Protocol):
    """Lower the objective (7) over the pose, the shape being fixed; batched over objects.

    An object that cannot be solved comes back unchanged with its reason; it never takes the batch down.
    """

    def __call__(self, field: SignedDistance, observation: Observation, state: State) -> PoseStepResult: ...


@dataclass(frozen=True, eq=False)
class Posing:
    """One shape and its measured points per object, ready to be evaluated: what stays fixed in a pose step.

    Args:
        field: the shapes.
        observation: in the dtype of Z, its padding at the origin.
        shape_code: (B, C).
    """

    field: SignedDistance
    observation: Observation
    shape_code: Float[Tensor, "b c"]

    @classmethod
    def of(cls, field: SignedDistance, observation: Observation, state: State) -> Posing:
        """Padding moved to the origin, so that not even its rounding reaches the answer."""
        points = torch.where(observation.valid[..., None], observation.points_camera, 0.0)
        return cls(field, Observation(points.to(state.pnc), observation.valid), state.shape_code)

    def take(self, index: Tensor) -> Posing:
        """The objects at `index`."""
        return Posing(self.field, self.observation.take(index), self.shape_code[index])

    def distance(self, points_object: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n"]:
        """f(z | h), metres; 0 at the padding."""
        return torch.where(self.observation.valid, self.field(points_object, self.shape_code), 0.0)


def solvable(observation: Observation, state: State) -> tuple[Bool[Tensor, " b"], tuple[str, ...]]:
    """Which objects a pose step can work on, and a sentence for each of the others (else empty).

    Raises:
        InputError: state and observation are not of the same points.
    """
    if state.pnc.shape != observation.points_camera.shape:
        raise InputError(
            f"the state has object points {tuple(state.pnc.shape)}, the observation has measured points "
            f"{tuple(observation.points_camera.shape)}: they must be the same points."
        )
    valid = observation.valid
    enough = valid.sum(-1) >= MIN_POINTS
    numbers = torch.where(valid[..., None], observation.points_camera + state.pnc, 0.0).flatten(1)
    finite = numbers.isfinite().all(-1) & state.shape_code.isfinite().all(-1)
    finite = finite & state.T_camera_object.flatten(1).isfinite().all(-1)
    reasons = [
        "" if many and good else (NOT_FINITE if many else TOO_FEW_POINTS)
        for many, good in zip(enough.tolist(), finite.tolist(), strict=True)
    ]
    return enough & finite, tuple(reasons)


def name_unfit(
    reasons: tuple[str, ...], *, solvable: Bool[Tensor, " b"], start: Float[Tensor, " b"]
) -> tuple[str, ...]:
    """The reasons, with those of the objects whose objective is not finite where they start."""
    unfit = (solvable & ~start.isfinite()).tolist()
    return tuple(NO_FIELD if bad else reason for bad, reason in zip(unfit, reasons, strict=True))
