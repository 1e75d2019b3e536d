"""Meshing: the dense grid's surface, exact coordinates, outward faces, and no bogus mesh."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from crisp.errors import InputError, ObjectFailure
from crisp.shape.mesh import MeshConfig, extract_mesh, extract_meshes
from crisp.shape.sdf import AnalyticBox, AnalyticEllipsoid, AnalyticSphere
from crisp.types import Mesh

N = 48
VOXEL = 0.4 / (N - 1)
AT_N = MeshConfig(resolution=N)
ALL = MeshConfig(resolution=N, min_component_share=0.0)


def _dense(field, code, n=N) -> Mesh:
    """The plain twin: every node, one call, one marching cubes."""
    axis = torch.linspace(-field.cube_half_m, field.cube_half_m, n, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3).float()
    values = field(grid, code).reshape(n, n, n).numpy()
    step = 2 * field.cube_half_m / (n - 1)
    vertices, faces, _, _ = marching_cubes(values, 0.0, allow_degenerate=False)
    return Mesh(vertices.astype(np.float64) * step - field.cube_half_m, faces.astype(np.int64))


def _gap(a: Mesh, b: Mesh) -> float:
    to_b = cKDTree(b.vertices).query(a.vertices)[0].max()
    return float(max(to_b, cKDTree(a.vertices).query(b.vertices)[0].max()))


@dataclass(frozen=True)
class Wavy:
    """A sphere with ripples: slope up to 1 + amplitude * frequency, so it breaks the 1-Lipschitz promise."""

    amplitude: float
    frequency: float
    cube_half_m: float = 0.2

    def __call__(self, points_object, code):
        ripple = torch.sin(self.frequency * points_object).prod(-1)
        return points_object.norm(dim=-1) - code[..., None, 0] + self.amplitude * ripple


@dataclass(frozen=True)
class Steep:
    """A sphere's distance times a factor: far nodes look farther or nearer than they are."""

    factor: float
    cube_half_m: float = 0.2

    def __call__(self, points_object, code):
        return self.factor * (points_object.norm(dim=-1) - code[..., None, 0])


@dataclass(frozen=True)
class Spheres:
    """Union of spheres; the code is (x, y, z, radius) of each."""

    cube_half_m: float = 0.2

    def __call__(self, points_object, code):
        spheres = code.unflatten(-1, (-1, 4))
        distance = (points_object[..., :, None, :] - spheres[..., None, :, :3]).norm(dim=-1)
        return (distance - spheres[..., None, :, 3]).amin(-1)


FIELDS = {
    "sphere": (AnalyticSphere(), [0.1]),
    "box": (AnalyticBox(), [0.101, 0.037, 0.163]),
    "flat ellipsoid": (AnalyticEllipsoid(), [0.15, 0.09, 0.01]),
    "plate thinner than two voxels": (AnalyticBox(), [0.15, 0.12, 0.005]),
    "two pieces": (Spheres(), [0.1, 0, 0, 0.05, -0.1, 0.02, 0, 0.07]),
    "slope 2.2": (Wavy(amplitude=0.01, frequency=120.0), [0.1]),
    "slope 3": (Steep(3.0), [0.1]),
    "slope 1/3": (Steep(1 / 3), [0.1]),
    "leaves the cube": (AnalyticSphere(), [0.25]),
}


@pytest.mark.parametrize("n", [N, 33, 47])
@pytest.mark.parametrize("name", FIELDS)
def test_the_mesh_is_that_of_the_dense_grid(name, n):
    field, numbers = FIELDS[name]
    code = torch.tensor(numbers)
    mesh, dense = (
        extract_mesh(field, code, MeshConfig(resolution=n, min_component_share=0.0)),
        _dense(field, code, n),
    )
    assert len(mesh.faces) == len(dense.faces)
    assert len(mesh.vertices) == len(dense.vertices)
    assert _gap(mesh, dense) < 1e-3 * VOXEL


def test_a_surface_is_followed_where_the_slope_bound_is_far_too_low():
    # Slope 3 against a bound of 0.2: nearly all blocks are discarded by a wrong promise. Those that remain
    # lie on the surface, and following it must still give all of it.
    field, code = Steep(3.0), torch.tensor([0.1])
    mesh = extract_mesh(field, code, MeshConfig(resolution=N, lipschitz=0.2))
    assert _gap(mesh, _dense(field, code)) < 1e-3 * VOXEL


def test_only_a_thin_shell_is_evaluated():
    class Counting(AnalyticSphere):
        def __call__(self, points_object, code):
            seen.append(points_object.shape[:-1].numel())
            return super().__call__(points_object, code)

    seen: list[int] = []
    extract_mesh(Counting(), torch.tensor([0.1]), MeshConfig(resolution=128))
    assert sum(seen) < 128**3 / 20


