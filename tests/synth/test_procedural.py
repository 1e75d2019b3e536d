"""Laws that every procedural object keeps, and where a card's print ends up."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import trimesh
from family import built, family
from scipy.spatial import cKDTree

from crisp.errors import InputError
from crisp.synth.procedural import names, object_model
from crisp.synth.procedural.looks import Box, Card, Wrap, flat
from crisp.synth.procedural.solids import Part, assemble, block, lathe, placed, rod, tube
from crisp.types import ObjectModel

SYMMETRIC = ("bottle_plain", "bowl_plain", "can_striped", "box_tissues", "satellite_twin")


@cache
def samples(model: ObjectModel, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points spread evenly over the surface, and their colours."""
    surface, generator = model.surface, np.random.default_rng(0)
    corners = surface.vertices[surface.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    face = generator.choice(len(area), count, p=area / area.sum())
    weight = generator.dirichlet(np.ones(3), count)[..., None]
    uv = (surface.uv[surface.faces[face]] * weight).sum(1)
    height, width = surface.texture.shape[:2]
    row = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    return (corners[face] * weight).sum(1), surface.texture[row, column].astype(float)


def agreement(model: ObjectModel, T: np.ndarray) -> float:
    """Share of the surface that a motion takes onto surface (3 mm) of the same colour nearby."""
    points, colours = samples(model, 30_000)
    moved = points[:1000] @ T[:3, :3].T + T[:3, 3]
    distance, near = cKDTree(points).query(moved, k=8)
    alike = (np.abs(colours[near] - colours[:1000, None]).max(-1) < 40).any(1)
    return float(((distance[:, 0] < 0.003) & alike).mean())


def turn_about(axis: np.ndarray, angle_deg: float) -> np.ndarray:
    return trimesh.transformations.rotation_matrix(np.radians(angle_deg), axis)


def test_the_family_is_as_large_and_varied_as_promised() -> None:
    models = family()
    diagonals = [np.linalg.norm(np.ptp(model.mesh.vertices, axis=0)) for model in models]
    assert len(models) == len(set(names())) >= 25
    assert len({model.kind for model in models}) >= 9
    assert min(diagonals) >= 0.10
    assert max(diagonals) <= 0.30
    assert np.median(diagonals) >= 0.18
    assert {model.name for model in models if not model.symmetries.none} == set(SYMMETRIC)


@pytest.mark.parametrize("name", names())
def test_mesh_is_a_solid_in_one_piece(name: str) -> None:
    mesh = built(name).mesh
    assert len(mesh.faces) <= 15_000
    directed = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    _, uses = np.unique(directed, axis=0, return_counts=True)
    assert (uses == 1).all()
    _, uses = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    assert (uses == 2).all()
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert solid.volume > 0
    assert solid.body_count == 1
    np.testing.assert_allclose(mesh.vertices.min(0), -mesh.vertices.max(0), atol=1e-12)


@pytest.mark.parametrize("name", names())
def test_picture_surface_is_the_mesh(name: str) -> None:
    model = built(name)
    surface, mesh = model.surface, model.mesh
    np.testing.assert_array_equal(surface.vertices[surface.faces], mesh.vertices[mesh.faces])
    assert surface.uv.min() >= 0
    assert surface.uv.max() <= 1
    assert surface.texture.shape[0] <= 1024
    assert surface.texture.shape[1] <= 1536


@pytest.mark.parametrize("name", names())
def test_rests_are_rotations_and_the_usual_one_comes_first(name: str) -> None:
    rests = built(name).rest
    np.testing.assert_array_equal(rests[0], np.eye(3))
    for R in rests:
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(R) > 0


def depths(model: ObjectModel, count: int) -> np.ndarray:
    """How far it is from points of the surface straight inwards to the other side, metres."""
    corners = model.mesh.vertices[model.mesh.faces]
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(edge_1, edge_2)
    area = np.linalg.norm(normal, axis=1)
    found = []
    for face in np.random.default_rng(0).choice(len(area), count, p=area / area.sum()):
        towards = -normal[face] / area[face]
        # Moeller and Trumbore: barycentric coordinates of the ray in every triangle at once.
        p = np.cross(towards, edge_2)
        scale = (edge_1 * p).sum(1)
        scale = np.where(np.abs(scale) < 1e-15, np.nan, scale)
        start = corners[face].mean(0) - corners[:, 0]
        q = np.cross(start, edge_1)
        u, v, t = (start * p).sum(1) / scale, q @ towards / scale, (edge_2 * q).sum(1) / scale
        found.append(t[(u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-6)].min())
    return np.array(found)


@pytest.mark.parametrize("name", [name for name in names() if name.startswith(("mug", "bowl"))])
def test_walls_are_thick_enough_for_a_field_to_hold(name: str) -> None:
    # Near the rounded rim the way through is short, hence the quantile.
    assert np.quantile(depths(built(name), 200), 0.1) >= 0.004


@pytest.mark.parametrize("name", SYMMETRIC)
def test_declared_symmetries_hold_for_shape_and_looks(name: str) -> None:
    model = built(name)
    motions = list(model.symmetries.discrete)
    for axis, offset in model.symmetries.continuous:
        np.testing.assert_array_equal(offset, np.zeros(3))
        motions += [turn_about(axis, angle) for angle in (37.0, 90.0, 201.5)]
    assert motions
    for T in motions:
        assert agreement(model, T) > 0.98


@pytest.mark.parametrize("name", sorted(set(names()) - set(SYMMETRIC)))
def test_other_objects_show_which_way_they_are_turned(name: str) -> None:
    for angle in (90.0, 180.0):
        assert agreement(built(name), turn_about(np.array([0.0, 0.0, 1.0]), angle)) < 0.8


def test_a_discrete_symmetry_is_not_a_continuous_one() -> None:
    for name in ("box_tissues", "satellite_twin"):
        assert agreement(built(name), turn_about(np.array([0.0, 0.0, 1.0]), 90.0)) < 0.8


def test_building_twice_gives_the_same() -> None:
    once, again = object_model("drill"), object_model("drill")
    np.testing.assert_array_equal(once.mesh.vertices, again.mesh.vertices)
    np.testing.assert_array_equal(once.surface.uv, again.surface.uv)
    np.testing.assert_array_equal(once.surface.texture, again.surface.texture)


def test_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="teapot"):
        object_model("teapot")


