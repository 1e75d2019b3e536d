"""The renderer against pencil and paper: depth, masks and colours of bodies whose shape is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from crisp.errors import InputError
from crisp.geometry.camera import Camera
from crisp.synth.render.arrangement import look_at
from crisp.synth.render.scene import Light, Panel, Placed, View
from crisp.synth.render.tabletop import TableScene
from crisp.types import Mesh, ObjectModel, TexturedMesh

HALF = np.array([0.05, 0.04, 0.06])
# The principal point lies well off the middle, so that an offset of wrong sign cannot hide.
CAMERA = Camera(np.array([[90.0, 0, 41.3], [0, 90.0, 39.6], [0, 0, 1]]), 96, 72)
RED, GREEN, BLUE, WHITE = (
    np.array(c, dtype=np.uint8) for c in ((230, 0, 0), (0, 230, 0), (0, 0, 230), (230,) * 3)
)
DAYLIGHT = Light((), np.full((4, 8, 3), 1 / np.pi, dtype=np.float32))


def textured(solid: trimesh.Trimesh, texture: np.ndarray, uv: np.ndarray | None = None) -> ObjectModel:
    vertices, faces = np.asarray(solid.vertices), np.asarray(solid.faces)
    uv = np.full((len(vertices), 2), 0.5) if uv is None else uv
    return ObjectModel(
        "thing", "thing", Mesh(vertices, faces), TexturedMesh(vertices, faces, uv, texture), roughness=1.0
    )


def box(colour: np.ndarray = RED) -> ObjectModel:
    return textured(trimesh.creation.box(2 * HALF), np.tile(colour, (4, 4, 1)))


def at(x: float, y: float, z: float) -> np.ndarray:
    T = trimesh.transformations.euler_matrix(0.3, -0.5, 0.8)
    T[:3, 3] = [x, y, z]
    return T


def view(camera: Camera = CAMERA) -> View:
    eye, target = np.array([0.25, -0.35, 0.3]), np.array([0.02, 0.01, 0.0])
    return View(camera, look_at(eye, target, roll_deg=7.0))


def traced_depth(placed: Placed, seen_from: View) -> np.ndarray:
    """The plain twin: each pixel's ray against each triangle (Moeller and Trumbore), in double precision."""
    T = np.linalg.inv(seen_from.T_world_camera)
    corners = (placed.vertices_world @ T[:3, :3].T + T[:3, 3])[placed.model.mesh.faces]
    rays = seen_from.camera.rays().reshape(-1, 1, 3)
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = np.cross(rays, edge2)
    determinant = (across * edge1).sum(-1)
    u = (across * -corners[:, 0]).sum(-1) / determinant
    other = np.cross(-corners[:, 0], edge1)
    v = (rays * other).sum(-1) / determinant
    z = (edge2 * other).sum(-1) / determinant
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (z > 0)
    return np.where(hit, z, np.inf).min(axis=1).reshape(seen_from.camera.height, seen_from.camera.width)


def test_depth_and_mask_equal_those_of_the_plain_twin() -> None:
    placed = Placed(box(), at(0.03, 0.0, 0.02))
    geometry = TableScene((placed,), ()).geometry(view())
    expected = traced_depth(placed, view())
    hit = np.isfinite(expected)
    assert hit.sum() > 300
    assert (geometry.masks[0] != hit).sum() <= 1  # a ray may graze an edge
    both = hit & geometry.masks[0]
    np.testing.assert_allclose(geometry.depth_m[both], expected[both], atol=5e-6)
    assert (geometry.depth_m[~geometry.masks[0]] == 0).all()


def test_back_projected_depth_lies_on_the_posed_box() -> None:
    T_world_object = at(0.03, 0.0, 0.02)
    seen_from = view()
    geometry = TableScene((Placed(box(), T_world_object),), ()).geometry(seen_from)
    points_camera = CAMERA.backproject(geometry.depth_m)[geometry.visible[0]]
    T_object_camera = np.linalg.inv(T_world_object) @ seen_from.T_world_camera
    points = points_camera @ T_object_camera[:3, :3].T + T_object_camera[:3, 3]
    # On a box's surface, the largest of |coordinate| - half extent is zero.
    assert np.abs((np.abs(points) - HALF).max(axis=1)).max() < 2e-5


def test_mask_ends_where_the_vertices_project_to() -> None:
    # Four times the resolution of the other tests: half a pixel is then a sharp statement.
    K = np.array([[360.0, 0, 170.2], [0, 360.0, 160.4], [0, 0, 1]])
    seen_from = view(Camera(K, 384, 288))
    placed = Placed(box(), at(0.03, 0.0, 0.02))
    mask = TableScene((placed,), ()).geometry(seen_from).masks[0]
    T = np.linalg.inv(seen_from.T_world_camera)
    pixels = seen_from.camera.project(placed.vertices_world @ T[:3, :3].T + T[:3, 3])
    rows, columns = np.nonzero(mask)
    # A pixel belongs to the mask if its centre does: the extreme ones lie inside the extreme vertices. At an
    # acute corner the last centre may be some pixels inside, so only the middle is held to half a pixel.
    for centres, coordinate in ((columns, pixels[:, 0]), (rows, pixels[:, 1])):
        assert coordinate.min() <= centres.min() <= coordinate.min() + 2
        assert coordinate.max() - 2 <= centres.max() <= coordinate.max()
        middle = 0.5 * (coordinate.min() + coordinate.max())
        assert abs(0.5 * (centres.min() + centres.max()) - middle) < 0.75


