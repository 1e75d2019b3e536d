"""Among known shapes and their turns the right one is found, and what fits as it is stays."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from box_scene import CAMERA, HALF_M
from turns import NOT_TURNED, turned

from crisp.errors import InputError
from crisp.geometry import pose
from crisp.recipes import load_correction
from crisp.refine.corrector import Corrector
from crisp.refine.free_space import DepthMap, SceneEvidence
from crisp.refine.pose_step import PoseStepResult, Se3Step
from crisp.refine.problem import (
    Observation,
    ShapeBasis,
    SoftL1,
    Squares,
    State,
    Truncated,
    object_points,
    objective,
)
from crisp.refine.search.known import RENAMED, KnownSearch
from crisp.shape.sdf import AnalyticBox, AnalyticEllipsoid, SignedDistance
from crisp.shape.surface import surface_points

FIELD, BOX = AnalyticEllipsoid(), AnalyticBox()
KNOWN = torch.tensor([[0.07, 0.045, 0.02], [0.05, 0.05, 0.05], [0.09, 0.03, 0.03], [0.3, 0.3, 0.3]])
POSE = pose.exp(torch.tensor([0.02, -0.03, 0.6, 0.4, -0.7, 0.3], dtype=torch.float64))


def problem(
    starts: list[torch.Tensor], codes: torch.Tensor, true: torch.Tensor = KNOWN[0]
) -> tuple[Observation, State, ShapeBasis]:
    """The half of one ellipsoid that faces the camera, begun at several poses with several codes."""
    direction = torch.nn.functional.normalize(
        torch.randn(2400, 3, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    x = pose.apply(POSE.float(), direction * true)
    normal = (direction / true) @ POSE.float()[:3, :3].T
    x = x[(x * normal).sum(-1) < 0][:600].expand(len(starts), -1, 3)
    observation = Observation(x, torch.ones(x.shape[:2], dtype=torch.bool))
    T = torch.stack([POSE @ start for start in starts])
    basis = ShapeBasis(KNOWN, KNOWN.norm(dim=-1), codes)
    return observation, State(object_points(T, observation), T, codes), basis


def test_a_wrong_turn_and_a_wrong_shape_are_mended_together() -> None:
    """Begun as a ball, which any turn leaves as it is, and turned by far about two axes."""
    starts = [NOT_TURNED, turned((80, 10, -8)), turned((12, 85, 95))]
    observation, start, basis = problem(starts, KNOWN[1].expand(3, 3) + 0.001)
    found = KnownSearch(code_prior=0.0)(FIELD, observation, start, basis=basis)
    assert torch.equal(found.shape_code, KNOWN[0].expand(3, 3))
    assert objective(FIELD, found, observation, kernel=SoftL1()).sqrt().max() < 2e-4
    plain = Corrector(Se3Step(iterations=20))(FIELD, observation, start, basis=basis)
    assert plain.objective.sqrt().max() > 5e-3, "a descent alone does not find it: the search is needed"


def test_what_is_right_stays_though_a_half_turn_fits_as_well() -> None:
    observation, start, basis = problem([NOT_TURNED, turned((4, -3, 5))], KNOWN[0].expand(2, 3) + 1e-4)
    found = KnownSearch()(FIELD, observation, start, basis=basis)
    assert torch.equal(found.shape_code, KNOWN[0].expand(2, 3))
    angle = pose.inverse(POSE.expand(2, 4, 4)) @ found.T_camera_object
    assert torch.allclose(angle, NOT_TURNED.expand(2, 4, 4), atol=0.01)


def test_of_the_orientations_that_fit_the_one_that_the_network_meant_is_taken() -> None:
    """An ellipsoid fits in four; the coordinates are at odds with all, and least with one."""
    starts = [turned(angles) for angles in ((80, 10, -8), (-70, 60, 120), (95, 70, 20), (20, 200, -30))]
    observation, start, basis = problem(starts, KNOWN[0].expand(4, 3) + 1e-4)
    halves = [turned(angles) for angles in ((0, 0, 0), (180, 0, 0), (0, 180, 0), (0, 0, 180))]
    ways = [object_points((POSE @ half).expand(4, 4, 4), observation) for half in halves]
    meant = torch.stack([(way - start.pnc).square().sum(-1).mean(-1) for way in ways]).argmin(dim=0)
    taken = {}
    for weight in (0.0, 0.01):
        found = KnownSearch(coordinates_weight=weight)(FIELD, observation, start, basis=basis)
        apart = torch.stack([(way - found.pnc).norm(dim=-1).mean(-1) for way in ways])
        assert (apart.amin(dim=0) < 1e-3).all(), "one of the four it is in any case"
        taken[weight] = apart.argmin(dim=0)
    assert torch.equal(taken[0.01], meant) and not torch.equal(taken[0.0], meant)


def test_only_the_nearest_shapes_are_tried_and_the_prior_holds_to_the_first() -> None:
    near_the_ball = KNOWN[1][None] + 0.001
    observation, start, basis = problem([NOT_TURNED], near_the_ball)
    for search in (KnownSearch(shapes=1, max_shapes=1), KnownSearch(code_prior=1e6)):
        assert torch.equal(search(FIELD, observation, start, basis=basis).shape_code, KNOWN[1:2])


def test_more_shapes_are_tried_for_the_objects_that_the_first_do_not_fit_and_only_for_those() -> None:
    """The second object has the ball's code and is none; the first is what its code says."""
    observation, start, basis = problem([NOT_TURNED, turned((4, -3, 5))], KNOWN[[0, 1]] + 0.001)
    shapes = {}
    for accept_m in (0.002, 1.0):
        tried = _Tried()
        found = KnownSearch(shapes=1, accept_m=accept_m, relocate_m=1.0)(
            tried, observation, start, basis=basis
        )
        shapes[accept_m] = found.shape_code, tried.shapes
    assert torch.equal(shapes[0.002][0], KNOWN[[0, 0]]) and shapes[0.002][1] == {0, 1, 2, 3}
    assert torch.equal(shapes[1.0][0], KNOWN[[0, 1]]) and shapes[1.0][1] == {0, 1}