def colour_at(model: ObjectModel, point: tuple[float, float, float]) -> tuple[int, ...]:
    points, colours = samples(model, 20_000)
    return tuple(colours[np.linalg.norm(points - point, axis=1).argmin()].astype(int).tolist())


def test_each_card_of_a_box_reads_correctly_from_outside() -> None:
    # Each card is blue with a red upper left quarter. A viewer in front (-y) has +x on the right, so red
    # lies at -x, +z; one at the right (+x) has +y on the right, so red lies at -y, +z; and so on around.
    card = Card(20, 20, "#0000ff").box((0, 0, 0.5, 0.5), "#ff0000")
    solid = block((100, 100, 100), rounding=1)
    model = assemble("cube", [Part(solid, Box(card, card, card, card, card, card))], kind="box")
    a, b = 0.025, 0.05
    for red in ((-a, -b, a), (b, -a, a), (a, b, a), (-b, a, a), (-a, a, b), (a, a, -b)):
        assert colour_at(model, red) == (255, 0, 0)
        mirrored = tuple(v if abs(v) == b or i == 2 else -v for i, v in enumerate(red))
        if abs(red[2]) != b:
            assert colour_at(model, mirrored) == (0, 0, 255)
    assert colour_at(model, (a, a, b)) == (0, 0, 255)
    assert colour_at(model, (-a, a, -b)) == (0, 0, 255)


def test_a_wrapped_strip_runs_to_the_viewers_right() -> None:
    # Quarters of the strip: back to left, left to front, front to right, right to back.
    strip = Card(400, 50, "#000000").box((0.25, 0, 0.5, 1), "#ff0000").box((0.5, 0, 0.75, 1), "#00ff00")
    strip.box((0.75, 0, 1, 1), "#0000ff")
    end = flat("#ffffff")
    model = assemble("can", [Part(rod(50, 60), Wrap(strip, end, end, end))], kind="can")
    q = 0.05 / np.sqrt(2)
    assert colour_at(model, (-q, -q, 0.0)) == (255, 0, 0)
    assert colour_at(model, (q, -q, 0.0)) == (0, 255, 0)
    assert colour_at(model, (q, q, 0.0)) == (0, 0, 255)
    assert colour_at(model, (-q, q, 0.0)) == (0, 0, 0)
    assert colour_at(model, (0.0, 0.0, 0.03)) == (255, 255, 255)


def test_a_placed_part_takes_its_print_along() -> None:
    # Turned a quarter about z, the front (-y) comes to face +x.
    sides = [flat(colour) for colour in ("#ff0000", "#00ff00", "#0000ff", "#ffff00", "#00ffff", "#ff00ff")]
    model = assemble(
        "cube", [Part(block((40, 40, 40)), Box(*sides), placed((5, 6, 7), turn=(0, 0, 90)))], kind="box"
    )
    assert colour_at(model, (0.02, 0.0, 0.0)) == (255, 0, 0)


def test_solids_have_the_volumes_of_their_plain_twins() -> None:
    # A turned rectangle is a cylinder; 64 sides lose (1 - sin(2a) / 2a), a = pi / 64, which is 0.16 %.
    turned = lathe([(0, 0), (30, 0), (30, 50), (0, 50)])
    assert turned.volume() == pytest.approx(np.pi * 900 * 50, rel=0.002)
    # A rounded bar: a cylinder and two half balls, of 20 and few sides, hence somewhat less.
    bar = tube([(0, 0, 0), (0, 0, 20), (0, 0, 40)], 5.0)
    assert bar.volume() == pytest.approx(np.pi * 25 * 40 + 4 / 3 * np.pi * 125, rel=0.04)
