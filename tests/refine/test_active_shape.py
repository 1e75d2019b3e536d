"""Known shapes seen by points: sizes, the matrix F, and its Gram matrix against plain loops."""

import math

import pytest
import torch

from crisp.errors import InputError
from crisp.refine.active_shape import ActiveShapes, box_diameters_m, distance_matrix, shape_gram
from crisp.refine.problem import ShapeBasis
from crisp.shape.sdf import AnalyticBox, AnalyticSphere

BOX = AnalyticBox(cube_half_m=0.15)


def boxes(k, seed=0):
    return 0.02 + 0.06 * torch.rand(k, 3, generator=torch.Generator().manual_seed(seed))


def scene(objects=3, points=40, k=5, seed=1):
    g = torch.Generator().manual_seed(seed)
    pnc = 0.16 * (torch.rand(objects, points, 3, generator=g) - 0.5)
    valid = torch.rand(objects, points, generator=g) < 0.7
    basis = ShapeBasis(boxes(k), 2 * boxes(k).norm(dim=-1), boxes(objects, seed=9))
    return pnc, valid, basis


class CountingBox:
    """A box that writes down how many distances it was asked for at a time."""

    cube_half_m = 0.15

    def __init__(self):
        self.sizes = []

    def __call__(self, points_object, code):
        self.sizes.append(points_object.shape[:-1].numel())
        return BOX(points_object, code)


def test_sizes_of_boxes():
    # Half extents a, b, c: the box is its own bounding box, 2 sqrt(a^2 + b^2 + c^2). Walls lie between nodes.
    codes = torch.tensor([[0.05, 0.04, 0.03], [0.10, 0.10, 0.10], [0.12, 0.02, 0.06]])
    torch.testing.assert_close(box_diameters_m(BOX, codes), 2 * codes.norm(dim=-1), rtol=1e-4, atol=0)


def test_sizes_of_what_a_grid_would_miss():
    # A leaf of 2 mm, where nodes are 13 mm apart: none is inside. Its side across counts as one cell.
    # Rounded by the larger level, its edges fall between nodes, which costs up to 3 mm of 160.
    leaf = torch.tensor([[0.08, 0.06, 0.001]])
    assert not (BOX(torch.cartesian_prod(*[torch.linspace(-0.15, 0.15, 24)] * 3)[None], leaf) < 0).any()
    step = 0.3 / 23
    expected = math.sqrt(0.16**2 + 0.12**2 + step**2)
    assert float(box_diameters_m(BOX, leaf)) == pytest.approx(expected, rel=0.04)


def test_a_shape_without_a_surface_is_small_and_so_expensive():
    nothing = torch.tensor([[-1.0]])
    size = float(box_diameters_m(AnalyticSphere(0.15), nothing))
    assert size == pytest.approx(math.sqrt(3) * 0.3 / 23, rel=1e-3)
    with pytest.raises(InputError, match="4 nodes"):
        box_diameters_m(BOX, boxes(1), nodes=2)


def test_a_library_is_measured_once_and_own_codes_with_the_basis():
    active = ActiveShapes.of(BOX, boxes(4))
    basis = active.basis(BOX, boxes(2, seed=3))
    torch.testing.assert_close(basis.diameters_m, 2 * boxes(4).norm(dim=-1), rtol=1e-3, atol=0)
    torch.testing.assert_close(
        basis.network_diameters_m, 2 * boxes(2, seed=3).norm(dim=-1), rtol=1e-3, atol=0
    )
    field = CountingBox()
    pnc, valid, _ = scene(objects=2)
    gram = shape_gram(field, pnc, valid, basis=basis)
    assert sum(field.sizes) == 2 * 40 * (4 + 1)  # points under known and own codes, and no grid
    torch.testing.assert_close(gram.diameters_m[:, 0], basis.network_diameters_m)
    torch.testing.assert_close(basis.take(torch.tensor([1])).network_diameters_m, gram.diameters_m[1:, 0])


def test_the_matrix_equals_plain_loops():
    pnc, valid, basis = scene()
    F = distance_matrix(BOX, pnc, valid, basis=basis)
    assert F.shape == (3, 40, 6)
    for b in range(2):
        codes = torch.cat([basis.network[b : b + 1], basis.library])
        for i in range(12):
            for k in range(6):
                expected = float(BOX(pnc[b, i][None], codes[k])[0]) if valid[b, i] else 0.0
                assert float(F[b, i, k]) == pytest.approx(expected, abs=1e-8)


def test_the_gram_matrix_is_that_of_the_matrix():
    pnc, valid, basis = scene()
    F = distance_matrix(BOX, pnc, valid, basis=basis).double()
    gram = shape_gram(BOX, pnc, valid, basis=basis)
    torch.testing.assert_close(gram.matrix, F.mT @ F)
    assert torch.equal(gram.points, valid.sum(-1).double())
    D = torch.diag_embed(1 / gram.diameters_m.double())
    torch.testing.assert_close(gram.scaled(), D @ F.mT @ F @ D)
    alone = shape_gram(BOX, pnc, valid, basis=basis, with_network=False)
    torch.testing.assert_close(gram.library_only().matrix, alone.matrix)
    torch.testing.assert_close(gram.library_only().diameters_m, alone.diameters_m)


def test_padding_counts_for_nothing():
    pnc, valid, basis = scene()
    rubbish = torch.where(valid[..., None], pnc, torch.nan)
    torch.testing.assert_close(
        shape_gram(BOX, rubbish, valid, basis=basis).matrix, shape_gram(BOX, pnc, valid, basis=basis).matrix
    )


def test_views_add_up():
    pnc, valid, basis = scene(points=60)
    whole = shape_gram(BOX, pnc, valid, basis=basis)
    parts = [shape_gram(BOX, pnc[:, s], valid[:, s], basis=basis) for s in (slice(25), slice(25, 60))]
    torch.testing.assert_close((parts[0] + parts[1]).matrix, whole.matrix)
    assert torch.equal((parts[0] + parts[1]).points, whole.points)
    with pytest.raises(InputError, match="same shapes"):
        parts[0] + shape_gram(BOX, pnc, valid, basis=basis, with_network=False)


def test_a_thousand_codes_come_in_bounded_portions():
    field = CountingBox()
    g = torch.Generator().manual_seed(0)
    pnc = 0.1 * torch.randn(2, 300, 3, generator=g)
    basis = ShapeBasis(boxes(1000), torch.ones(1000), boxes(2), network_diameters_m=torch.ones(2))
    gram = shape_gram(field, pnc, torch.ones(2, 300, dtype=torch.bool), basis=basis)
    assert gram.matrix.shape == (2, 1001, 1001)
    assert sum(field.sizes) == 2 * 300 * 1001
    assert max(field.sizes) <= 4096
    # Entry (h_0, h_700) of the second object.
    columns = [BOX(pnc[1], code).double() for code in (basis.network[1], basis.library[699])]
    torch.testing.assert_close(gram.matrix[1, 0, 700], columns[0] @ columns[1])
