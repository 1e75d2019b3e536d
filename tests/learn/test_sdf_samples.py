"""Signed-distance samples: analytic distances, the cube, and a cache that cannot serve the wrong thing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from crisp.errors import InputError
from crisp.learn.problem import (
    SampleKind,
    SdfSampleConfig,
    cache_key,
    sdf_samples,
    signed_distance,
    thickened,
)
from crisp.shape.sdf import AnalyticBox
from crisp.types import Mesh

SMALL = SdfSampleConfig(surface=500, near=600, volume=700, cube_half_m=0.1, seed=3)
EXTENTS = (0.10, 0.06, 0.16)


def _mesh(solid: trimesh.Trimesh) -> Mesh:
    return Mesh(np.array(solid.vertices, dtype=np.float64), np.array(solid.faces, dtype=np.int64))


def _box() -> Mesh:
    return _mesh(trimesh.creation.box(EXTENTS))


def test_box_distances_are_the_analytic_ones():
    samples = sdf_samples(_box(), SMALL)
    half = torch.tensor(EXTENTS, dtype=torch.float64) / 2
    truth = AnalyticBox()(torch.from_numpy(samples.points_object).double(), half).numpy()
    # Surface points are 0 by definition; rounding to float32 moves them by less than 1e-8 m.
    np.testing.assert_allclose(samples.distance_m, truth, atol=1e-6)
    assert (samples.distance_m < 0).sum() > 50, "no point inside: the sign would go untested"


def test_thin_walls_are_thickened_and_others_left_alone():
    outer, inner = (trimesh.creation.icosphere(subdivisions=4, radius=r) for r in (0.07, 0.069))
    inner.invert()
    shell = sdf_samples(_mesh(trimesh.util.concatenate([outer, inner])), SMALL)
    # 1 mm thick: a quarter of the points inside are at most 0.125 mm deep.
    moved = shell.distance_m - thickened(shell, 0.003).distance_m
    np.testing.assert_allclose(moved, moved[0], atol=1e-8)
    assert moved[0] == pytest.approx(0.001, abs=2e-4)
    solid = sdf_samples(_box(), SMALL)
    assert np.array_equal(thickened(solid, 0.003).distance_m, solid.distance_m)
    assert np.array_equal(thickened(shell, 0.0).distance_m, shell.distance_m)


def test_sphere_distances_are_analytic_to_the_chord_error():
    mesh = _mesh(trimesh.creation.icosphere(subdivisions=5, radius=0.07))
    samples = sdf_samples(mesh, SMALL)
    truth = np.linalg.norm(samples.points_object, axis=1) - 0.07
    # Edges subtend about 0.035 rad; the sagitta of a face is below r * 0.035^2 / 6 = 1.4e-5 m.
    np.testing.assert_allclose(samples.distance_m, truth, atol=3e-5)


def test_the_hollow_of_a_bowl_is_outside():
    outer = trimesh.creation.icosphere(subdivisions=3, radius=0.08)
    inner = trimesh.creation.icosphere(subdivisions=3, radius=0.05)
    inner.invert()
    shell = _mesh(trimesh.util.concatenate([outer, inner]))
    distance = signed_distance(shell, np.array([[0.0, 0, 0], [0.065, 0, 0], [0.095, 0, 0]]))
    # Centre of the hollow: 50 mm to the inner wall, outside. Middle of the wall: 15 mm deep. Then 15 mm out.
    np.testing.assert_allclose(distance, [0.05, -0.015, 0.015], atol=1e-3)


def test_counts_kinds_and_order():
    samples = sdf_samples(_box(), SMALL)
    assert [len(samples.of(kind).kind) for kind in SampleKind] == [500, 600, 700]
    assert (np.diff(samples.kind.astype(int)) >= 0).all()
    assert samples.points_object.dtype == samples.distance_m.dtype == np.float32
    assert (samples.of(SampleKind.SURFACE).distance_m == 0).all()


def test_surface_points_are_spread_by_area():
    samples = sdf_samples(_box(), replace(SMALL, surface=20_000)).of(SampleKind.SURFACE)
    on_x_faces = np.isclose(np.abs(samples.points_object[:, 0]), 0.05, atol=1e-7).mean()
    # Areas: x faces 2 * 6 * 16 = 192 of 192 + 320 + 120 = 632 cm^2; three deviations of 20000 draws are 0.01.
    assert on_x_faces == pytest.approx(192 / 632, abs=0.01)


def test_near_points_have_both_scales():
    samples = sdf_samples(_box(), replace(SMALL, near=4000, near_sigma_m=(0.001, 0.01)))
    distance = np.abs(samples.of(SampleKind.NEAR).distance_m)
    # Beside a plane the distance is |one Gaussian|; 99.7 % of the fine half stay below 3 mm, while of the
    # coarse half only 24 % do.
    assert 0.55 < (distance < 0.003).mean() < 0.75


def test_no_point_leaves_the_cube():
    tight = replace(SMALL, cube_half_m=0.0801, near_sigma_m=(0.003, 0.05))
    points = sdf_samples(_box(), tight).points_object
    assert np.abs(points).max() <= np.float32(0.0801)
    volume = sdf_samples(_box(), tight).of(SampleKind.VOLUME).points_object
    assert (volume.max(axis=0) > 0.078).all()
    assert (volume.min(axis=0) < -0.078).all()


def test_cached_equals_fresh_and_is_read(tmp_path, monkeypatch):
    fresh = sdf_samples(_box(), SMALL)
    first = sdf_samples(_box(), SMALL, tmp_path)
    monkeypatch.setattr("crisp.learn.problem._compute", None)  # calling it again would now fail
    second = sdf_samples(_box(), SMALL, tmp_path)
    for samples in (first, second):
        np.testing.assert_array_equal(samples.points_object, fresh.points_object)
        np.testing.assert_array_equal(samples.distance_m, fresh.distance_m)
        np.testing.assert_array_equal(samples.kind, fresh.kind)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_cache_file_is_rebuilt(tmp_path, damage):
    fresh = sdf_samples(_box(), SMALL, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 0xFF])
    path.write_bytes({"truncated": whole[:-100], "flipped": flipped, "empty": b""}[damage])
    again = sdf_samples(_box(), SMALL, tmp_path)
    np.testing.assert_array_equal(again.distance_m, fresh.distance_m)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "change",
    [
        {"surface": 501},
        {"near": 601},
        {"volume": 701},
        {"near_sigma_m": (0.003, 0.0121)},
        {"cube_half_m": 0.11},
        {"seed": 4},
    ],
)
def test_the_key_changes_with_every_setting(change):
    assert set(change) <= set(SdfSampleConfig.__dataclass_fields__)
    assert cache_key(_box(), SMALL) == cache_key(_box(), replace(SMALL))
    assert cache_key(_box(), SMALL) != cache_key(_box(), replace(SMALL, **change))


def test_the_key_changes_with_the_mesh_and_the_format(monkeypatch):
    mesh = _box()
    moved = Mesh(mesh.vertices + np.array([1e-7, 0, 0]), mesh.faces)
    turned = Mesh(mesh.vertices, np.roll(mesh.faces, 1, axis=1))
    keys = {cache_key(m, SMALL) for m in (mesh, moved, turned)}
    monkeypatch.setattr("crisp.learn.problem.FORMAT_VERSION", -1)
    keys.add(cache_key(mesh, SMALL))
    assert len(keys) == 4


def test_split_vertices_do_not_open_a_surface():
    mesh = _box()
    split = Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(3 * len(mesh.faces)).reshape(-1, 3))
    samples = sdf_samples(split, SMALL)
    np.testing.assert_allclose(samples.distance_m, sdf_samples(mesh, SMALL).distance_m, atol=1e-7)


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        (Mesh(_box().vertices, np.zeros((0, 3), dtype=np.int64)), "no faces"),
        (Mesh(_box().vertices, _box().faces[:-1]), "not watertight"),
        (Mesh(_box().vertices, _box().faces[:, ::-1].copy()), "inside out"),
        (Mesh(_box().vertices * np.nan, _box().faces), "not finite"),
        (Mesh(_box().vertices * 1000, _box().faces), "metres"),
    ],
)
def test_unusable_meshes_are_named_in_one_sentence(mesh, words):
    with pytest.raises(InputError, match=words):
        sdf_samples(mesh, SMALL)


@pytest.mark.parametrize(
    "bad",
    [{"surface": -1}, {"surface": 0, "near": 0, "volume": 0}, {"near_sigma_m": ()}, {"cube_half_m": 0.0}],
)
def test_unusable_settings_are_refused(bad):
    with pytest.raises(InputError):
        SdfSampleConfig(**bad)
