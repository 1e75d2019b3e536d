"""Both pose steps: worked cases, laws, plain twins, and traps 1, 2, 4 and 5 of method, section 11."""

from dataclasses import dataclass, replace

import pytest
import torch

from crisp.errors import InputError
from crisp.geometry import pose
from crisp.geometry.align import weighted_procrustes
from crisp.refine.pose_step import NO_FIELD, NOT_FINITE, TOO_FEW_POINTS, Evaluation, Posing, Se3Step
from crisp.refine.problem import Observation, SoftL1, Squares, State, mean_rho, object_points, objective
from crisp.refine.z_step import ZGradientStep
from crisp.shape.sdf import AnalyticBox, AnalyticSphere

BOX, HALF = AnalyticBox(), (0.04, 0.06, 0.09)
STEPS = pytest.mark.parametrize("step", [Se3Step(), ZGradientStep()], ids=lambda s: type(s).__name__)


def _on_box(objects, points, g):
    """Points on the three faces x = a, y = b, z = c: what a camera at that corner sees."""
    half = torch.tensor(HALF, dtype=torch.float64)
    z = (2 * torch.rand(objects, points, 3, generator=g, dtype=torch.float64) - 1) * half
    face = torch.randint(3, (objects, points, 1), generator=g)
    return z.scatter(-1, face, half.expand_as(z).gather(-1, face)), half.repeat(objects, 1)


def _scene(objects=4, points=300, *, noise_m=0.0, off=0.1, dtype=torch.float64, seed=0):
    """Observation, a start that is off by up to `off` rad and off / 10 metres, and the true pose."""
    g = torch.Generator().manual_seed(seed)
    z, code = _on_box(objects, points, g)
    t = torch.tensor([0.1, -0.1, 0.7], dtype=torch.float64).repeat(objects, 1)
    T = pose.from_rotation_translation(pose.random_rotation(objects, g), t)
    x = pose.apply(T, z + noise_m * torch.randn(z.shape, generator=g, dtype=torch.float64))
    xi = (2 * torch.rand(objects, 6, generator=g, dtype=torch.float64) - 1) * off
    start = T @ pose.exp(xi * torch.tensor([0.1, 0.1, 0.1, 1, 1, 1]))
    observation = Observation(x.to(dtype), torch.ones(objects, points, dtype=torch.bool))
    pnc = pose.apply(pose.inverse(start), x)
    return observation, State(pnc.to(dtype), start.to(dtype), code.to(dtype)), T


def _pad(observation, state, n, *, value=0.0):
    def more(points):
        return torch.cat([points, points.new_full((len(points), n, 3), value)], dim=1)

    valid = torch.cat([observation.valid, observation.valid.new_zeros(len(state.pnc), n)], dim=1)
    return Observation(more(observation.points_camera), valid), replace(state, pnc=more(state.pnc))


def _same(a, b):
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("pnc", "T_camera_object", "shape_code"))


