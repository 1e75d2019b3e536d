"""The shape steps: worked cases on spheres, plain enumeration, and the traps of the public code."""

import pytest
import torch

from crisp.errors import InputError
from crisp.refine.active_shape import shape_gram
from crisp.refine.problem import ShapeBasis, SoftL1, Squares
from crisp.refine.shape_step import ActiveShape, HullDescent, hull_fit, project_simplex, shape_objective
from crisp.shape.sdf import AnalyticBox, AnalyticSphere

SPHERE, BOX = AnalyticSphere(), AnalyticBox()


def on_sphere(radius_m, n=200, seed=0):
    directions = torch.randn(1, n, 3, generator=torch.Generator().manual_seed(seed))
    return radius_m * directions / directions.norm(dim=-1, keepdim=True)


def spheres(*radii_m, network_m):
    """A basis of spheres with their exact sizes."""
    radii, own = torch.tensor(radii_m), torch.tensor([network_m])
    size = 2 * 3**0.5
    # The field ignores a code's second number; with it codes of different radii are independent.
    codes, own_code = (torch.stack([r, torch.ones_like(r)], dim=-1) for r in (radii, own))
    return ShapeBasis(codes, size * radii, own_code, network_diameters_m=size * own)


def everything(pnc):
    return torch.ones(pnc.shape[:2], dtype=torch.bool)


def boxes_scene(objects=3, seed=2):
    """Points near boxes that are mixtures of known ones."""
    g = torch.Generator().manual_seed(seed)
    library = 0.02 + 0.06 * torch.rand(4, 3, generator=g)
    true = project_simplex(torch.rand(objects, 4, generator=g)) @ library
    u = 2 * torch.rand(objects, 300, 3, generator=g) - 1
    pnc = true[:, None] * u / u.abs().amax(-1, keepdim=True)
    pnc = pnc + 0.001 * torch.randn(pnc.shape, generator=g)
    network = true + 0.01 * torch.randn(true.shape, generator=g)
    valid = torch.rand(objects, 300, generator=g) < 0.8
    return pnc, valid, ShapeBasis(library, 2 * library.norm(dim=-1), network)


# --- Alg. 2 ---


def test_sizes_change_which_shape_is_nearest():
    # Points at radius 7 cm, known spheres of 5 and 10 cm: residuals 2 and -3 cm, so the first is nearest. In
    # shares of their own sizes they are 2/5 and -3/10: the second is. One scalar for both (trap 7) would
    # change nothing.
    pnc = on_sphere(0.07)
    basis = spheres(0.05, 0.10, network_m=0.02)
    plain = ActiveShape(with_network=False, with_sizes=False, one_hot=True)
    sized = ActiveShape(with_network=False, one_hot=True)
    assert plain(SPHERE, pnc, everything(pnc), basis=basis).weights.tolist() == [[1, 0]]
    assert sized(SPHERE, pnc, everything(pnc), basis=basis).weights.tolist() == [[0, 1]]
    same = ShapeBasis(basis.library, torch.full((2,), 0.3), basis.network)
    assert sized(SPHERE, pnc, everything(pnc), basis=same).weights.tolist() == [[1, 0]]


def test_sizes_change_the_mixture():
    # The same points: 2 c_1 = 3 c_2 without D, so c = (3/5, 2/5) and the radius is 7 cm. With D it is
    # 2/5 c_1 = 3/10 c_2, so c = (3/7, 4/7): mixed by c the radius is 5.5/7 dm; by c_k d_k, the weights of f_a
    # itself, (3/7 / 5, 4/7 / 10) = (3/5, 2/5) after normalising, it is 7 cm again.
    pnc = on_sphere(0.07)
    basis = spheres(0.05, 0.10, network_m=0.02)
    for step, weights, radius_m in (
        (ActiveShape(with_network=False, with_sizes=False), [3 / 5, 2 / 5], 0.07),
        (ActiveShape(with_network=False), [3 / 7, 4 / 7], 0.55 / 7),
        (ActiveShape(with_network=False, mix_by_size=True), [3 / 7, 4 / 7], 0.07),
    ):
        fit = step(SPHERE, pnc, everything(pnc), basis=basis)
        torch.testing.assert_close(fit.weights[0], torch.tensor(weights), atol=1e-4, rtol=0)
        assert float(fit.shape_code[0, 0]) == pytest.approx(radius_m, abs=1e-5)
        assert float(fit.objective) == pytest.approx((radius_m - 0.07) ** 2, abs=1e-8)