def test_a_batch_gives_what_each_object_gives_alone():
    codes = torch.tensor([[0.1, 0.04, 0.16], [0.03, 0.02, 0.05], [-1.0, -1, -1], [0.07, 0.07, 0.07]])
    together = extract_meshes(AnalyticBox(), codes, AT_N)
    assert [type(item) for item in together] == [Mesh, Mesh, ObjectFailure, Mesh]
    for item, code in zip(together, codes, strict=True):
        if isinstance(item, Mesh):
            alone = extract_mesh(AnalyticBox(), code, AT_N)
            np.testing.assert_array_equal(item.vertices, alone.vertices)
            np.testing.assert_array_equal(item.faces, alone.faces)


def test_call_size_does_not_matter():
    code = torch.tensor([0.1, 0.04, 0.16])
    whole = extract_mesh(AnalyticBox(), code, AT_N)
    pieces = extract_mesh(AnalyticBox(), code, MeshConfig(resolution=N, points_per_call=1000))
    np.testing.assert_array_equal(whole.vertices, pieces.vertices)


def test_sphere_radius_and_volume():
    mesh = extract_mesh(AnalyticSphere(), torch.tensor([0.1]), AT_N)
    radius = np.linalg.norm(mesh.vertices, axis=1)
    # Linear interpolation along an edge errs by at most step^2 / (8 r) = 0.011 voxel at this resolution.
    assert np.abs(radius - 0.1).max() < 0.02 * VOXEL
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert solid.is_watertight
    # Positive: faces look outward. 4/3 pi 0.1^3 = 4.18879e-3, less 0.4 % that the chords cut off.
    assert solid.volume == pytest.approx(4.18879e-3, rel=0.01)


def test_box_is_not_sheared():
    half = torch.tensor([0.101, 0.037, 0.163])
    mesh = extract_mesh(AnalyticBox(), half, AT_N)
    np.testing.assert_allclose(mesh.vertices.max(0), half, atol=0.5 * VOXEL)
    np.testing.assert_allclose(mesh.vertices.min(0), -half, atol=0.5 * VOXEL)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
    np.testing.assert_allclose(solid.center_mass, 0, atol=1e-6)
    # A shear tilts the sides: each vertex must lie on the box as the field sees it.
    on_surface = AnalyticBox()(torch.from_numpy(mesh.vertices), half.double()).abs().max()
    assert on_surface < 0.5 * VOXEL


@pytest.mark.parametrize("radius", [-0.1, 1.0])
def test_no_crossing_is_a_status(radius):
    # -0.1: positive everywhere; 1.0: the cube lies wholly inside. The middle level would make a mesh of both.
    with pytest.raises(ObjectFailure, match="no surface") as caught:
        extract_mesh(AnalyticSphere(), torch.tensor([radius]), AT_N)
    assert caught.value.status == "no_surface"


def test_touching_zero_in_a_point_is_no_surface():
    # 33 nodes put one on the origin, where a sphere of radius 0 is exactly 0.
    with pytest.raises(ObjectFailure) as caught:
        extract_mesh(AnalyticSphere(), torch.tensor([0.0]), MeshConfig(resolution=33))
    assert caught.value.status == "no_surface"


def test_values_that_are_not_finite_are_a_status():
    with pytest.raises(ObjectFailure, match="not finite"):
        extract_mesh(AnalyticSphere(), torch.tensor([float("nan")]), AT_N)


def test_specks_are_dropped_and_parts_kept():
    speck, part, body = [0.15, 0.15, 0.15, 0.008], [-0.12, 0, 0, 0.04], [0.08, 0, 0, 0.1]
    code = torch.tensor(speck + part + body)
    everything = extract_mesh(Spheres(), code, ALL)
    cleaned = extract_mesh(Spheres(), code, AT_N)
    assert trimesh.Trimesh(everything.vertices, everything.faces).body_count == 3
    assert trimesh.Trimesh(cleaned.vertices, cleaned.faces).body_count == 2
    # The speck of radius 8 mm has (8 / 100)^2 = 0.6 % of the body's faces; the part has 16 %.
    assert cleaned.vertices[:, 2].max() < 0.11
    assert len(np.unique(cleaned.faces)) == len(cleaned.vertices)


def test_settings_are_checked():
    with pytest.raises(InputError, match="power of two"):
        MeshConfig(coarse_block=6)
    with pytest.raises(InputError):
        MeshConfig(lipschitz=0.0)
    with pytest.raises(InputError):
        MeshConfig(points_per_call=0)
    with pytest.raises(InputError, match="resolution"):
        MeshConfig(resolution=1)
