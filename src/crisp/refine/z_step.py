"""The published pose step: descent on Z through the differentiable registration (method, section 4, (7))."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from crisp.errors import InputError
from crisp.geometry.align import weighted_procrustes
from crisp.refine.pose_step import PoseStepResult, Posing, name_unfit, solvable
from crisp.refine.problem import Kernel, Observation, Squares, State, mean_rho, object_points
from crisp.shape.sdf import SignedDistance

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # Adam's own defaults


@dataclass(frozen=True)
class ZGradientStep:
    """Minimise (7) over Z, the pose being Z's registration to the measured points, as the paper does.

    The gradient is that of the sum over points, as (7) is written. Objects do not meet: an object's steps are
    those that it would take alone.

    Args:
        kernel: rho; the published one is `Squares`.
        iterations: at most.
        learning_rate: Adam's, in metres per step; of "descent" a pure number.
        optimiser: "adam", as in the public code, or "descent", the paper's word taken literally, which hardly
            moves (method, section 4).
        trim_quantile: only the points whose |distance| is within this quantile count, anew in each iteration;
            the threshold has no gradient.
        patience: an object stops after so many iterations without a new best.
    """

    kernel: Kernel = dataclasses.field(default_factory=Squares)
    iterations: int = 50
    learning_rate: float = 1e-3
    optimiser: Literal["adam", "descent"] = "adam"
    trim_quantile: float | None = None
    patience: int = 20

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.patience < 1 or not self.learning_rate > 0:
            raise InputError(
                "the Z step needs iterations >= 1, patience >= 1 and learning_rate > 0, got "
                f"{self.iterations}, {self.patience} and {self.learning_rate}."
            )
        if self.optimiser not in ("adam", "descent"):
            raise InputError(f"the Z step's optimiser is 'adam' or 'descent', got '{self.optimiser}'.")
        if self.trim_quantile is not None and not 0 < self.trim_quantile <= 1:
            raise InputError(f"trim_quantile must be above 0 and at most 1, got {self.trim_quantile}.")

    def __call__(
        self,
        field: SignedDistance,
        observation: Observation,
        state: State,
        *,
        registration_weights: Float[Tensor, "b n"] | None = None,
    ) -> PoseStepResult:
        """See `PoseStep`. T of the returned state is the registration of its Z.

        Args:
            registration_weights: not negative, such as a robust registration's inliers; without them, all
                valid points weigh the same. They stay as they are for the whole step.
        """
        able, reasons = solvable(observation, state)
        weights = observation.valid.to(state.pnc)
        if registration_weights is not None:
            weights = torch.where(observation.valid, registration_weights.to(state.pnc), 0.0)
        posing, index = Posing.of(field, observation, state), able.nonzero()[:, 0]
        z = torch.where(observation.valid[..., None], state.pnc, 0.0)[index]
        found = self._solve(posing.take(index), z, weights[index])
        trace = state.pnc.new_full((len(found.trace), len(able)), torch.nan)
        trace[:, index] = torch.stack(found.trace)
        best = State(
            state.pnc.index_copy(0, index, found.z),
            state.T_camera_object.index_copy(0, index, found.T.to(state.T_camera_object)),
            state.shape_code,
        ).where(trace[0].isfinite(), state)
        pnc = torch.where(observation.valid[..., None], best.pnc, state.pnc)
        return PoseStepResult(
            state=State(pnc, best.T_camera_object, best.shape_code),
            objective=trace.nan_to_num(torch.inf).amin(0).where(trace[0].isfinite(), torch.nan),
            iterations=torch.zeros_like(able, dtype=torch.long).index_copy(0, index, found.iterations),
            trace=trace.T,
            reasons=name_unfit(reasons, solvable=able, start=trace[0]),
        )

    def _solve(self, posing: Posing, z: Float[Tensor, "b n 3"], weights: Float[Tensor, "b n"]) -> _Found:
        walk = _Walk.start(posing, z, weights)
        found = _Found.nothing(z)
        for number in range(self.iterations + 1):
            value, T, gradient = self.evaluate(walk.posing, walk.z, walk.weights)
            better = value < found.objective[walk.index]
            found = found.note(walk, value, T, better=better)
            walk = replace(walk, stale=torch.where(better, 0, walk.stale + 1))
            finite = value.isfinite() & gradient.flatten(1).isfinite().all(-1)
            going = finite & (walk.stale < self.patience)
            if number == self.iterations or not going.any():
                break
            if not going.all():
                walk, gradient = walk.take(going), gradient[going]
            found.iterations[walk.index] += 1
            walk = self._moved(walk, gradient, number=number + 1)
        return found

    def _moved(self, walk: _Walk, gradient: Float[Tensor, "b n 3"], *, number: int) -> _Walk:
        if self.optimiser == "descent":
            return replace(walk, z=walk.z - self.learning_rate * gradient)
        first = torch.lerp(gradient, walk.first, BETA1)
        second = torch.lerp(gradient.square(), walk.second, BETA2)
        size = (second / (1 - BETA2**number)).sqrt() + EPS
        z = walk.z - self.learning_rate / (1 - BETA1**number) * first / size
        return replace(walk, z=z, first=first, second=second)

    def evaluate(
        self, posing: Posing, z: Float[Tensor, "b n 3"], weights: Float[Tensor, "b n"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b 4 4"], Float[Tensor, "b n 3"]]:
        """The objective (7) at Z, square metres, the registration of Z, and the gradient of the sum."""
        observation = posing.observation
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            T = weighted_procrustes(z, observation.points_camera, weights)
            distance = posing.distance(object_points(T, observation))
            value = mean_rho(distance, observation.valid, self.kernel, trim_quantile=self.trim_quantile)
            (gradient,) = torch.autograd.grad((value * observation.counts()).sum(), z)
        return value.detach(), T.detach(), gradient


@dataclass(frozen=True, eq=False)
class _Walk:
    """The objects that still move: their rows among all, where they are, and Adam's two moments."""

    index: Tensor
    posing: Posing
    z: Float[Tensor, "b n 3"]
    weights: Float[Tensor, "b n"]
    first: Float[Tensor, "b n 3"]
    second: Float[Tensor, "b n 3"]
    stale: Tensor

    @classmethod
    def start(cls, posing: Posing, z: Tensor, weights: Tensor) -> _Walk:
        index, still = torch.arange(len(z), device=z.device), torch.zeros_like(z)
        return cls(index, posing, z, weights, still, still, torch.zeros_like(index))

    def take(self, going: Tensor) -> _Walk:
        return _Walk(
            self.index[going], self.posing.take(going), self.z[going], self.weights[going],
            self.first[going], self.second[going], self.stale[going],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Found:
    """The best of each object so far, copied when it was met, and how it went."""

    z: Float[Tensor, "b n 3"]
    T: Float[Tensor, "b 4 4"]
    objective: Float[Tensor, " b"]
    iterations: Tensor
    trace: list[Tensor]

    @classmethod
    def nothing(cls, z: Float[Tensor, "b n 3"]) -> _Found:
        nowhere = torch.full_like(z[:, 0, 0], torch.inf)
        T = torch.eye(4).to(z).repeat(len(z), 1, 1)
        return cls(z.clone(), T, nowhere, torch.zeros_like(nowhere, dtype=torch.long), [])

    def note(self, walk: _Walk, value: Tensor, T: Tensor, *, better: Tensor) -> _Found:
        latest = self.trace[-1] if self.trace else self.objective
        rows = walk.index[better]
        return _Found(
            self.z.index_copy(0, rows, walk.z[better]),
            self.T.index_copy(0, rows, T[better]),
            self.objective.index_copy(0, rows, value[better]),
            self.iterations,
            [*self.trace, latest.index_copy(0, walk.index, value)],
        )
