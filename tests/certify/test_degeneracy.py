"""Degeneracy: worked spectra, and a mug whose handle is or is not in view."""

import math

import numpy as np
import pytest
import torch

from crisp.certify.degeneracy import degeneracy, over_keyframes, plot_over_keyframes, tangent_basis
from crisp.errors import InputError
from crisp.refine.active_shape import ShapeGram, shape_gram
from crisp.refine.problem import ShapeBasis
from crisp.shape.sdf import AnalyticSphere


def gram(F, sizes, *, has_network=False):
    F = torch.as_tensor(F, dtype=torch.float64)[None]
    sizes = torch.as_tensor(sizes, dtype=torch.float64)[None]
    return ShapeGram(F.mT @ F, sizes, torch.tensor([F.shape[1]]).double(), has_network)


def test_lambda_min_is_of_the_matrix_once():
    # F'F = diag(2 * 9, 2 * 4) over 4 points: eigenvalues 4.5 and 2. Squared twice (trap 10) it would be 16.
    found = degeneracy(gram([[3.0, 0], [3, 0], [0, 2], [0, 2]], [1.0, 1]))
    torch.testing.assert_close(found.lambda_min, torch.tensor([2.0]).double())
    assert found.points.tolist() == [4]


def test_mu_is_the_cost_of_moving_between_shapes():
    # Two shapes: v = (1, -1)/sqrt(2) is all of the tangent space. mu = |F D v|^2 / points, D = diag(1, 2)
    # (sizes 1 and 1/2), F D v = (3, -2 * 2) / sqrt(2), and mu = (9 + 16) / 2 over 2 points.
    found = degeneracy(gram([[3.0, 0], [0, 2]], [1.0, 0.5]))
    torch.testing.assert_close(found.mu, torch.tensor([25 / 4]).double())


def test_one_perfect_shape_is_singular_and_yet_unique():
    # The first shape fits exactly: lambda_min is 0. The others are off by different amounts, so that moving
    # to any of them costs something.
    perfect = gram([[0.0, 1, 0], [0, 0, 1], [0, 1, 1]], [1.0, 1, 1])
    found = degeneracy(perfect)
    assert found.lambda_min.tolist() == [0]
    # v = (-(a + b), a, b): F v = (a, b, a + b). By symmetry a = b or a = -b. For a = b = 1: |F v|^2 / 3 = 6/3
    # over |v|^2 = 6 is 1/3. For a = -b = 1: 2/3 over 2 is 1/3 too.
    torch.testing.assert_close(found.mu, torch.tensor([1 / 3]).double())
    assert found.shape_unique(0.1).tolist() == [True]
    assert found.shape_unique(0.4).tolist() == [False]
    assert found.shape_unique(None) is None


def test_two_shapes_that_look_alike_are_degenerate():
    alike = degeneracy(gram([[1.0, 1, 0], [2, 2, 1], [1, 1, 5]], [1.0, 1, 1]))
    assert float(alike.mu) < 1e-12
    assert alike.shape_unique(1e-9).tolist() == [False]


def test_own_codes_are_left_out_of_mu_only():
    # h_0 equals the second shape: lambda_min falls to 0 with it, mu does not know of it.
    F = np.array([[3.0, 0], [0, 2], [1, 1]])
    known, with_own = gram(F, [1.0, 1]), gram(F[:, [1, 0, 1]], [1.0, 1, 1], has_network=True)
    torch.testing.assert_close(degeneracy(with_own).mu, degeneracy(known).mu)
    assert float(degeneracy(with_own).lambda_min) < 1e-12 < float(degeneracy(known).lambda_min)


def test_one_shape_leaves_nothing_to_choose():
    for found in (degeneracy(gram([[1.0], [2.0]], [1.0])), degeneracy(gram([[0.0]], [1.0]))):
        assert found.mu.tolist() == [math.inf]
        assert found.shape_unique(1e9).tolist() == [True]


def test_no_points_tell_nothing():
    nothing = ShapeGram(torch.zeros(1, 2, 2).double(), torch.ones(1, 2), torch.zeros(1).double(), False)
    found = degeneracy(nothing)
    assert (found.lambda_min.tolist(), found.mu.tolist()) == ([0], [0])


@pytest.mark.parametrize("k", [2, 3, 28])
def test_the_tangent_basis_is_orthonormal_and_sums_to_nothing(k):
    V = tangent_basis(k)
    assert V.shape == (k, k - 1)
    torch.testing.assert_close(V.T @ V, torch.eye(k - 1).double())
    torch.testing.assert_close(V.sum(0), torch.zeros(k - 1).double())


class Mug:
    """A ball with a small ball for a handle, at the angle of the code's second number; -1 first: none."""

    cube_half_m = 0.2

    def __call__(self, points_object, code):
        body = points_object.norm(dim=-1) - 0.05
        turn = code[..., 1:2]
        centre = torch.stack([0.06 * turn.cos(), 0.06 * turn.sin(), torch.zeros_like(turn)], dim=-1)
        handle = (points_object - centre).norm(dim=-1) - 0.02
        return torch.where(code[..., :1] < 0, body, torch.minimum(body, handle))


def mug_basis(objects=1):
    codes = torch.tensor([[-1.0, 0], [1.0, 0.0], [1.0, 0.6]])
    return ShapeBasis(codes, torch.full((3,), 0.2), torch.zeros(objects, 2))


def directions(n, seed=0):
    d = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    return d / d.norm(dim=-1, keepdim=True)


def test_mu_rises_when_the_handle_comes_into_view():
    # The side away from the handle fits all three mugs alike: nothing tells them apart. Then the handle.
    d = directions(800)
    back = 0.05 * d[d[:, 0] < -0.2]
    handle = torch.tensor([0.06, 0, 0]) + 0.02 * d[d[:, 0] > 0.3]
    grams = [
        shape_gram(Mug(), z[None], torch.ones(1, len(z), dtype=torch.bool), basis=mug_basis(),
                   with_network=False)
        for z in (back[::2], back[1::2], handle)
    ]  # fmt: skip
    course = over_keyframes(grams)
    before, after = float(course[1].mu), float(course[2].mu)
    assert before < 1e-9 and after > 1e-4
    assert [float(step.points) for step in course] == [
        float(sum(g.points for g in grams[: n + 1])) for n in range(3)
    ]
    torch.testing.assert_close(course[2].mu, degeneracy(grams[0] + grams[1] + grams[2]).mu)


def test_keyframes_of_different_bases_do_not_add():
    z, valid = 0.05 * directions(10)[None], torch.ones(1, 10, dtype=torch.bool)
    field, one = AnalyticSphere(), torch.tensor([[0.05]])
    bases = [ShapeBasis(one, torch.tensor([0.1]), torch.tensor([[r]])) for r in (0.06, 0.08)]
    with pytest.raises(InputError, match="same shapes"):
        over_keyframes([shape_gram(field, z, valid, basis=basis) for basis in bases])


def test_bad_numbers():
    with pytest.raises(InputError, match="finite"):
        degeneracy(gram([[math.nan, 1.0]], [1.0, 1.0]))
    with pytest.raises(InputError, match="negative"):
        degeneracy(gram([[1.0, 1.0]], [1.0, 1.0])).shape_unique(-1.0)


def test_the_plot_is_a_picture(tmp_path):
    path = tmp_path / "course.png"
    lambda_min, mu = np.array([[1e-9, 2e-9, 0.0]]), np.array([[0.0, 1e-3, 2e-3]])
    plot_over_keyframes(lambda_min, mu, path, labels=["a mug"], visible_from=2)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size < 300_000
