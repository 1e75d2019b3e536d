"""Pose steps: lower the objective (7) over the pose while the shape is held (method, section 4).

`Se3Step` is Levenberg-Marquardt over the six numbers of the pose (ours). By Lemma 5 it has the same optimum
as the published descent over the 3 N numbers of Z, which is `z_step.ZGradientStep`. `CoarseToFine` takes most
of the way on a few points.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, fields, replace
from dataclasses import field as default
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from crisp.errors import InputError
from crisp.geometry import pose
from crisp.geometry.align import MIN_POINTS
from crisp.refine.problem import Kernel, Observation, SoftL1, State, fewer_points, mean_rho, object_points
from crisp.shape.sdf import SignedDistance

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


# With less, a direction that the points leave open (the turn of a ball) follows rounding errors, by radians.
MIN_DAMPING = 1e-6
EASE, TIGHTEN = 0.1, 10.0


@dataclass(frozen=True)
class Se3Step:
    """Minimise the objective over T <- T exp(xi), with the kernel as reweighted least squares.

    An iteration costs one pass through the field and one back. Each object has its own damping, accepts only
    what lowers its objective, and leaves the batch when the next step promises nothing.

    Args:
        kernel: rho.
        iterations: at most, tried steps, accepted or not.
        damping: of the first step, relative to the normal equations' own size.
        tolerance: an object stops when the step is to lower its objective by a smaller share than this,
        resolution_m: or by less than the square of this length.
    """

    kernel: Kernel = dataclasses.field(default_factory=SoftL1)
    iterations: int = 10
    damping: float = 1e-3
    tolerance: float = 1e-6
    resolution_m: float = 1e-7

    def __post_init__(self) -> None:
        if self.iterations < 1 or not self.damping > 0 or self.tolerance < 0 or self.resolution_m < 0:
            raise InputError(
                "the pose step needs iterations >= 1, damping > 0, tolerance >= 0 and resolution_m >= 0, got "
                f"{self.iterations}, {self.damping}, {self.tolerance} and {self.resolution_m}."
            )

    def __call__(self, field: SignedDistance, observation: Observation, state: State) -> PoseStepResult:
        """See `PoseStep`. Z of the returned state is the measurement seen from the object, T^-1 x.

        The field works in the dtype of the state's Z, the six numbers in float64.
        """
        able, reasons = solvable(observation, state)
        posing, index = Posing.of(field, observation, state), able.nonzero()[:, 0]
        found = self._solve(posing.take(index), state.T_camera_object[index].double())
        trace = state.pnc.new_full((len(found.trace), len(able)), torch.nan)
        trace[:, index] = torch.stack(found.trace)
        reasons = name_unfit(reasons, solvable=able, start=trace[0])
        T = state.T_camera_object.index_copy(0, index, found.T.to(state.T_camera_object))
        moved = Observation(posing.observation.points_camera, able[:, None] & observation.valid)
        z = object_points(T.to(state.pnc), moved)
        # An object without a finite start never moved; its Z stays too.
        fit = moved.valid & trace[0].isfinite()[:, None]
        return PoseStepResult(
            state=State(torch.where(fit[..., None], z, state.pnc), T, state.shape_code.clone()),
            objective=trace[-1],
            iterations=torch.zeros_like(able, dtype=torch.long).index_copy(0, index, found.iterations),
            trace=trace.T,
            reasons=reasons,
        )

    @torch.no_grad()
    def _solve(self, posing: Posing, T: Float[Tensor, "b 4 4"]) -> _Found:
        evaluation = Evaluation.at(posing, T, self.kernel)
        objective, lines = evaluation.objective, evaluation.linearised(self.kernel)
        damping = torch.full_like(objective, max(self.damping, MIN_DAMPING), dtype=torch.float64)
        iterations = torch.zeros_like(damping, dtype=torch.long)
        active, trace = objective.isfinite(), [objective]
        for number in range(1, self.iterations + 1):
            xi, promised = lines.step(damping)
            active = active & (promised > self.tolerance * objective + self.resolution_m**2)
            index = active.nonzero()[:, 0]
            if len(index) == 0:
                break
            some = posing if len(index) == len(active) else posing.take(index)
            evaluation = Evaluation.at(some, T[index] @ pose.exp(xi[index]), self.kernel)
            better = evaluation.objective < objective[index]
            rows = index[better]
            T, objective = T.index_copy(0, rows, evaluation.T[better]), objective.clone()
            objective[rows] = evaluation.objective[better]
            eased = (damping[index] * torch.where(better, EASE, TIGHTEN)).clamp(min=MIN_DAMPING)
            damping, iterations = damping.index_copy(0, index, eased), iterations + active
            trace.append(objective)
            # The way back is only for those who go on from here.
            if number < self.iterations and len(rows) > 0:
                lines = lines.put(rows, evaluation.linearised(self.kernel).take(better))
        return _Found(T, iterations, trace)


@dataclass(frozen=True, eq=False)
class _Found:
    T: Tensor
    iterations: Tensor
    trace: list[Tensor]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The field seen from a pose: one pass, from which there is a way back to z.

    Args:
        T: (B, 4, 4) float64.
        z: the measured points in the object frame; a leaf of the graph of `distance`.
        distance: f(z | h), metres.
        objective: square metres.
    """

    posing: Posing
    T: Float[Tensor, "b 4 4"]
    z: Float[Tensor, "b n 3"]
    distance: Float[Tensor, "b n"]
    objective: Float[Tensor, " b"]

    @classmethod
    def at(cls, posing: Posing, T: Float[Tensor, "b 4 4"], kernel: Kernel) -> Evaluation:
        """One pass through the field."""
        z = object_points(T, posing.observation).detach().requires_grad_()
        with torch.enable_grad():
            distance = posing.distance(z)
        objective = mean_rho(distance.detach(), posing.observation.valid, kernel)
        return cls(posing, T, z, distance, objective)

    def linearised(self, kernel: Kernel) -> Linearised:
        """One pass back to z; the chain rule to the six numbers is by hand.

        With T <- T exp(xi) and z = T^-1 x, dz = -(v + w x z), so df = -grad f . v - (z x grad f) . w.
        """
        observation, z = self.posing.observation, self.z.detach()
        (slope,) = torch.autograd.grad(self.distance, self.z, torch.ones_like(self.distance))
        distance = self.distance.detach()
        share = kernel.weights(distance) * observation.valid / observation.counts()[:, None]
        # Sums in float64: a direction that the points leave open must not follow rounding errors.
        J = -torch.cat([slope, torch.linalg.cross(z, slope)], dim=-1).double()
        weighted = share[..., None] * J
        normal = weighted.mT @ J
        return Linearised(
            normal=normal,
            slope=(weighted.mT @ distance.double()[..., None])[..., 0],
            squared=normal.diagonal(dim1=-2, dim2=-1)[:, :3].sum(-1),
            lever2_m2=((z.square().sum(-1) * observation.valid).sum(-1) / observation.counts()).double(),
        )


