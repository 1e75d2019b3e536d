"""Many poses of every object of a batch, compared and improved at once."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from crisp.refine.pose_step import PoseStep
from crisp.refine.problem import Kernel, Observation, State, object_points, objective
from crisp.shape.sdf import SignedDistance

TURNS = 24
RESOLUTION_M = 1e-4  # two exact fits differ by rounding errors, of which no factor makes a preference


@cache
def cube_turns() -> Float[Tensor, "24 4 4"]:
    """The 24 turns that take a cube into itself, as poses, float64; the first is none."""
    turns = torch.eye(4, dtype=torch.float64).repeat(TURNS, 1, 1)
    turns[:, :3, :3] = torch.from_numpy(Rotation.create_group("O").as_matrix())
    first = turns.sub(torch.eye(4, dtype=torch.float64)).abs().sum((1, 2)).argsort(stable=True)
    return turns[first]


def behind_points(
    field: SignedDistance, observation: Observation, codes: Float[Tensor, "b s c"]
) -> Float[Tensor, "b s 3"]:
    """Where an object's origin may be, to judge by its measured points alone; metres, camera frame, float64.

    Behind the median of the valid points, by as much as the shape's surface is from its origin: what is seen
    is the side that faces the camera.
    """
    seen = observation.points_camera.double().masked_fill(~observation.valid[..., None], torch.nan)
    middle = seen.nanmedian(dim=1).values
    with torch.no_grad():
        origin = codes.new_zeros(codes.shape[0] * codes.shape[1], 1, 3)
        thick_m = field(origin, codes.flatten(0, 1)).abs().double().view(codes.shape[:2])
    ray = torch.nn.functional.normalize(middle, dim=-1)
    return middle[:, None] + thick_m[..., None] * ray[:, None]


def fits(
    field: SignedDistance,
    observation: Observation,
    T: Float[Tensor, "b j 4 4"],
    *,
    codes: Float[Tensor, "b j c"],
    kernel: Kernel,
) -> Float[Tensor, "b j"]:
    """Root of the objective of every candidate, metres, without gradient.

    Args:
        observation: of the B objects.
        T, codes: J poses for each, and the shapes that they are of.
    """
    each, state = _one_by_one(observation, T, codes)
    return _root(field, state, each, kernel=kernel).unflatten(0, T.shape[:2])


def improved(
    step: PoseStep,
    field: SignedDistance,
    observation: Observation,
    *,
    T: Float[Tensor, "b j 4 4"],
    codes: Float[Tensor, "b j c"],
    kernel: Kernel,
) -> tuple[Float[Tensor, "b j 4 4"], Float[Tensor, "b j"]]:
    """Every candidate after a pose step, and how it fits then; infinite where the step has no value."""
    each, begun = _one_by_one(observation, T, codes)
    found = step(field, each, begun)
    root = _root(field, found.state, each, kernel=kernel).where(found.objective.isfinite(), torch.inf)
    poses = found.state.T_camera_object.double()
    return poses.unflatten(0, T.shape[:2]), root.unflatten(0, T.shape[:2])


def _one_by_one(
    observation: Observation, T: Float[Tensor, "b j 4 4"], codes: Float[Tensor, "b j c"]
) -> tuple[Observation, State]:
    """Every candidate as an object of its own."""
    rows = torch.arange(len(T), device=T.device).repeat_interleave(T.shape[1])
    each, poses, shapes = observation.take(rows), T.flatten(0, 1), codes.flatten(0, 1)
    return each, State(object_points(poses, each).to(shapes), poses, shapes)


def _root(
    field: SignedDistance, state: State, observation: Observation, *, kernel: Kernel
) -> Float[Tensor, " b"]:
    with torch.no_grad():
        value = objective(field, state, observation, kernel=kernel)
    return (value + RESOLUTION_M**2).sqrt().double()
