"""The corrector: pose step and shape step in turn, until the objective stops falling (method, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as default
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from crisp.errors import InputError
from crisp.refine.active_shape import ShapeGram
from crisp.refine.free_space import SceneEvidence
from crisp.refine.pose_step import PoseStep
from crisp.refine.problem import (
    Kernel,
    Observation,
    PooledPoints,
    ShapeBasis,
    SoftL1,
    State,
    mean_rho,
    object_points,
    with_pool,
)
from crisp.refine.shape_step import ShapeFit, ShapeStep
from crisp.shape.sdf import SignedDistance

CorrectionStatus = Literal["converged", "budget", "unimproved", "unsolvable"]

REASONS: dict[CorrectionStatus, str] = {
    "converged": "the objective stopped falling.",
    "budget": "the rounds ended while the objective was still falling: more rounds may help.",
    "unimproved": "no step lowered the objective: the estimate stays as it was.",
}


@runtime_checkable
class StartSearch(Protocol):
    """Finds where the corrector starts; batched over objects.

    An object for which it finds nothing comes back as it was; it never takes the batch down.

    Args:
        start: what the network and the registration say.
        basis: the known shapes, and the network's own.
        scene: what the frame tells beside the points; None if it is not known.
    """

    def __call__(
        self,
        field: SignedDistance,
        observation: Observation,
        start: State,
        *,
        basis: ShapeBasis,
        scene: SceneEvidence | None = None,
    ) -> State: ...


@dataclass(frozen=True, eq=False)
class Correction:
    """What the corrector made of a batch.

    Args:
        state: the best answer found, a copy; never worse than the one that came in, or that a search chose.
        status: per object: "converged", "budget", "unimproved" or "unsolvable".
        reasons: a sentence each.
        objective_start, objective: (B,) square metres, before and after; over the pool's points too.
        rounds: (B,) pairs of steps that were tried.
        weights: (B, J) of the basis shapes in the last shape step; None without a shape step.
        gram: of the last shape step, for the degeneracy check; None where it made none.
        trace: (R + 1, B) lowest objective at the start and after each round.
    """

    state: State
    status: tuple[CorrectionStatus, ...]
    reasons: tuple[str, ...]
    objective_start: Float[Tensor, " b"]
    objective: Float[Tensor, " b"]
    rounds: Int[Tensor, " b"]
    weights: Float[Tensor, "b j"] | None
    gram: ShapeGram | None
    trace: Float[Tensor, "r b"]


@dataclass(frozen=True)
class Corrector:
    """Alternates a pose step and a shape step over a batch of objects.

    As published, each round goes on from where the last one ended, whether or not that lowered the objective,
    and the best answer of all rounds is kept (a copy). An object leaves when a round no longer lowers it.

    Args:
        pose_step: such as `Se3Step` or the published `ZGradientStep`.
        shape_step: `HullDescent` (Alg. 1), `ActiveShape` (Alg. 2), or None to correct the pose alone.
        rounds: at most.
        tolerance: a round must lower the objective by this share of it, or the object has converged.
        kernel: of the objective by which answers are compared.
        search: such as `KnownSearch`; None starts where the network and the registration say.

    Raises:
        InputError: settings that contradict each other.
    """

    pose_step: PoseStep
    shape_step: ShapeStep | None = None
    rounds: int = 3
    tolerance: float = 0.02
    kernel: Kernel = default(default_factory=SoftL1)
    search: StartSearch | None = None

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(f"the corrector needs at least 1 round, got {self.rounds}.")
        if not 0 <= self.tolerance < 1:
            raise InputError(f"the corrector's tolerance is a share in [0, 1), got {self.tolerance}.")

    def __call__(
        self,
        field: SignedDistance,
        observation: Observation,
        start: State,
        *,
        basis: ShapeBasis,
        pool: PooledPoints | None = None,
        scene: SceneEvidence | None = None,
    ) -> Correction:
        """Correct every object of the batch; one that cannot be solved comes back as it was, with its reason.

        Args:
            pool: points of the same objects from other frames; the shape step sees them too, and answers are
                compared on all points: a shape that suits only this frame must not win.
            scene: what the frame tells beside the points; the search sees it, the steps do not.
        """
        begun = start
        if self.search is not None:
            begun = self.search(field, observation, start, basis=basis, scene=scene)
        task = _Task(field, observation, basis, pool)
        course = _Course(self, task, start, begun=begun)
        for _ in range(self.rounds):
            if course.active.any():
                course.round()
        course.polish()
        return course.finish()


@dataclass(frozen=True, eq=False)
class _Task:
    field: SignedDistance
    observation: Observation
    basis: ShapeBasis
    pool: PooledPoints | None

    def take(self, index: Tensor) -> _Task:
        pool = None if self.pool is None else self.pool.take(index)
        return _Task(self.field, self.observation.take(index), self.basis.take(index), pool)

    def objective(self, state: State, kernel: Kernel) -> Float[Tensor, " b"]:
        """`crisp.refine.problem.objective`, over the pool's points too."""
        own = object_points(state.T_camera_object, self.observation)
        points, valid = with_pool(own, self.observation.valid, self.pool)
        return mean_rho(
            self.field(torch.where(valid[..., None], points, 0.0), state.shape_code), valid, kernel
        )


