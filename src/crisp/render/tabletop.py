"""Pictures of objects on a table: draws a whole scene from one seed, and renders it view by view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from crisp.geometry.camera import Camera
from crisp.objects import ObjectModel
from crisp.render.arrangement import Resting, Spacing, arrange
from crisp.render.film import develop, without_speckle
from crisp.render.looks import Look, draw_exposure, draw_light
from crisp.render.scene import Geometry, View
from crisp.render.square_pixels import with_square_pixels
from crisp.render.surroundings import random_backdrop, random_clutter, random_table, random_walls
from crisp.render.table_scene import TableScene
from crisp.render.viewpoints import Viewpoints, draw_view


@dataclass(frozen=True, eq=False)
class SeenObject:
    """An object in a picture.

    Args:
        index: its place in the list of models that was handed in.
        mask: (H, W), the whole silhouette within the image.
        mask_visible: (H, W), the visible part.
    """

    index: int
    T_camera_object: Float[np.ndarray, "4 4"]
    mask: Bool[np.ndarray, "h w"]
    mask_visible: Bool[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Picture:
    """One rendered view with its truth; depth in metres, 0 = no value.

    Args:
        T_world_camera: (4, 4), where the camera stands; z up, the table at z = 0.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    depth_m: Float[np.ndarray, "h w"]
    camera: Camera
    objects: tuple[SeenObject, ...]
    T_world_camera: Float[np.ndarray, "4 4"]


def pictures(
    models: tuple[ObjectModel, ...],
    *,
    views: int,
    viewpoints: Viewpoints,
    look: Look,
    seed: int,
    spacing: Spacing | None = None,
    resting: Resting | None = None,
) -> Iterator[Picture]:
    """`views` pictures of one table with all `models` on it.

    Everything random follows from `seed`. Placing and cameras have a stream of their own, so that two
    looks of one seed show the same objects in the same poses.
    """
    layout, surroundings, appearance = (np.random.default_rng((seed, stream)) for stream in range(3))
    wanted = arrange(models, spacing=spacing or Spacing(), rng=layout, resting=resting)
    clutter = random_clutter(int(surroundings.integers(look.clutter[0], look.clutter[1] + 1)), surroundings)
    everything = arrange(clutter, spacing=spacing or Spacing(), rng=surroundings, standing=wanted)
    panels = random_table(surroundings) + random_walls(surroundings)
    scene = TableScene(everything, panels, random_backdrop(surroundings))
    for _ in range(views):
        view = draw_view(viewpoints, wanted, layout)
        drawn, seen_from = with_square_pixels(scene, view)
        geometry = drawn.geometry(seen_from)
        light, exposure = draw_light(look, appearance), draw_exposure(look, appearance)
        render_seed = int(appearance.integers(2**31))
        if look.samples:
            noisy = drawn.traced(
                seen_from, light, samples=look.samples, bounces=look.bounces, seed=render_seed
            )
            radiance = without_speckle(noisy)
        else:
            radiance = drawn.direct(seen_from, light, geometry, seed=render_seed)
        depth_m = geometry.depth_m
        if look.sensor is not None:
            depth_m = look.sensor.measure(depth_m, view.camera, appearance)
        rgb = develop(radiance, exposure, appearance)
        seen = _seen(scene, view, geometry, count=len(models))
        yield Picture(rgb, depth_m, view.camera, seen, view.T_world_camera)


def _seen(scene: TableScene, view: View, geometry: Geometry, *, count: int) -> tuple[SeenObject, ...]:
    """The first `count` objects of the scene that lie at least partly within the image."""
    T_camera_world = np.linalg.inv(view.T_world_camera)
    return tuple(
        SeenObject(
            index=index,
            T_camera_object=T_camera_world @ scene.objects[index].T_world_object,
            mask=geometry.masks[index],
            mask_visible=geometry.visible[index],
        )
        for index in range(count)
        if geometry.masks[index].any()
    )