def test_what_stands_before_hides_what_stands_behind() -> None:
    # The second box stands nearer, a little beside the line from the camera to the first.
    seen_from = view()
    eye = seen_from.T_world_camera[:3, 3]
    far, near = at(0.0, 0.0, 0.0), at(*(0.4 * eye + [0.05, 0, 0]))
    pair = TableScene((Placed(box(), far), Placed(box(), near)), ()).geometry(seen_from)
    alone = TableScene((Placed(box(), far),), ()).geometry(seen_from)
    assert (pair.masks[0] == alone.masks[0]).all()
    assert (pair.visible[1] == pair.masks[1]).all()
    assert (pair.visible[0] == (pair.masks[0] & ~pair.masks[1])).all()
    assert 0 < pair.visible[0].sum() < pair.masks[0].sum()


def test_an_object_off_the_image_or_behind_the_camera_has_empty_masks() -> None:
    seen_from = view()
    behind = seen_from.T_world_camera[:3, 3] - seen_from.T_world_camera[:3, 2]
    scene = TableScene(
        (Placed(box(), at(3.0, 0, 0)), Placed(box(), at(*behind)), Placed(box(), at(0, 0, 0))), ()
    )
    masks = scene.geometry(seen_from).masks
    assert [bool(mask.any()) for mask in masks] == [False, False, True]


def test_a_panel_that_faces_the_camera_has_one_depth_within_its_borders() -> None:
    # 0.5 m away and 0.1 m to each side along x: at f = 90 that is 18 pixels, 41.3 +- 18 = 23.3 .. 59.3.
    T = np.eye(4)
    T[2, 3] = 0.5
    panel = Panel(T, (0.1, 5.0), np.tile(WHITE, (4, 4, 1)))
    depth = TableScene((), (panel,)).geometry(View(CAMERA, np.eye(4))).depth_m
    np.testing.assert_allclose(depth[:, 24:60], 0.5, atol=1e-6)
    assert (depth[:, :24] == 0).all()
    assert (depth[:, 60:] == 0).all()


@pytest.mark.parametrize("traced", [False, True])
def test_texture_stands_upright_and_is_not_mirrored(traced: bool) -> None:
    # The four quarters of the texture as they must appear: red and green above, blue and white below.
    texture = np.zeros((8, 8, 3), dtype=np.uint8)
    texture[:4, :4], texture[:4, 4:], texture[4:, :4], texture[4:, 4:] = RED, GREEN, BLUE, WHITE
    solid = trimesh.creation.box((0.2, 0.2, 0.02))
    # Seen by a camera at the origin: x right and y down, so the lower left corner (0, 0) is at -x, +y.
    uv = np.stack([solid.vertices[:, 0] / 0.2 + 0.5, 0.5 - solid.vertices[:, 1] / 0.2], axis=1)
    T = np.eye(4)
    T[2, 3] = 0.5
    scene = TableScene((Placed(textured(solid, texture, uv), T),), ())
    seen_from = View(CAMERA, np.eye(4))
    if traced:
        image = scene.traced(seen_from, DAYLIGHT, samples=8, bounces=1, seed=0)
    else:
        image = scene.direct(seen_from, DAYLIGHT, scene.geometry(seen_from), seed=0)
    # Quarters of the square reach 18 pixels from the principal point; 9 is in their middle.
    corner = {
        name: image[round(39.6 + dv), round(41.3 + du)]
        for name, du, dv in (("red", -9, -9), ("green", 9, -9), ("blue", -9, 9), ("white", 9, 9))
    }
    for channel, name in enumerate(("red", "green", "blue")):
        assert corner[name][channel] > 5 * np.delete(corner[name], channel).max()
    assert corner["white"].min() > 0.5 * corner["white"].max()


def test_direct_light_on_an_open_plane_is_its_colour_times_the_irradiance() -> None:
    # Surroundings of radiance 1 / pi give an irradiance of 1, and a matt surface of colour a shows a / pi.
    panel = Panel(np.eye(4), (5.0, 5.0), np.full((4, 4, 3), 188, dtype=np.uint8))  # sRGB 188 is 0.503 linear
    scene = TableScene((), (panel,))
    image = scene.direct(view(), DAYLIGHT, scene.geometry(view()), seed=0)
    assert np.median(image) == pytest.approx(0.503 / np.pi, rel=0.03)
    assert image.std() < 0.03 * image.mean()


def test_oblong_pixels_are_refused() -> None:
    oblong = Camera(np.array([[90.0, 0, 48], [0, 80.0, 36], [0, 0, 1]]), 96, 72)
    with pytest.raises(InputError, match="square pixels"):
        TableScene((Placed(box(), np.eye(4)),), ()).geometry(view(oblong))