@dataclass(frozen=True, eq=False)
class Linearised:
    """The objective about a pose, as a weighted linear least-squares problem in xi = (v, w).

    Args:
        normal: J' W J over the number of points, float64.
        slope: J' W r over the number of points, float64: half the gradient of the objective.
        squared: mean of w |grad f|^2, the size of the translation's block.
        lever2_m2: mean |z|^2, which makes radians comparable with metres.
    """

    normal: Float[Tensor, "b 6 6"]
    slope: Float[Tensor, "b 6"]
    squared: Float[Tensor, " b"]
    lever2_m2: Float[Tensor, " b"]

    def take(self, index: Tensor) -> Linearised:
        """The objects at `index`."""
        return Linearised(*(getattr(self, f.name)[index] for f in fields(self)))

    def put(self, index: Tensor, other: Linearised) -> Linearised:
        """A copy with `other` in the rows at `index`."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return replace(self, **{name: a.index_copy(0, index, b) for name, (a, b) in pairs.items()})

    def step(self, damping: Float[Tensor, " b"]) -> tuple[Float[Tensor, "b 6"], Float[Tensor, " b"]]:
        """xi, and by how much it is to lower the objective; NaN where the equations are not finite."""
        scale = torch.cat([torch.ones_like(self.slope[:, :3]), self.lever2_m2[:, None].expand(-1, 3)], dim=-1)
        damped = self.normal + torch.diag_embed((damping * self.squared)[:, None] * scale)
        factor, failed = torch.linalg.cholesky_ex(damped)
        xi = -torch.cholesky_solve(self.slope[..., None], factor)[..., 0]
        curve = (xi[:, None] @ self.normal @ xi[..., None])[:, 0, 0]
        promised = -2 * (xi * self.slope).sum(-1) - curve
        return xi, torch.where(failed == 0, promised, torch.nan)


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
