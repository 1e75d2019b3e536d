"""Analytic fields: worked cases."""

import torch

from crisp.shape.sdf import AnalyticBox, AnalyticEllipsoid, AnalyticSphere, AnalyticUnion


def test_a_union_is_the_nearer_of_two_and_exact_outside():
    union = AnalyticUnion(AnalyticBox(), AnalyticSphere(), 3)
    # A box of half 0.1 about the origin, a ball of radius 0.05 about (0.3, 0, 0).
    code = torch.tensor([[0.1, 0.1, 0.1, 0.3, 0, 0, 0.05]])
    z = torch.tensor([[[0.13, 0, 0], [0.24, 0, 0], [0.3, 0.0, 0.09], [0, 0, 0], [0.3, 0, 0]]])
    torch.testing.assert_close(union(z, code), torch.tensor([[0.03, 0.01, 0.04, -0.1, -0.05]]))
    two = AnalyticUnion(AnalyticEllipsoid(), AnalyticEllipsoid(), 3)
    same = torch.tensor([[0.1, 0.1, 0.1, 0, 0, 0, 0.1, 0.1, 0.1]])
    z = z[:, :3]
    torch.testing.assert_close(two(z, same), AnalyticSphere()(z, same))
