"""Objects that nothing is trained on: solids like the catalogue's, and really strangers to it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import trimesh
from family import family

from crisp.evaluate.metrics.shape import chamfer, sampling_floor
from crisp.synth.procedural import names, strangers
from crisp.types import ObjectModel


@cache
def built() -> dict[str, ObjectModel]:
    return {model.name: model for model in strangers()}


STRANGERS = (
    *("mug_tankard", "bottle_flask", "can_tuna", "box_book", "tool_mallet"),
    *("lamp", "toy_car", "figurine", "bone", "gear", "teapot"),
)


def test_there_are_some_of_known_kinds_and_some_of_unknown_ones() -> None:
    assert tuple(built()) == STRANGERS
    assert not set(STRANGERS) & set(names())
    kinds = {model.kind for model in family()}
    known = [model.kind in kinds for model in built().values()]
    assert known == [True] * 5 + [False] * 6
    assert len({model.kind for model in built().values()}) == 11


@pytest.mark.parametrize("name", STRANGERS)
def test_each_is_a_solid_in_one_piece_of_tabletop_size(name: str) -> None:
    model = built()[name]
    mesh = model.mesh
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight and solid.volume > 0 and solid.body_count == 1
    np.testing.assert_allclose(mesh.vertices.min(0), -mesh.vertices.max(0), atol=1e-12)
    assert 0.10 <= np.linalg.norm(np.ptp(mesh.vertices, axis=0)) <= 0.30
    surface = model.surface
    np.testing.assert_array_equal(surface.vertices[surface.faces], mesh.vertices[mesh.faces])
    assert len(np.unique(surface.texture.astype(int) @ (1 << 16, 1 << 8, 1))) >= 4  # colours


def test_known_kinds_come_in_other_shapes() -> None:
    """Laid over each other, centre on centre: far more apart than two samples of one shape."""
    for model in list(built().values())[:5]:
        kin = [other for other in family() if other.kind == model.kind]
        gaps = [chamfer(other.mesh, model.mesh, count=2000).chamfer_m for other in kin]
        assert min(gaps) > 2 * sampling_floor(model.mesh, count=2000).chamfer_m, model.name
