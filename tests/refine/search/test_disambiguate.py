"""Of the orientations that fit, the one that the coordinates agree with; none that fits clearly worse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from box_scene import CODE, box_scene
from scipy.spatial.transform import Rotation
from torch import Tensor
from turns import turned

from crisp.errors import InputError
from crisp.geometry import pose
from crisp.geometry.points import thinned
from crisp.refine.problem import Observation, State, Truncated, object_points, objective
from crisp.refine.search.candidates import RESOLUTION_M, Disambiguation, cube_turns
from crisp.shape.sdf import AnalyticBox, AnalyticEllipsoid

BOX = AnalyticBox()
TRUE = torch.from_numpy(box_scene((0.02, 0.0, 0.6)).poses[0])
SEEN = box_scene((0.02, 0.0, 0.6)).sight().pixels
BALL = 0.05


def apart_deg(A: Tensor, B: Tensor) -> float:
    turn = Rotation.from_matrix((A[:3, :3].T @ B[:3, :3]).numpy())
    return float(np.degrees(turn.magnitude()))


def measured_and_predicted(meant: list[Tensor]) -> tuple[Observation, Tensor]:
    """What was measured of some boxes, and the network's coordinates: some 3 mm off what it means."""
    observation = SEEN.take(torch.zeros(len(meant), dtype=torch.long))
    said = object_points(torch.stack(meant), observation)
    return observation, said + 0.003 * torch.randn(said.shape, generator=torch.Generator().manual_seed(2))


def chosen(found: list[Tensor], meant: list[Tensor], choice: Disambiguation | None = None) -> Tensor:
    """Of boxes found in some poses, while the network meant others."""
    observation, said = measured_and_predicted(meant)
    state = State(said, torch.stack(found), CODE.expand(len(found), -1))
    return (choice or Disambiguation())(BOX, observation, state, T_registered=torch.stack(meant))


@pytest.mark.parametrize("half_turn", [(180, 0, 0), (0, 180, 0), (0, 0, 180)])
def test_a_box_that_fits_turned_by_half_is_turned_to_what_the_network_meant(
    half_turn: tuple[float, float, float],
) -> None:
    meant = TRUE @ turned((6, -4, 5))  # it is somewhat wrong, and in the right half
    T = chosen([TRUE @ turned(half_turn)], [meant])
    assert apart_deg(T[0], TRUE) < 0.5
    fit = objective(BOX, State(SEEN.points_camera, T, CODE[None]), SEEN, kernel=Truncated()).sqrt()
    assert fit < 5e-4


def test_what_the_network_meant_stays() -> None:
    T = chosen([TRUE], [TRUE @ turned((6, -4, 5))])[0]
    assert apart_deg(T, TRUE) < 0.05 and torch.allclose(T[:3, 3], TRUE[:3, 3], atol=1e-4)


def test_a_quarter_turn_fits_worse_and_is_not_taken_though_the_network_means_it() -> None:
    """The sides of the box differ by a centimetre and more."""
    T = chosen([TRUE], [TRUE @ turned((0, 0, 90))])
    halves = [TRUE, *(TRUE @ turned(half) for half in ((180, 0, 0), (0, 180, 0), (0, 0, 180)))]
    assert min(apart_deg(T[0], half) for half in halves) < 0.5
    free = chosen([TRUE], [TRUE @ turned((0, 0, 90))], Disambiguation(weight=10.0, finalists=48))
    assert apart_deg(free[0], TRUE @ turned((0, 0, 90))) < 30, "only its fit speaks against it"


def test_the_free_turn_of_a_round_shape_is_the_networks() -> None:
    """A spheroid, whose turn about z no point tells, found 130 degrees away from where the network has it."""
    body, code = AnalyticEllipsoid(), torch.tensor([[BALL, BALL, 0.09]])
    directions = torch.nn.functional.normalize(
        torch.randn(400, 3, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    observation = Observation(
        pose.apply(TRUE.float(), directions * code)[None], torch.ones(1, 400, dtype=torch.bool)
    )
    meant = TRUE @ turned((0, 0, 130))
    said = object_points(meant[None], observation)
    found = Disambiguation()(body, observation, State(said, TRUE[None], code), T_registered=meant[None])
    assert apart_deg(found[0], meant) < 1


def test_it_chooses_as_a_plain_loop_over_all_candidates_does() -> None:
    """One candidate after the other, with nothing left out."""
    found, meant = TRUE @ turned((0, 180, 0)), TRUE @ turned((-8, 3, 12))
    choice = Disambiguation(finalists=48)
    moved = meant.clone()
    moved[:3, 3] = found[:3, 3]
    few = Observation(*thinned(SEEN.points_camera, SEEN.valid, choice.points))
    said = object_points(meant[None], few)
    ends = []
    for start in (found, moved):
        for turn in cube_turns():
            T = (start @ turn)[None]
            T = choice.step(BOX, few, State(object_points(T, few), T, CODE[None])).state.T_camera_object
            value = objective(BOX, State(few.points_camera, T, CODE[None]), few, kernel=Truncated())
            off = (object_points(T, few) - said)[few.valid].norm(dim=-1).mean()
            left_m = T[0, 0, 3] - 0.02
            ends.append((float((value + RESOLUTION_M**2).sqrt() + 0.01 * off + left_m.abs()), T[0]))
    _, best = min(ends, key=lambda end: end[0])
    state = State(object_points(meant[None], SEEN), found[None], CODE[None])
    T = choice(BOX, SEEN, state, T_registered=meant[None], extra=lambda T: (T[..., 0, 3] - 0.02).abs())
    assert apart_deg(T[0], best) < 0.2 and torch.allclose(T[0, :3, 3], best[:3, 3], atol=1e-4)


def test_an_object_does_not_depend_on_its_neighbours() -> None:
    found = [TRUE @ turned((0, 180, 0)), TRUE, TRUE @ turned((180, 0, 0))]
    meant = [TRUE @ turned((4, 4, 4)), TRUE @ turned((0, 0, 170)), TRUE @ turned((175, 0, 0))]
    together = chosen(found, meant)
    _, said = measured_and_predicted(meant)
    for i in range(3):
        state = State(said[i : i + 1], found[i][None], CODE[None])
        alone = Disambiguation()(BOX, SEEN, state, T_registered=meant[i][None])
        assert torch.allclose(alone[0], together[i], atol=1e-6)


def test_an_object_without_points_stays_as_it_is() -> None:
    nothing = Observation(SEEN.points_camera, torch.zeros_like(SEEN.valid))
    state = State(SEEN.points_camera, TRUE[None], CODE[None])
    T = Disambiguation()(BOX, nothing, state, T_registered=TRUE[None] @ turned((0, 180, 0)))
    assert torch.equal(T[0], TRUE)


@pytest.mark.parametrize("change", [{"weight": -0.1}, {"points": 0}, {"finalists": 0}, {"weight": np.nan}])
def test_senseless_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Disambiguation(**change)  # type: ignore[arg-type]
