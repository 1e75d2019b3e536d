"""Whole pictures: what one seed fixes, and what a look may change."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from crisp.synth.render.arrangement import Viewpoints
from crisp.synth.render.looks import LookName, look
from crisp.synth.render.tabletop import Picture, pictures
from crisp.types import Mesh, ObjectModel, TexturedMesh

VIEWPOINTS = Viewpoints(96, 72, (20.0, 60.0), (0.5, 0.8), (80.0, 95.0), (-5.0, 5.0))


def block(index: int) -> ObjectModel:
    solid = trimesh.creation.box((0.08, 0.1, 0.12))
    vertices, faces = np.asarray(solid.vertices), np.asarray(solid.faces)
    texture = np.full((2, 2, 3), 60 + 60 * index, dtype=np.uint8)
    surface = TexturedMesh(vertices, faces, np.full((8, 2), 0.5), texture)
    return ObjectModel(f"block_{index}", "block", Mesh(vertices, faces), surface)


def take(name: LookName, seed: int) -> list[Picture]:
    models = tuple(block(index) for index in range(3))
    return list(pictures(models, views=2, viewpoints=VIEWPOINTS, look=look(name), seed=seed))


@pytest.mark.parametrize("name", ["clean", "hard"])
def test_one_seed_gives_one_picture_and_another_seed_another(name: LookName) -> None:
    first, again, other = take(name, 0), take(name, 0), take(name, 1)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)
        np.testing.assert_array_equal(a.depth_m, b.depth_m)
    assert not np.array_equal(first[0].rgb, other[0].rgb)
    assert not np.array_equal(first[0].rgb, first[1].rgb)


def test_both_looks_show_the_same_objects_in_the_same_poses() -> None:
    for clean, hard in zip(take("clean", 0), take("hard", 0), strict=True):
        np.testing.assert_array_equal(clean.camera.K, hard.camera.K)
        for one, two in zip(clean.objects, hard.objects, strict=True):
            assert one.index == two.index
            np.testing.assert_array_equal(one.T_camera_object, two.T_camera_object)
            np.testing.assert_array_equal(one.mask, two.mask)  # clutter may only hide, never move
            assert not (two.mask_visible & ~one.mask_visible).any()


def test_clean_depth_is_whole_and_hard_depth_has_gaps_and_noise() -> None:
    clean, hard = take("clean", 0)[0], take("hard", 0)[0]
    for seen in clean.objects:
        assert (clean.depth_m[seen.mask_visible] > 0).all()
    both = (clean.depth_m > 0) & (hard.depth_m > 0)
    assert (clean.depth_m[both] != hard.depth_m[both]).mean() > 0.9
    assert 0 < (hard.depth_m == 0).mean() < 0.8


def test_pictures_are_well_exposed() -> None:
    for picture in take("clean", 0) + take("clean", 1):
        assert 50 < picture.rgb.mean() < 220
        assert (picture.rgb == 255).all(axis=2).mean() < 0.25
