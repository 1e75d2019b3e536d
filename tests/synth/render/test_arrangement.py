"""Objects on a table touch it, stand apart, and are seen by cameras that look at them."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from crisp.synth.render.arrangement import (
    Resting,
    Spacing,
    Viewpoints,
    arrange,
    draw_view,
    look_at,
    separation,
)
from crisp.synth.render.scene import Placed
from crisp.types import Mesh, ObjectModel, TexturedMesh

SQUARE = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])


def block(size: tuple[float, float, float], rest: tuple[np.ndarray, ...] = (np.eye(3),)) -> ObjectModel:
    solid = trimesh.creation.box(size)
    solid.apply_translation([0.02, -0.01, 0.03])  # an object's origin need not be its middle
    vertices, faces = np.asarray(solid.vertices), np.asarray(solid.faces)
    grey = np.full((2, 2, 3), 128, dtype=np.uint8)
    surface = TexturedMesh(vertices, faces, np.full((8, 2), 0.5), grey)
    return ObjectModel("block", "block", Mesh(vertices, faces), surface, rest=rest)


def test_separation_of_squares_is_what_a_ruler_says() -> None:
    shifts = np.array([[1.5, 0], [0, -1.25], [0.75, 0], [0.5, 0.5], [-3, 2]])
    # Half apart; a quarter apart; a quarter overlapping; half overlapping; beyond a corner, the wider gap.
    np.testing.assert_allclose(separation(SQUARE, SQUARE, shifts=shifts), [0.5, 0.25, -0.25, -0.5, 2])


def test_separation_sees_the_gap_between_corners_along_the_other_polygons_edges() -> None:
    # A square on its corner, its upper right edge on x + y = 1, against the unit square moved to (0.6, 0.6):
    # along (1, 1) / sqrt(2) their distance is (1.2 - 1) / sqrt(2), along the axes they overlap.
    diamond = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    gap = separation(SQUARE, diamond, shifts=np.array([[0.6, 0.6]]))
    assert gap[0] == pytest.approx(0.2 / np.sqrt(2))


@pytest.mark.parametrize("seed", range(5))
def test_objects_touch_the_table_and_keep_their_distance(seed: int) -> None:
    lying = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    models = tuple(block((0.1, 0.03 + 0.02 * k, 0.2), (np.eye(3), lying)) for k in range(6))
    placed = arrange(models, spacing=Spacing(0.01, 0.02), rng=np.random.default_rng(seed))
    for item in placed:
        assert abs(item.vertices_world[:, 2].min()) < 1e-12
        assert np.allclose(item.T_world_object[:3, :3] @ item.T_world_object[:3, :3].T, np.eye(3))
    for index, item in enumerate(placed):
        for other in placed[:index]:
            # Blocks stand upright, so their distance is that of their footprints, here on a fine rim.
            distance = np.linalg.norm(rim(item)[:, None] - rim(other)[None], axis=-1).min()
            assert distance > 0.0099
    spread = np.concatenate([item.vertices_world for item in placed])
    assert np.ptp(spread, axis=0).max() < 0.8


@pytest.mark.parametrize(("usual", "upright"), [(1.0, 1.0), (0.0, 0.0), (0.5, 0.5)])
def test_the_usual_pose_has_its_share(usual: float, upright: float) -> None:
    lying = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    model = block((0.02, 0.02, 0.04), (np.eye(3), lying))
    placed = arrange(
        (model,) * 200,
        spacing=Spacing(0.0, 0.0),
        rng=np.random.default_rng(2),
        resting=Resting(usual_share=usual),
    )
    share = np.mean([item.T_world_object[2, 2] > 0.99 for item in placed])
    assert share == pytest.approx(upright, abs=0.12)  # three deviations of 200 coins


def test_in_a_heap_every_direction_points_upwards_as_often_as_any_other() -> None:
    placed = arrange(
        (block((0.02, 0.02, 0.04)),) * 200,
        spacing=Spacing(0.0, 0.0),
        rng=np.random.default_rng(3),
        resting=Resting(any_share=1.0),
    )
    upward = np.array([item.T_world_object[2, :3] for item in placed])
    np.testing.assert_allclose(upward.mean(axis=0), 0, atol=0.13)  # each coordinate is even on -1..1
    np.testing.assert_allclose(upward.T @ upward / len(upward), np.eye(3) / 3, atol=0.08)
    assert all(abs(item.vertices_world[:, 2].min()) < 1e-12 for item in placed)


def rim(item: Placed) -> np.ndarray:
    """Points along the footprint's outline, 5 mm apart or less."""
    corners = item.vertices_world[:, :2]
    corners = corners[ConvexHull(corners).vertices]
    shares = np.linspace(0, 1, 50)[:, None]
    return np.concatenate(
        [a + (b - a) * shares for a, b in zip(corners, np.roll(corners, 1, 0), strict=True)]
    )


def test_what_stands_already_stays() -> None:
    rng = np.random.default_rng(0)
    first = arrange((block((0.1, 0.1, 0.1)),), spacing=Spacing(), rng=rng)
    both = arrange((block((0.05, 0.05, 0.05)),), spacing=Spacing(), rng=rng, standing=first)
    assert both[0] is first[0]
    assert len(both) == 2


def test_look_at_has_its_target_in_the_middle_and_z_up() -> None:
    eye, target = np.array([1.0, 2.0, 1.5]), np.array([0.2, 0.1, 0.3])
    T = look_at(eye, target)
    np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(T) == pytest.approx(1.0)
    seen = np.linalg.inv(T) @ np.array([*target, 1.0])
    np.testing.assert_allclose(seen, [0, 0, np.linalg.norm(target - eye), 1], atol=1e-12)
    above = np.linalg.inv(T) @ np.array([target[0], target[1], target[2] + 0.1, 1.0])
    assert above[0] == pytest.approx(0)  # straight up in the image: v points down
    assert above[1] < 0


def test_views_keep_to_their_ranges() -> None:
    rng = np.random.default_rng(0)
    viewpoints = Viewpoints(96, 72, (20.0, 60.0), (0.5, 0.9), (80.0, 90.0), (0.0, 0.0))
    placed = arrange(tuple(block((0.06, 0.06, 0.06)) for _ in range(3)), spacing=Spacing(), rng=rng)
    for _ in range(20):
        view = draw_view(viewpoints, placed, rng)
        forward, right = view.T_world_camera[:3, 2], view.T_world_camera[:3, 0]
        assert 20 - 1e-6 <= np.degrees(np.arcsin(-forward[2])) <= 60 + 1e-6
        assert abs(right[2]) < 1e-9
        assert 80 <= view.camera.K[0, 0] <= 90
        # The target is within the group, some 15 cm across, or its jitter.
        assert 0.3 < np.linalg.norm(view.T_world_camera[:3, 3]) < 1.1
