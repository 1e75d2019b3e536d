"""The simplex: projection against a plain twin, the quadratic programme against its optimality conditions."""

import numpy as np
import pytest
import torch

from crisp.errors import InputError
from crisp.refine.shape_step import project_simplex, simplex_qp


def plain_projection(v):
    """The one tau with sum max(v - tau, 0) = 1, by bisection."""
    low, high = v.min() - 1, v.max()
    for _ in range(200):
        tau = (low + high) / 2
        low, high = (tau, high) if (v - tau).clamp(min=0).sum() > 1 else (low, tau)
    return (v - tau).clamp(min=0)


def relative_gap(gram, c):
    """f(c) - f* <= 2 (f(c) - min_k (G c)_k), by convexity: a bound that needs no other solver."""
    value = c @ gram @ c
    return float(2 * (value - (gram @ c).min()) / value)


def random_problem(k, seed, rows=None):
    rng = np.random.default_rng(seed)
    rows = rows or 3 * k + 5
    return torch.from_numpy(rng.standard_normal((rows, k)) * 0.3 + rng.uniform(-1, 1, (rows, 1)))


def on_the_simplex(c):
    assert (c >= 0).all()
    torch.testing.assert_close(c.sum(-1), torch.ones_like(c[..., 0]), atol=1e-12, rtol=0)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_projection_equals_its_plain_twin(scale):
    v = scale * torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = project_simplex(v)
    on_the_simplex(found)
    twin = torch.stack([plain_projection(row) for row in v.flatten(0, 1)]).unflatten(0, (4, 3))
    torch.testing.assert_close(found, twin, atol=1e-10 * max(scale, 1), rtol=0)


def test_projection_worked_cases():
    # What is there already stays; (3, 0) is past the corner (1, 0); (1, 1) is (1/2, 1/2) moved along (1, 1);
    # (0.6, 0.6, -1): the third is cut off, the others share.
    for v, expected in (([0.2, 0.8], [0.2, 0.8]), ([3.0, 0.0], [1, 0]), ([1.0, 1.0], [0.5, 0.5])):
        torch.testing.assert_close(project_simplex(torch.tensor(v)), torch.tensor(expected).float())
    torch.testing.assert_close(project_simplex(torch.tensor([0.6, 0.6, -1.0])), torch.tensor([0.5, 0.5, 0.0]))
    # In float32 a common 1e6 leaves steps of 0.06: it must not swallow the 1.
    torch.testing.assert_close(project_simplex(torch.tensor([1e6, 1e6])), torch.tensor([0.5, 0.5]))
    assert project_simplex(torch.tensor([[-7.0]])) == 1


def test_qp_worked_cases():
    # Orthogonal columns of squared lengths 1 and 4: c_1 + 4 c_2 balance at (4/5, 1/5).
    torch.testing.assert_close(
        simplex_qp(torch.tensor([[1.0, 0], [0, 4]])), torch.tensor([0.8, 0.2]).double()
    )
    # Column b = 3 a: any of b makes it worse.
    torch.testing.assert_close(simplex_qp(torch.tensor([[1.0, 3], [3, 9]])), torch.tensor([1.0, 0]).double())
    # Columns (1, 1) and (1, -1)... and their opposite (-1, 0): zero is in their hull, at (1/4, 1/4, 1/2).
    A = torch.tensor([[1.0, 1, -1], [1, -1, 0]])
    c = simplex_qp(A.T @ A)
    torch.testing.assert_close(c, torch.tensor([0.25, 0.25, 0.5]).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("k", [2, 3, 22, 120])
def test_qp_meets_its_optimality_conditions(k):
    A = random_problem(k, seed=k)
    gram = A.T @ A
    c = simplex_qp(gram)
    on_the_simplex(c)
    assert relative_gap(gram, c) < 1e-9


def test_qp_of_hard_matrices():
    A = random_problem(20, seed=1)
    spread = A * torch.logspace(-6, 3, 20, dtype=torch.float64).flip(0)
    deep = A.clone()
    deep[:, 4] *= 1e-4
    fewer_rows = random_problem(40, seed=2, rows=12) + 2
    repeated = A[:, [0, 0, 0, 1, 2, 2, 3]]
    mixed = A.clone()  # 4 parts of one and 3 of another leave a thousandth: far below any single column
    mixed[:, 1] = -4 / 3 * A[:, 0] + 1e-3 * A[:, 1]
    for hard in (spread, deep, fewer_rows, repeated):
        gram = hard.T @ hard
        c = simplex_qp(gram)
        on_the_simplex(c)
        assert relative_gap(gram, c) < 1e-9
    c = simplex_qp(mixed.T @ mixed)
    assert (mixed @ c).square().sum() < 1e-4 * mixed.square().sum(0).min()
    assert relative_gap(mixed.T @ mixed, c) < 1e-8


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e3, 1e20])
def test_qp_does_not_know_units(scale):
    A = random_problem(9, seed=5)
    torch.testing.assert_close(simplex_qp(scale * A.T @ A), simplex_qp(A.T @ A), atol=1e-9, rtol=0)


def test_a_column_of_zeros_fits_exactly():
    A = random_problem(6, seed=3)
    A[:, 4] = 0
    assert simplex_qp(A.T @ A).argmax() == 4
    assert simplex_qp(A.T @ A)[4] == 1
    on_the_simplex(simplex_qp(torch.zeros(3, 3)))


def test_qp_takes_each_problem_of_a_batch_alone():
    grams = torch.stack([A.T @ A for A in (random_problem(5, seed=s) for s in range(6))])
    c = simplex_qp(grams.unflatten(0, (2, 3)))
    assert c.shape == (2, 3, 5)
    torch.testing.assert_close(c.flatten(0, 1), torch.stack([simplex_qp(G) for G in grams]), atol=0, rtol=0)
    assert simplex_qp(torch.full((2, 1, 1), 3.0)).tolist() == [[1.0], [1.0]]


def test_qp_cut_short_is_never_worse_than_one_shape():
    A = random_problem(30, seed=8)
    gram = A.T @ A
    c = simplex_qp(gram, max_iterations=1)
    on_the_simplex(c)
    assert c @ gram @ c <= gram.diagonal().min() * (1 + 1e-12)


def test_qp_refuses_what_is_not_finite():
    with pytest.raises(InputError, match="finite"):
        simplex_qp(torch.tensor([[1.0, torch.nan], [torch.nan, 1.0]]))
