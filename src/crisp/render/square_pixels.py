"""A camera whose pixels are not square, for a renderer that knows only square ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crisp.geometry.camera import Camera
from crisp.render.scene import View
from crisp.render.table_scene import TableScene


def with_square_pixels(scene: TableScene, view: View) -> tuple[TableScene, View]:
    """A scene and a view with fx = fy that give the same picture; what was handed in where fx = fy there.

    v = fy y / z + cy is the same as fx (y fy / fx) / z + cy: all things are stretched along the camera's y,
    by 0.14 % in NOCS. Depth and silhouettes stay exact; light falls as it would on the stretched things.
    """
    K = view.camera.K
    if K[0, 0] == K[1, 1]:
        return scene, view
    stretch = np.diag([1.0, K[1, 1] / K[0, 0], 1.0, 1.0])
    W = view.T_world_camera @ stretch @ np.linalg.inv(view.T_world_camera)
    objects = tuple(replace(item, T_world_object=W @ item.T_world_object) for item in scene.objects)
    panels = tuple(replace(panel, T_world_panel=W @ panel.T_world_panel) for panel in scene.panels)
    K_square = K.copy()
    K_square[1, 1] = K[0, 0]
    camera = Camera(K_square, view.camera.width, view.camera.height)
    return TableScene(objects, panels, scene.backdrop), View(camera, view.T_world_camera)
