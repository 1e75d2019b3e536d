"""Objects that the registration has far from where they are, which are sought where their points are."""

from __future__ import annotations

import torch
from box_scene import HALF_M
from turns import turned

from crisp.geometry import pose
from crisp.refine.problem import (
    Kernel,
    Observation,
    ShapeBasis,
    SoftL1,
    State,
    Truncated,
    object_points,
    objective,
)
from crisp.refine.search.known import KnownSearch
from crisp.shape.sdf import AnalyticBox

BOX = AnalyticBox()
LIBRARY = torch.tensor([HALF_M, (0.1, 0.08, 0.03), (0.08, 0.1, 0.02), (0.03, 0.03, 0.09)])
POSE = pose.exp(torch.tensor([0.02, -0.03, 0.6, 0.4, -0.7, 0.3], dtype=torch.float64))
POINTS = 500


def lost(noise_m: float = 0.0) -> tuple[Observation, State, ShapeBasis]:
    """Three sides of a brick, begun as a longer one 9 cm too deep, and as what it is."""
    generator = torch.Generator().manual_seed(1)
    rows, axis = torch.arange(3000), torch.arange(3000) % 3
    side = torch.rand(3000, 3, generator=generator) * 2 - 1
    normal = torch.zeros(3000, 3)
    normal[rows, axis] = side[rows, axis] = side[rows, axis].sign()
    x = pose.apply(POSE.float(), side * torch.tensor(HALF_M))
    x = x[(x * (normal @ POSE.float()[:3, :3].T)).sum(-1) < 0][:POINTS]
    x = (x + noise_m * torch.randn(x.shape, generator=generator)).expand(2, -1, 3)
    observation = Observation(x, torch.ones(x.shape[:2], dtype=torch.bool))
    T = torch.stack([POSE @ turned((80, 10, -8)), POSE])
    T[0, 2, 3] += 0.09
    start = State(object_points(T, observation), T, LIBRARY[[3, 0]] + 1e-4)
    return observation, start, ShapeBasis(LIBRARY, LIBRARY.norm(dim=-1), start.shape_code)


def root(state: State, observation: Observation, kernel: Kernel) -> torch.Tensor:
    """How far each object's points are from it, metres."""
    return objective(BOX, state, observation, kernel=kernel).sqrt()


def test_they_are_found_and_the_others_stay() -> None:
    observation, start, basis = lost()
    there, here, trusting = (
        KnownSearch(code_prior=0.0, relocate_m=relocate_m, relocated_factor=factor)(
            BOX, observation, start, basis=basis
        )
        for relocate_m, factor in ((0.002, 2.0), (1.0, 2.0), (0.002, 1e6))
    )
    assert torch.equal(there.shape_code, LIBRARY[[0, 0]]) and root(there, observation, SoftL1()).max() < 2e-4
    assert root(here, observation, SoftL1())[0] > 2e-3, "from where it is begun it is not found"
    assert torch.equal(trusting.T_camera_object, here.T_camera_object), "that costs more than can be won"
    assert torch.equal(here.T_camera_object[1], there.T_camera_object[1])


def test_what_is_found_there_must_cost_less_by_the_factor() -> None:
    """Points that are not quite on the brick, so that the right fit has a cost; by the points alone."""
    observation, start, basis = lost(noise_m=0.0005)

    def found(*, relocate_m: float, factor: float) -> State:
        search = KnownSearch(
            code_prior=0.0,
            registered_prior=1.0,
            coordinates_weight=0.0,
            fine_points=POINTS,
            relocate_m=relocate_m,
            relocated_factor=factor,
        )
        return search(BOX, observation, start, basis=basis)

    here, there = found(relocate_m=1.0, factor=1.0), found(relocate_m=0.002, factor=1.0)
    cost = {
        name: root(state, observation, Truncated())[0] for name, state in (("here", here), ("there", there))
    }
    factor = float(cost["here"] / cost["there"])
    assert factor > 2
    for times, one in ((0.98, there), (1.02, here)):
        bought = found(relocate_m=0.002, factor=times * factor)
        assert torch.equal(bought.T_camera_object, one.T_camera_object)