@pytest.mark.parametrize("kernel", [SoftL1(), Squares()], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_se3_finds_the_pose_of_a_box(kernel, dtype):
    observation, state, T = _scene(off=0.2, dtype=dtype)
    result = Se3Step(kernel)(BOX, observation, state)
    assert result.state.T_camera_object.dtype == result.state.pnc.dtype == dtype
    # Float32 at 0.7 m resolves 6e-8 m; a thousandth of a millimetre is asked for.
    torch.testing.assert_close(result.state.T_camera_object.double(), T, atol=1e-6 / 0.1, rtol=0)
    assert (result.objective.sqrt() < 1e-6).all()
    assert (result.iterations <= 8).all() and result.reasons == ("",) * 4


def test_one_gauss_newton_step_solves_a_linear_case():
    # A point's distance from a large box's face is linear in the translation: one undamped step is exact.
    g = torch.Generator().manual_seed(0)
    z, code = _on_box(1, 90, g)
    z = z * 0.8 + 0.2 * z.clamp(min=0) * (z == code[:, None])  # away from the edges, still on the faces
    shift = torch.tensor([[0.003, -0.002, 0.001]], dtype=torch.float64)
    start = pose.exp(torch.cat([shift, torch.zeros_like(shift)], dim=-1))
    observation = Observation(z, torch.ones(1, 90, dtype=torch.bool))
    state = State(z - shift, start, code)
    result = Se3Step(Squares(), iterations=1, damping=1e-9)(BOX, observation, state)
    torch.testing.assert_close(
        result.state.T_camera_object[:, :3, 3], torch.zeros(1, 3).double(), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("kernel", [Squares(), SoftL1(0.003)], ids=str)
def test_the_chain_rule_by_hand_is_autograds(kernel):
    observation, state, _ = _scene(noise_m=0.002)
    observation, state = _pad(observation, state, 7)
    posing = Posing.of(BOX, observation, state)
    xi = torch.zeros(4, 6, dtype=torch.float64, requires_grad=True)
    moved = replace(state, T_camera_object=state.T_camera_object @ pose.exp(xi))
    (gradient,) = torch.autograd.grad(objective(BOX, moved, observation, kernel=kernel).sum(), xi)
    evaluation = Evaluation.at(posing, state.T_camera_object, kernel)
    at = evaluation.linearised(kernel)
    torch.testing.assert_close(2 * at.slope, gradient)
    torch.testing.assert_close(evaluation.objective, objective(BOX, state, observation, kernel=kernel))

    def residuals(xi):
        moved = state.T_camera_object[:1] @ pose.exp(xi[None])
        return BOX(object_points(moved, observation.take(torch.tensor([0]))), state.shape_code[:1])[0]

    J = torch.autograd.functional.jacobian(residuals, torch.zeros(6, dtype=torch.float64))
    w = kernel.weights(residuals(torch.zeros(6, dtype=torch.float64))[None])[0] * observation.valid[0]
    torch.testing.assert_close(at.normal[0], J.T @ (w[:, None] * J) / 300)


def test_both_steps_reach_the_same_value():
    """Lemma 5 in small, with noise so that the optimum is not zero, and the same kernel."""
    observation, state, _ = _scene(objects=2, points=80, noise_m=0.002)
    kernel = SoftL1()
    six = Se3Step(kernel, iterations=30, tolerance=1e-10)(BOX, observation, state)
    many = ZGradientStep(kernel, iterations=200)(BOX, observation, state)
    torch.testing.assert_close(six.objective, many.objective, rtol=1e-3, atol=0)
    for result in (six, many):
        torch.testing.assert_close(result.objective, objective(BOX, result.state, observation, kernel=kernel))


def test_the_two_views_of_the_answer_agree():
    observation, state, _ = _scene(noise_m=0.002)
    six = Se3Step()(BOX, observation, state).state
    torch.testing.assert_close(six.pnc, object_points(six.T_camera_object, observation))
    many = ZGradientStep(iterations=5)(BOX, observation, state).state
    T = weighted_procrustes(many.pnc, observation.points_camera, torch.ones_like(many.pnc[..., 0]))
    torch.testing.assert_close(many.T_camera_object, T)


@pytest.mark.parametrize("optimiser", ["adam", "descent"])
def test_z_step_is_torchs_own_optimiser(optimiser):
    observation, state, _ = _scene(objects=2, points=50, noise_m=0.002)
    step = ZGradientStep(iterations=6, optimiser=optimiser)
    z = state.pnc.clone().requires_grad_()
    twin = torch.optim.Adam([z], lr=1e-3) if optimiser == "adam" else torch.optim.SGD([z], lr=1e-3)
    values = []
    for _ in range(7):
        twin.zero_grad()
        T = weighted_procrustes(z, observation.points_camera, torch.ones_like(z[..., 0]))
        value = BOX(object_points(T, observation), state.shape_code).square()
        values.append(value.detach().mean(-1))
        value.sum().backward()
        twin.step()
    torch.testing.assert_close(step(BOX, observation, state).trace, torch.stack(values, dim=-1))


def test_trap_1_the_best_iterate_is_returned_and_is_a_copy():
    observation, state, _ = _scene()
    before = state.pnc.clone()
    result = ZGradientStep(learning_rate=0.02, iterations=12)(BOX, observation, state)
    assert (result.trace[:, -1] > 1.5 * result.objective).any()  # a rate at which the last is not the best
    assert torch.equal(result.objective, result.trace.amin(-1))
    torch.testing.assert_close(objective(BOX, result.state, observation, kernel=Squares()), result.objective)
    short = ZGradientStep(iterations=1, learning_rate=10.0)(BOX, observation, state)  # only worse
    torch.testing.assert_close(short.state.pnc, before)
    for found in (result.state, short.state, Se3Step()(BOX, observation, state).state):
        found.pnc.zero_(), found.shape_code.zero_()
    assert torch.equal(state.pnc, before) and (state.shape_code > 0).all()


def test_trap_1_se3_never_accepts_what_is_worse():
    observation, state, _ = _scene(noise_m=0.005, off=1.5, objects=12)
    result = Se3Step(Squares())(BOX, observation, state)
    change = result.trace.diff(dim=-1)
    tried = torch.arange(change.shape[1]) < result.iterations[:, None]
    assert (change <= 0).all() and (change[tried] == 0).any()  # some steps were refused: the law was tried


def test_trap_2_the_trimming_threshold_has_no_gradient():
    g = torch.Generator().manual_seed(0)
    r = torch.randn(2, 101, generator=g, dtype=torch.float64, requires_grad=True)
    valid = torch.rand(2, 101, generator=g) < 0.9
    (gradient,) = torch.autograd.grad(mean_rho(r, valid, Squares(), trim_quantile=0.9).sum(), r)
    for b in range(2):
        at = torch.quantile(r.detach()[b][valid[b]].abs(), 0.9)
        kept = valid[b] & (r.detach()[b].abs() <= at)
        # The mean of r^2 over `kept`, those being fixed: each point's gradient is 2 r / their number.
        torch.testing.assert_close(gradient[b], torch.where(kept, 2 * r.detach()[b] / kept.sum(), 0.0))
    assert (gradient == 0).sum() > 20


def test_trap_2_trimming_ignores_gross_errors_in_the_step():
    observation, state, _ = _scene(noise_m=0.001)
    wild = observation.points_camera.clone()
    wild[:, ::20] += 0.1
    observation = Observation(wild, observation.valid)
    good = torch.arange(300) % 20 > 0
    weights = good.double().repeat(4, 1)
    plain, trimmed = ZGradientStep(iterations=60), ZGradientStep(iterations=60, trim_quantile=0.9)
    inliers = Observation(wild[:, good], observation.valid[:, good])
    errors = [
        objective(
            BOX, step(BOX, observation, state, registration_weights=weights).state, inliers, kernel=Squares()
        )
        for step in (plain, trimmed)
    ]
    assert (errors[1] < 0.5 * errors[0]).all()


@STEPS
def test_trap_4_nothing_is_drawn_and_runs_are_equal(step):
    observation, state, _ = _scene(noise_m=0.002)
    random = torch.get_rng_state()
    first, second = step(BOX, observation, state), step(BOX, observation, state)
    assert torch.equal(torch.get_rng_state(), random)
    assert _same(first.state, second.state) and torch.equal(first.trace, second.trace)


def test_trap_4_the_objective_is_continuous_in_z():
    observation, state, _ = _scene(objects=1, points=60, noise_m=0.002)
    posing, ones = Posing.of(BOX, observation, state), torch.ones(1, 60, dtype=torch.float64)
    end = ZGradientStep()(BOX, observation, state).state.pnc
    share = torch.linspace(0, 1, 101, dtype=torch.float64)
    values = torch.stack(
        [ZGradientStep().evaluate(posing, state.pnc.lerp(end, s), ones)[0][0] for s in share]
    )
    # A redrawn RANSAC would jump between any two neighbours.
    assert values.diff().abs().max() < 0.05 * (values[0] - values[-1])


@STEPS
@pytest.mark.parametrize("value", [0.0, 1e3])
def test_trap_5_padding_changes_nothing(step, value):
    observation, state, _ = _scene(noise_m=0.002)
    plain, padded = step(BOX, observation, state), step(BOX, *_pad(observation, state, 40, value=value))
    for name in ("objective", "trace"):
        torch.testing.assert_close(getattr(padded, name), getattr(plain, name), rtol=1e-8, atol=1e-16)
    torch.testing.assert_close(padded.state.T_camera_object, plain.state.T_camera_object, atol=1e-8, rtol=0)
    torch.testing.assert_close(padded.state.pnc[:, :300], plain.state.pnc, atol=1e-8, rtol=0)
    assert (padded.state.pnc[:, 300:] == value).all()


@pytest.mark.parametrize("step", [Se3Step(), ZGradientStep(patience=2, learning_rate=5e-3)], ids=str)
def test_objects_do_not_meet(step):
    observation, state, _ = _scene(noise_m=0.002, off=0.3)
    together = step(BOX, observation, state)
    assert len(together.iterations.unique()) > 1  # they stop at different times
    for b in range(4):
        only = torch.tensor([b])
        alone = step(BOX, observation.take(only), state.take(only))
        torch.testing.assert_close(alone.state.pnc[0], together.state.pnc[b], atol=1e-8, rtol=0)
        assert alone.iterations[0] == together.iterations[b]


@dataclass(frozen=True)
class Broken:
    """A box whose distances are NaN where the code says so."""

    cube_half_m: float = 0.2

    def __call__(self, points_object, code):
        return torch.where(code[..., None, 3] > 0, torch.nan, BOX(points_object, code[..., :3]))


@STEPS
def test_hopeless_objects_come_back_unchanged_and_the_others_are_solved(step):
    observation, state, _ = _scene(objects=6)
    x, z, valid = observation.points_camera.clone(), state.pnc.clone(), observation.valid.clone()
    code = torch.cat([state.shape_code, torch.zeros(6, 1, dtype=torch.float64)], dim=-1)
    z[0, 5], x[1, 7, 2] = torch.nan, torch.inf
    valid[2, 3:] = False
    valid[3] = False
    code[4, 3] = 1.0
    bad, start = Observation(x, valid), State(z, state.T_camera_object, code)
    result = step(Broken(), bad, start)
    assert result.reasons == (NOT_FINITE, NOT_FINITE, TOO_FEW_POINTS, TOO_FEW_POINTS, NO_FIELD, "")
    torch.testing.assert_close(result.state.pnc[:5], z[:5], equal_nan=True, rtol=0, atol=0)
    assert torch.equal(result.state.T_camera_object[:5], state.T_camera_object[:5])
    assert result.objective[:5].isnan().all() and (result.iterations[:5] == 0).all()
    good = step(BOX, observation.take(torch.tensor([5])), state.take(torch.tensor([5])))
    torch.testing.assert_close(result.state.pnc[5:], good.state.pnc, atol=1e-9, rtol=0)
    nobody = step(Broken(), bad.take(torch.tensor([0, 1])), start.take(torch.tensor([0, 1])))
    assert nobody.reasons == (NOT_FINITE, NOT_FINITE)


@pytest.mark.parametrize("step", [Se3Step(damping=1e-12, tolerance=0.0, resolution_m=0.0), ZGradientStep()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_what_the_points_leave_open_stays_finite_and_put(step, dtype):
    """One face of a box (three of six directions open), and a sphere (all turns open)."""
    g = torch.Generator().manual_seed(0)
    flat = 0.03 * (2 * torch.rand(1, 200, 3, generator=g, dtype=torch.float64) - 1)
    flat[..., 2] = HALF[2]
    ball = 0.05 * torch.nn.functional.normalize(
        torch.randn(1, 200, 3, generator=g, dtype=torch.float64), dim=-1
    )
    start = pose.exp(torch.tensor([[0.002, 0.001, 0.004, 0.02, 0.01, 0.03]], dtype=torch.float64))
    for field, points, code in ((BOX, flat, HALF), (AnalyticSphere(), ball, (0.05, 0, 0))):
        observation = Observation(points.to(dtype), torch.ones(1, 200, dtype=torch.bool))
        pnc = pose.apply(pose.inverse(start), points).to(dtype)
        result = step(field, observation, State(pnc, start.to(dtype), torch.tensor([code], dtype=dtype)))
        assert result.state.T_camera_object.isfinite().all() and result.state.pnc.isfinite().all()
        assert result.objective[0] < 0.1 * result.trace[0, 0]
        moved = pose.log(pose.inverse(start) @ result.state.T_camera_object.double())
        # Adam moves every coordinate by its rate, however small the slope, so there the open turns drift.
        assert moved.abs().max() < (0.05 if isinstance(step, Se3Step) else 0.3)


def test_contradictory_settings_are_refused():
    for wrong in ({"iterations": 0}, {"damping": 0.0}, {"tolerance": -1.0}):
        with pytest.raises(InputError, match="the pose step needs"):
            Se3Step(**wrong)
    for wrong in ({"iterations": 0}, {"learning_rate": 0.0}, {"patience": 0}, {"trim_quantile": 1.5}):
        with pytest.raises(InputError, match=r"the Z step needs|trim_quantile must"):
            ZGradientStep(**wrong)
    observation, state, _ = _scene(objects=1)
    with pytest.raises(InputError, match="must be the same points"):
        Se3Step()(BOX, Observation(observation.points_camera[:, :9], observation.valid[:, :9]), state)