def test_the_networks_own_code_is_a_basis_shape():
    # It alone fits: c = (1, 0, 0). Without it, two spheres that are both too small share nothing: the larger.
    pnc = on_sphere(0.08)
    basis = spheres(0.05, 0.06, network_m=0.08)
    fit = ActiveShape()(SPHERE, pnc, everything(pnc), basis=basis)
    torch.testing.assert_close(fit.weights, torch.tensor([[1.0, 0, 0]]), atol=1e-4, rtol=0)
    assert float(fit.shape_code[0, 0]) == pytest.approx(0.08, abs=1e-5)
    without = ActiveShape(with_network=False)(SPHERE, pnc, everything(pnc), basis=basis)
    torch.testing.assert_close(without.weights, torch.tensor([[0.0, 1]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("with_network", [False, True])
def test_one_hot_equals_enumeration(with_network):
    pnc, valid, basis = boxes_scene()
    fit = ActiveShape(with_network=with_network, one_hot=True)(BOX, pnc, valid, basis=basis)
    sizes = shape_gram(BOX, pnc, valid, basis=basis).diameters_m
    for b in range(3):
        codes = torch.cat([basis.network[b : b + 1], basis.library])
        cost = [
            float((BOX(pnc[b, valid[b]], h) / d).square().sum()) for h, d in zip(codes, sizes[b], strict=True)
        ]
        cost = cost if with_network else cost[1:]
        best = min(range(len(cost)), key=cost.__getitem__)
        assert fit.weights[b].tolist() == [float(k == best) for k in range(len(cost))]
        torch.testing.assert_close(fit.shape_code[b], (codes if with_network else codes[1:])[best])


def test_no_other_mixture_is_better():
    pnc, valid, basis = boxes_scene()
    fit = ActiveShape()(BOX, pnc, valid, basis=basis)
    form = fit.gram.scaled()

    def cost(c):
        return torch.einsum("bj,bjk,bk->b", c, form, c)

    others = project_simplex(torch.rand(500, 3, 5, generator=torch.Generator().manual_seed(0)).double())
    c = fit.weights.double()
    assert all((cost(c) <= cost(other) * (1 + 1e-5)).all() for other in others)
    near = project_simplex(c + 0.01 * (others - c))
    assert all((cost(c) <= cost(other) * (1 + 1e-5)).all() for other in near)


def test_views_of_one_track_count_together():
    # Half of the points of each view, summed, give the weights of all points.
    pnc, valid, basis = boxes_scene()
    step = ActiveShape(with_network=False)
    halves = [
        shape_gram(BOX, pnc[:, s], valid[:, s], basis=basis, with_network=False)
        for s in (slice(150), slice(150, 300))
    ]
    whole = step(BOX, pnc, valid, basis=basis)
    torch.testing.assert_close(
        step.weights(halves[0] + halves[1]).float(), whole.weights, atol=1e-5, rtol=1e-5
    )


# --- Alg. 1 ---


def test_descent_finds_the_mixture():
    # In the hull of 5 and 10 cm the radius 7 cm is at (3/5, 2/5); h_0 = 8 cm starts at (2/5, 3/5).
    pnc = on_sphere(0.07)
    basis = spheres(0.05, 0.10, network_m=0.08)
    fit = HullDescent()(SPHERE, pnc, everything(pnc), basis=basis)
    torch.testing.assert_close(fit.weights, torch.tensor([[0.6, 0.4]]), atol=0.01, rtol=0)
    assert fit.gram is None


def test_descent_goes_on_where_it_was():
    # At most about 0.01 an iteration: 10 of them go half of the way, 10 more from there the rest.
    pnc = on_sphere(0.07)
    basis = spheres(0.05, 0.10, network_m=0.08)
    step = HullDescent(iterations=10)
    half = step(SPHERE, pnc, everything(pnc), basis=basis)
    assert float(half.weights[0, 0]) == pytest.approx(0.5, abs=0.02)
    whole = step(SPHERE, pnc, everything(pnc), basis=basis, start=half.shape_code)
    assert float(whole.weights[0, 0]) == pytest.approx(0.6, abs=0.02)


def test_literal_descent_stands_where_all_derivatives_have_one_sign():
    # The start is 1 cm too large, so that both weights want to fall: Adam makes both fall alike, and the
    # projection puts both back.
    pnc = on_sphere(0.07)
    basis = spheres(0.05, 0.10, network_m=0.08)
    fit = HullDescent(tangent=False)(SPHERE, pnc, everything(pnc), basis=basis)
    torch.testing.assert_close(fit.weights, torch.tensor([[0.4, 0.6]]), atol=1e-3, rtol=0)


def test_descent_starts_at_the_projected_least_squares_fit():
    # h_0 = 3/4 of the first code and 1/4 of the second; then one outside the hull: (2, -1) goes to (1, 0).
    library = torch.tensor([[1.0, 0, 0], [0, 2, 0]])
    basis = ShapeBasis(library, torch.ones(2), torch.tensor([[0.75, 0.5, 9.0], [2.0, -2.0, 0.0]]))
    torch.testing.assert_close(hull_fit(library, basis.network), torch.tensor([[0.75, 0.25], [1.0, 0.0]]))
    # Two equal codes share.
    torch.testing.assert_close(hull_fit(library[[0, 0]], library[:1]), torch.tensor([[0.5, 0.5]]))


def test_the_best_projected_iterate_comes_back_by_copy():
    """Trap 1: a rate so high that it leaves the best point at once. What comes back must be as good as the
    best of the iterates, on the simplex, and its objective its own."""
    pnc = on_sphere(0.07)
    basis = spheres(0.05, 0.10, network_m=0.0702)
    seen = []

    class Watched(AnalyticSphere):
        def __call__(self, points_object, code):
            seen.append(code.detach().clone())
            return super().__call__(points_object, code)

    fit = HullDescent(rate=0.5)(Watched(), pnc, everything(pnc), basis=basis)
    iterates = seen[:26]
    values = [
        float(shape_objective(SPHERE, pnc, everything(pnc), code=h, kernel=Squares())) for h in iterates
    ]
    assert min(values) < 0.5 * values[-1], "the last iterate must be a bad one, or this shows nothing"
    assert float(fit.objective) == pytest.approx(min(values), rel=1e-5)
    torch.testing.assert_close(fit.weights.sum(-1), torch.ones(1))
    assert (fit.weights >= 0).all()
    torch.testing.assert_close(fit.shape_code, fit.weights @ basis.library)


def test_trimming_thresholds_carry_no_gradient():
    """Trap 2: the gradient is that of the kept points alone, whatever defines the threshold."""
    distance = torch.tensor([[0.001, -0.002, 0.003, 0.004, 0.02]], requires_grad=True)
    valid = torch.tensor([[True, True, True, True, True]])
    step = HullDescent(keep=0.5)  # the median is 0.003: three points are kept
    (gradient,) = torch.autograd.grad(step.trimmed(distance, valid).sum(), distance)
    torch.testing.assert_close(gradient, 2 / 3 * torch.tensor([[0.001, -0.002, 0.003, 0, 0]]))


def test_trimming_and_kernel_leave_outliers_behind():
    pnc = on_sphere(0.07)
    pnc[:, :20] *= 2.5
    basis = spheres(0.05, 0.10, network_m=0.075)

    def radius(**settings):
        step = HullDescent(iterations=30, **settings)
        return float(step(SPHERE, pnc, everything(pnc), basis=basis).shape_code[0, 0])

    assert radius() == pytest.approx(0.0805, abs=5e-4)  # the mean radius, 0.07 (1 + 1.5 / 10)
    assert radius(keep=0.85) == pytest.approx(0.07, abs=5e-4)
    assert radius(kernel=SoftL1(0.001)) == pytest.approx(0.07, abs=1e-3)


def test_a_third_of_the_points_finds_the_same_shape():
    """Evenly spread points of a sphere say the same radius as all of them."""
    pnc, basis = on_sphere(0.07), spheres(0.05, 0.10, network_m=0.075)
    radius = [
        float(HullDescent(points=points)(SPHERE, pnc, everything(pnc), basis=basis).shape_code[0, 0])
        for points in (None, len(pnc[0]) // 3)
    ]
    assert radius[1] == pytest.approx(radius[0], abs=1e-3) and radius[0] == pytest.approx(0.07, abs=1e-3)


# --- both ---


@pytest.mark.parametrize("step", [ActiveShape(), ActiveShape(one_hot=True), HullDescent(iterations=3)])
def test_each_object_alone_and_padding_for_nothing(step):
    pnc, valid, basis = boxes_scene()
    fit = step(BOX, torch.where(valid[..., None], pnc, torch.nan), valid, basis=basis)
    for b in range(3):
        one = step(BOX, pnc[b : b + 1, valid[b]], everything(pnc[b : b + 1, valid[b]]),
                   basis=basis.take(torch.tensor([b])))  # fmt: skip
        torch.testing.assert_close(one.shape_code, fit.shape_code[b : b + 1], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.objective, fit.objective[b : b + 1], atol=1e-8, rtol=1e-3)


@pytest.mark.parametrize("step", [ActiveShape(with_network=False), HullDescent()])
def test_a_basis_of_one_code(step):
    pnc = on_sphere(0.07)
    basis = spheres(0.06, network_m=0.09)
    fit = step(SPHERE, pnc, everything(pnc), basis=basis)
    assert fit.weights.tolist() == [[1.0]]
    torch.testing.assert_close(fit.shape_code, basis.library)
    assert float(fit.objective) == pytest.approx(0.01**2, rel=1e-3)


def test_the_objective_is_of_the_decoder_and_the_kernel():
    pnc = on_sphere(0.07)
    basis = spheres(0.06, network_m=0.09)
    fit = ActiveShape(with_network=False, kernel=SoftL1(0.01))(SPHERE, pnc, everything(pnc), basis=basis)
    # rho(0.01) = 2 0.01^2 (sqrt(2) - 1) at every point.
    assert float(fit.objective) == pytest.approx(2e-4 * (2**0.5 - 1), rel=1e-3)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ActiveShape(mix_by_size=True, one_hot=True), "single shape"),
        (lambda: ActiveShape(mix_by_size=True, with_sizes=False), "needs the sizes"),
        (lambda: HullDescent(iterations=0), "at least 1 iteration"),
        (lambda: HullDescent(rate=0.0), "positive rate"),
        (lambda: HullDescent(points=0), "points must be"),
        (lambda: HullDescent(keep=1.5), "at most 1"),
    ],
)
def test_settings_that_contradict_each_other(make, says):
    with pytest.raises(InputError, match=says):
        make()


@pytest.mark.parametrize("step", [ActiveShape(), ActiveShape(one_hot=True), HullDescent()])
def test_points_that_are_no_numbers(step):
    pnc = on_sphere(0.07)
    pnc[0, 3, 1] = torch.nan
    with pytest.raises(InputError, match="finite"):
        step(SPHERE, pnc, everything(pnc), basis=spheres(0.05, 0.1, network_m=0.09))