class _Tried:
    """The ellipsoids, remembering which of the known ones were asked for."""

    cube_half_m = FIELD.cube_half_m

    def __init__(self) -> None:
        self.shapes: set[int] = set()

    def __call__(self, points: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        self.shapes |= set(torch.cdist(codes, KNOWN).argmin(dim=1).tolist())
        return FIELD(points, codes)


def test_a_coarse_step_on_many_candidates_ends_where_none_does() -> None:
    observation, start, basis = problem([turned((80, 10, -8))], KNOWN[1:2] + 0.001)
    coarse, without = (KnownSearch(shapes=4, code_prior=0.0, medium_candidates=count) for count in (24, 96))
    short, full = (search(FIELD, observation, start, basis=basis) for search in (coarse, without))
    assert torch.equal(short.shape_code, full.shape_code)
    assert objective(FIELD, short, observation, kernel=SoftL1()).sqrt().max() < 2e-4


def test_points_that_are_not_the_objects_do_not_decide_between_shapes() -> None:
    """A seventh of the points lies 8 cm farther out: nearer to a greater shape, by squares; no pose moves."""
    observation, start, basis = problem([NOT_TURNED], KNOWN[0][None] + 1e-4)
    x = object_points(POSE[None], observation)
    x[:, ::7] += 0.08 * torch.nn.functional.normalize(x[:, ::7], dim=-1)
    observation = replace(observation, points_camera=pose.apply(POSE[None].float(), x))
    library = torch.cat([KNOWN[:1], 1.2 * KNOWN[:1]])
    basis = ShapeBasis(library, library.norm(dim=-1), start.shape_code)
    plan = KnownSearch(coarse=Stays(), medium=Stays(), fine=Stays(), code_prior=0.0, registered_prior=1.0)
    for kernel, chosen in ((Squares(), 1), (Truncated(), 0)):
        found = replace(plan, kernel=kernel)(FIELD, observation, start, basis=basis)
        assert torch.equal(found.shape_code[0], library[chosen])


class Stays:
    """A pose step that finds nothing better."""

    def __call__(self, field: SignedDistance, observation: Observation, state: State) -> PoseStepResult:
        value = objective(field, state, observation, kernel=SoftL1())
        return PoseStepResult(
            state, value, torch.zeros(len(value)).long(), value[:, None], ("",) * len(value)
        )


def test_an_object_does_not_depend_on_its_neighbours() -> None:
    starts, codes = [turned((80, 10, -8)), NOT_TURNED], KNOWN[[1, 2]] + 0.001
    observation, start, basis = problem(starts, codes)
    together = KnownSearch()(FIELD, observation, start, basis=basis)
    for i in range(2):
        one = torch.tensor([i])
        alone = KnownSearch()(FIELD, observation.take(one), start.take(one), basis=basis.take(one))
        assert torch.allclose(alone.T_camera_object[0], together.T_camera_object[i], atol=1e-6)
        assert torch.equal(alone.shape_code[0], together.shape_code[i])


def test_an_object_without_points_stays_and_does_not_take_the_others_down() -> None:
    observation, start, basis = problem([turned((0, 90, 0))] * 2, KNOWN[[1, 1]] + 0.001)
    valid = observation.valid.clone()
    valid[0] = False
    seen = Observation(observation.points_camera, valid)
    found = KnownSearch(code_prior=0.0)(FIELD, seen, start, basis=basis)
    assert torch.equal(found.T_camera_object[0], start.T_camera_object[0])
    assert torch.equal(found.shape_code[0], start.shape_code[0])
    assert torch.equal(found.shape_code[1], KNOWN[0])
    corrected = Corrector(Se3Step(), search=KnownSearch(code_prior=0.0))(FIELD, seen, start, basis=basis)
    assert corrected.status[0] == "unsolvable"


def test_a_corrector_with_a_search_says_what_it_gained_over_the_network() -> None:
    observation, start, basis = problem([turned((80, 10, -8))], KNOWN[1:2] + 0.001)
    found = Corrector(Se3Step(), search=KnownSearch(code_prior=0.0))(FIELD, observation, start, basis=basis)
    begun = objective(FIELD, start, observation, kernel=SoftL1())
    assert torch.allclose(found.objective_start, begun)
    assert found.objective[0] < 1e-3 * begun[0]


def brick_taken_for_a_greater_one() -> tuple[Observation, State, ShapeBasis, SceneEvidence]:
    """A brick on a table, from straight above, begun as one with the same thickness and a greater side."""
    depth_m = torch.full((CAMERA.height, CAMERA.width), 0.6 + 2 * HALF_M[2])
    x, y = torch.from_numpy(0.6 * CAMERA.rays()[..., :2]).unbind(-1)
    top = (x.abs() < HALF_M[0]) & (y.abs() < HALF_M[1])
    depth_m[top] = 0.6
    points = torch.from_numpy(CAMERA.backproject(depth_m.numpy()))[top][None]
    valid = torch.ones(points.shape[:2], dtype=torch.bool)
    observation = Observation(points, valid)
    library = torch.tensor([HALF_M, (0.1, 0.08, HALF_M[2])])
    T = NOT_TURNED.clone()
    T[2, 3] = 0.6 + HALF_M[2]
    start = State(object_points(T[None], observation), T[None], library[1:] + 1e-4)
    basis = ShapeBasis(library, library.norm(dim=-1), start.shape_code)
    scene = SceneEvidence(DepthMap(depth_m, CAMERA), top[None], surface_points(BOX, library))
    return observation, start, basis, scene


def test_a_greater_shape_that_fits_as_well_gives_way_where_it_should_be_seen_and_is_not() -> None:
    """Every point on the small brick's upper side lies on the large one's, too: only what is around tells."""
    observation, start, basis, scene = brick_taken_for_a_greater_one()
    chosen = {
        name: KnownSearch()(BOX, observation, start, basis=basis, scene=known).shape_code[0]
        for name, known in (
            ("with the scene", scene),
            ("without", None),
            ("without surfaces", replace(scene, surfaces=None)),
        )
    }
    right = {name: torch.equal(shape, basis.library[0]) for name, shape in chosen.items()}
    assert right == {"with the scene": True, "without": False, "without surfaces": False}
    unweighted = KnownSearch(outside_mask_m=0.0)(BOX, observation, start, basis=basis, scene=scene)
    assert torch.equal(unweighted.shape_code[0], basis.library[1])


def test_an_occluder_says_nothing_against_the_greater_shape() -> None:
    observation, start, basis, scene = brick_taken_for_a_greater_one()
    depth_m = scene.depth.depth_m
    hidden = replace(scene, depth=DepthMap(torch.where(depth_m > 0.61, 0.4, depth_m), CAMERA))
    found = KnownSearch()(BOX, observation, start, basis=basis, scene=hidden)
    assert torch.equal(found.shape_code[0], basis.library[1])


@pytest.mark.parametrize(
    "change",
    [
        {"fine_points": 3},
        {"medium_points": 0},
        {"shapes": 0},
        {"fine_candidates": 0},
        {"code_prior": -1.0},
        {"registered_prior": 0.0},
        {"outside_mask_m": -0.1},
        {"accept_m": -0.1},
        {"relocate_m": -0.1},
        {"relocated_factor": 0.5},
        {"coarse_points": 3},
        {"max_shapes": 0},
        {"medium_candidates": 0},
        {"coordinates_weight": -0.1},
    ],
)
def test_senseless_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InputError):
        KnownSearch(**change)  # type: ignore[arg-type]


def test_the_shipped_settings_search_and_leave_the_shape_alone() -> None:
    corrector, certificate = load_correction("search")
    assert corrector.search == KnownSearch() and corrector.shape_step is None and certificate is None


def test_every_renamed_key_has_a_name_that_is_there_and_is_not_one_itself() -> None:
    known = {item.name for item in fields(KnownSearch)}
    assert set(RENAMED.values()) <= known and not set(RENAMED) & known
