"""Points on a surface without a mesh, and rows that hold no padding."""

from __future__ import annotations

import pytest
import torch
from test_mesh import Spheres

from crisp.errors import InputError
from crisp.shape.sdf import ROW_POINTS, AnalyticBox, AnalyticEllipsoid, AnalyticSphere, valid_distances
from crisp.shape.surface import SurfaceConfig, cell_centres, surface_points

BOX = AnalyticBox()


def test_centres_of_cells_fill_the_cube() -> None:
    # Four cells along a side of 0.4 m: centres at +-0.05 and +-0.15.
    centres = cell_centres(0.2, 4)
    assert centres.shape == (64, 3)
    assert sorted({round(float(v), 9) for v in centres[:, 0]}) == [-0.15, -0.05, 0.05, 0.15]
    assert torch.allclose(centres.mean(0), torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("field", "code"),
    [
        (AnalyticSphere(), [0.1]),
        (BOX, [0.101, 0.037, 0.163]),
        (AnalyticEllipsoid(), [0.15, 0.09, 0.04]),
        (Spheres(), [0.1, 0, 0, 0.05, -0.1, 0.02, 0, 0.07]),
    ],
)
def test_points_lie_on_the_surface_and_face_outwards(field, code: list[float]) -> None:
    codes = torch.tensor([code])
    found = surface_points(field, codes)
    points, normal = found.points_object[found.valid], found.normal[found.valid]
    assert len(points) > 100
    # Beside an edge the field bends between the two ends, and the line between them misses a little.
    assert field(points, codes[0]).abs().max() < 5e-4
    assert field(points, codes[0]).abs().median() < 5e-5
    assert torch.allclose(normal.norm(dim=-1), torch.ones(len(normal)), atol=1e-5)
    assert (field(points + 0.001 * normal, codes[0]) > field(points - 0.001 * normal, codes[0])).all()


def test_every_part_of_a_surface_has_its_points() -> None:
    # The six faces of a cube of 0.2 m are alike: none may be left out or crowded. Edges belong to two.
    found = surface_points(BOX, torch.tensor([[0.1, 0.1, 0.1]]), SurfaceConfig(points=600))
    points = found.points_object[found.valid]
    points = points[points.abs().sort(dim=-1).values[:, 1] < 0.085]
    along = points.abs().argmax(-1)
    face = 2 * along + (points.gather(1, along[:, None])[:, 0] > 0)
    share = torch.bincount(face, minlength=6) / len(face)
    assert share.min() > 0.11 and share.max() < 0.22


def test_a_wall_thinner_than_a_cell_is_found() -> None:
    # 5 mm thick; cells are 2 cm, so hardly any centre lies inside.
    found = surface_points(BOX, torch.tensor([[0.12, 0.12, 0.0025]]))
    z = found.points_object[found.valid][:, 2]
    assert found.valid.sum() > 50
    assert (z > 0.002).any() and (z < -0.002).any()


def test_a_shape_that_does_not_cross_zero_has_no_points() -> None:
    # Radius -5 mm: at least 5 mm away everywhere. Radius half a metre: inside all over.
    found = surface_points(AnalyticSphere(), torch.tensor([[-0.005], [0.5], [0.1]]))
    assert found.valid.sum(-1).tolist()[:2] == [0, 0]
    assert found.valid[2].sum() > 100
    assert found.diameter_m()[:2].tolist() == [0.0, 0.0]
    assert float(found.diameter_m()[2]) == pytest.approx(0.2, rel=0.02)


def test_nothing_is_sought_outside_the_cube() -> None:
    # The sphere of 0.25 m leaves the cube of 0.2 m through its sides and keeps its corners.
    found = surface_points(AnalyticSphere(), torch.tensor([[0.25]]))
    assert found.valid.any()
    assert found.points_object.abs().max() <= 0.2


def test_companions_change_nothing() -> None:
    codes = torch.tensor([[0.1, 0.05, 0.07], [0.02, 0.02, 0.03], [0.15, 0.1, 0.12]])
    together = surface_points(BOX, codes, SurfaceConfig(points=100_000))
    for i in range(3):
        alone = surface_points(BOX, codes[i : i + 1], SurfaceConfig(points=100_000))
        ours, theirs = (
            s.points_object[k][s.valid[k]].sort(dim=0).values for s, k in ((together, i), (alone, 0))
        )
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_it_is_always_the_same() -> None:
    codes = torch.tensor([[0.1, 0.05, 0.07]])
    assert torch.equal(surface_points(BOX, codes).points_object, surface_points(BOX, codes).points_object)


def test_packed_rows_give_what_the_padded_field_gives() -> None:
    generator = torch.Generator().manual_seed(0)
    points = 0.2 * torch.randn(4, 2 * ROW_POINTS + 7, 3, generator=generator)
    valid = torch.rand(4, points.shape[1], generator=generator) < 0.7
    valid[1] = False  # one without a point
    valid[2, 5:] = False  # one with less than a row
    codes = 0.1 * torch.rand(4, 3, generator=generator)
    poisoned = torch.where(valid[..., None], points, torch.nan)  # padding is never computed
    found = valid_distances(BOX, poisoned, valid, codes=codes)
    assert torch.equal(found, torch.where(valid, BOX(points, codes), 0.0))


def test_no_points_at_all() -> None:
    none = torch.zeros(2, 5, dtype=torch.bool)
    assert torch.equal(
        valid_distances(BOX, torch.ones(2, 5, 3), none, codes=torch.ones(2, 3)), torch.zeros(2, 5)
    )


@pytest.mark.parametrize("values", [{"blocks": 0}, {"points": 0}, {"reach_m": 0.0}])
def test_settings_that_cannot_be_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        SurfaceConfig(**values)
