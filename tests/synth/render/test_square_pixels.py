"""A camera with fx unlike fy shows things where its own K says."""

from __future__ import annotations

import numpy as np
import trimesh

from crisp.geometry.camera import Camera
from crisp.shape.raster import Posed, bare, rasterise
from crisp.synth.render.arrangement import look_at
from crisp.synth.render.scene import Panel, Placed, View
from crisp.synth.render.tabletop import TableScene, with_square_pixels
from crisp.types import Mesh, ObjectModel, TexturedMesh

CAMERA = Camera(np.array([[70.0, 0, 33.0], [0, 55.0, 22.0], [0, 0, 1]]), 64, 48)


def scene_and_view() -> tuple[TableScene, View]:
    box = trimesh.creation.box((0.2, 0.15, 0.1))
    vertices, faces = np.array(box.vertices), np.array(box.faces, dtype=np.int64)
    surface = TexturedMesh(vertices, faces, np.full((8, 2), 0.5), np.full((2, 2, 3), 200, np.uint8))
    T = np.eye(4)
    T[2, 3] = 0.05
    table = Panel(np.eye(4), (1.0, 1.0), np.full((2, 2, 3), 90, np.uint8))
    scene = TableScene((Placed(ObjectModel("box", "box", Mesh(vertices, faces), surface), T),), (table,))
    return scene, View(CAMERA, look_at(np.array([0.4, -0.5, 0.5]), np.zeros(3), roll_deg=20.0))


def test_depth_and_masks_are_those_of_the_true_camera() -> None:
    """Against the z-buffer, which knows any K, and the table's depth worked out on paper."""
    scene, view = scene_and_view()
    drawn, square = with_square_pixels(scene, view)
    assert square.camera.K[0, 0] == square.camera.K[1, 1]
    found = drawn.geometry(square)
    T = np.linalg.inv(view.T_world_camera) @ scene.objects[0].T_world_object
    twin = rasterise([Posed(bare(scene.objects[0].model.mesh), T)], CAMERA)
    np.testing.assert_array_equal(found.masks[0], twin.owner == 0)
    np.testing.assert_allclose(found.depth_m[found.masks[0]], twin.depth_m[found.masks[0]], atol=1e-5)
    rays = CAMERA.rays() @ view.T_world_camera[:3, :3].T
    on_table = -view.T_world_camera[2, 3] / rays[..., 2]
    off = ~found.masks[0] & (found.depth_m > 0)
    np.testing.assert_allclose(found.depth_m[off], on_table[off], atol=1e-5)


def test_square_pixels_stay_as_they_are() -> None:
    scene, view = scene_and_view()
    K = CAMERA.K.copy()
    K[1, 1] = K[0, 0]
    view = View(Camera(K, 64, 48), view.T_world_camera)
    assert with_square_pixels(scene, view) == (scene, view)