class _Course:
    """One run of the corrector: `current` goes on from round to round, `best` only gets better."""

    def __init__(self, plan: Corrector, task: _Task, start: State, *, begun: State) -> None:
        self.plan, self.task = plan, task
        self.current = self.best = begun
        self.trace = [self._judge(task, start)]
        self.lowest = self.trace[0] if begun is start else self._judge(task, begun)
        self.active = torch.ones_like(task.observation.valid[:, 0])
        self.reshaped = torch.zeros_like(self.active)
        self.rounds = torch.zeros_like(self.active, dtype=torch.long)
        self.unsolvable = [""] * len(self.active)
        self.weights: Tensor | None = None
        self.gram: ShapeGram | None = None

    def round(self) -> None:
        """Both steps, one after the other, on the objects that are still active."""
        index = self.active.nonzero()[:, 0]
        task, before = self.task.take(index), self.lowest[index]
        posed = self._posed(index, task)
        if self.plan.shape_step is not None:
            able = index[self._solvable(index)]
            if len(able):
                self._reshape(able, posed.take(self._solvable(index)))
        self.rounds[index] += 1
        self.trace.append(self.lowest.clone())
        fell = self.lowest[index] < (1 - self.plan.tolerance) * before
        self.active = self.active.index_copy(0, index, fell & self._solvable(index))

    def polish(self) -> None:
        """A last pose step where the best answer has a new shape: its pose was found under another one."""
        index = self.reshaped.nonzero()[:, 0]
        if len(index):
            self.current = self.best
            self._posed(index, self.task.take(index))

    def _posed(self, index: Tensor, task: _Task) -> State:
        step = self.plan.pose_step(task.field, task.observation, self.current.take(index))
        for slot, reason in zip(index.tolist(), step.reasons, strict=True):
            self.unsolvable[slot] = reason
        better = self._accept(index, task, step.state)
        self.reshaped[index[better]] = False
        return step.state

    def _reshape(self, index: Tensor, state: State) -> None:
        assert self.plan.shape_step is not None
        task = self.task.take(index)
        pnc, valid = with_pool(state.pnc, task.observation.valid, task.pool)
        fit = self.plan.shape_step(task.field, pnc, valid, basis=task.basis, start=state.shape_code)
        found = State(state.pnc, state.T_camera_object, fit.shape_code)
        better = self._accept(index, task, found)
        self.reshaped[index[better]] = True
        self._note(index, fit)

    def _accept(self, index: Tensor, task: _Task, found: State) -> Bool[Tensor, " b"]:
        """Go on from `found`; keep a copy of it where nothing better was seen."""
        value = self._judge(task, found)
        better = value < self.lowest[index]
        self.current = self.current.put(index, found)
        self.best = self.best.put(index[better], found.take(better))
        self.lowest = self.lowest.index_copy(0, index[better], value[better])
        return better

    def _note(self, index: Tensor, fit: ShapeFit) -> None:
        shape = (len(self.active), fit.weights.shape[1])
        kept = fit.weights.new_zeros(shape) if self.weights is None else self.weights
        self.weights = kept.index_copy(0, index, fit.weights)
        if fit.gram is not None:
            self.gram = fit.gram.into(self.gram, index, rows=len(self.active))

    def _solvable(self, index: Tensor) -> Bool[Tensor, " b"]:
        able = [not self.unsolvable[slot] for slot in index.tolist()]
        return torch.tensor(able, dtype=torch.bool, device=index.device)

    @torch.no_grad()
    def _judge(self, task: _Task, state: State) -> Float[Tensor, " b"]:
        return task.objective(state, self.plan.kernel)

    def finish(self) -> Correction:
        status = [self._status(slot) for slot in range(len(self.active))]
        reasons = [self.unsolvable[slot] or REASONS[name] for slot, name in enumerate(status)]
        return Correction(
            state=self.best,
            status=tuple(status),
            reasons=tuple(reasons),
            objective_start=self.trace[0],
            objective=self.lowest,
            rounds=self.rounds,
            weights=self.weights,
            gram=self.gram,
            trace=torch.stack(self.trace),
        )

    def _status(self, slot: int) -> CorrectionStatus:
        if self.unsolvable[slot]:
            return "unsolvable"
        if not self.lowest[slot] < self.trace[0][slot]:
            return "unimproved"
        return "budget" if self.active[slot] else "converged"
