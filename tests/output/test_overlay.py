"""Drawings cover what they should, and side views compare like with like."""

from __future__ import annotations

import numpy as np
import trimesh

from crisp.geometry.camera import Camera
from crisp.output.drawing import WHITE, Drawn, Extent, Missed, Side, colour_of, overlay, side_view
from crisp.shape.raster import Posed, ShadedMesh, enlarged, rasterise, smooth
from crisp.types import Mesh

CAMERA = Camera(np.array([[120.0, 0, 80], [0, 120.0, 60], [0, 0, 1]]), width=161, height=121)
GREY = np.full((121, 161, 3), 128, dtype=np.uint8)


def box(extents_m: tuple[float, float, float], shift_m: tuple[float, float, float] = (0, 0, 0)) -> ShadedMesh:
    solid = trimesh.creation.box(extents_m)
    solid.apply_translation(shift_m)
    return smooth(Mesh(np.array(solid.vertices), np.array(solid.faces)))


def placed(mesh: ShadedMesh, x: float, y: float, z: float) -> Posed:
    T = np.eye(4)
    T[:3, 3] = [x, y, z]
    return Posed(mesh, T)


def test_overlay_changes_every_pixel_of_the_projected_mesh_and_none_far_from_it() -> None:
    item = Drawn(placed(box((0.2, 0.2, 0.2)), 0.1, 0.05, 1.0), number=3)
    picture = overlay(GREY, CAMERA, [item])
    covered = rasterise([item.posed], enlarged(CAMERA, 2)).owner == 0
    changed = (picture != 128).any(axis=-1)
    assert covered.sum() > 2000
    assert changed[covered].all()
    assert not changed[:, :120].any()


def test_overlay_of_nothing_is_the_enlarged_image() -> None:
    np.testing.assert_array_equal(overlay(GREY, CAMERA, []), np.full((242, 322, 3), 128))


def test_the_nearer_object_colours_what_both_cover() -> None:
    near = Drawn(placed(box((0.3, 0.3, 0.05)), 0.0, 0.0, 0.8), number=1)
    far = Drawn(placed(box((0.6, 0.6, 0.05)), 0.0, 0.0, 1.2), number=0)
    for order in ([near, far], [far, near]):
        # 10 px left of and below the middle: off axes and numbers, within both squares.
        mixed = overlay(GREY, CAMERA, order)[2 * 70, 2 * 70].astype(float)
        tint = mixed - mixed.mean()
        by_near, by_far = (np.array(colour_of(k), dtype=float) for k in (1, 0))
        assert tint @ (by_near - by_near.mean()) > 0 > tint @ (by_far - by_far.mean())


def test_truth_is_outlined_in_white_where_it_is() -> None:
    truth = placed(box((0.4, 0.4, 0.1)), 0.0, 0.0, 1.05)
    picture = overlay(GREY, CAMERA, [], truth=[truth])
    # The front face, at 1 m, spans 120 * 0.2 = 24 px to each side of (80, 60).
    white = (picture == WHITE).all(axis=-1)
    rows, columns = np.nonzero(white)
    assert abs(columns.min() - 2 * (80 - 24)) <= 1
    assert abs(columns.max() - 2 * (80 + 24)) <= 1
    assert abs(rows.min() - 2 * (60 - 24)) <= 1
    assert not white[100:140, 130:190].any()


def test_an_object_without_estimate_is_boxed_in_its_colour() -> None:
    picture = overlay(GREY, CAMERA, [], missed=[Missed((30, 40, 90, 100), number=2)])
    assert tuple(picture[2 * 70, 2 * 30]) == colour_of(2)
    assert tuple(picture[2 * 100 - 1, 2 * 60]) == colour_of(2)
    assert (picture[2 * 60 : 2 * 95, 2 * 35 : 2 * 85] == 128).all()


def shown(picture: np.ndarray) -> np.ndarray:
    return (picture != 255).any(axis=-1)


def test_side_views_of_one_extent_have_one_scale() -> None:
    small, large = box((0.1, 0.1, 0.1)), box((0.2, 0.2, 0.2))
    extent = Extent.around([small, large])
    areas = [
        shown(side_view(mesh, Side(-60.0, 25.0), extent, colour=(90, 90, 90))).sum()
        for mesh in (small, large)
    ]
    assert 3.6 < areas[1] / areas[0] < 4.8  # four times, and a little more for being nearer


def test_side_view_holds_the_whole_mesh() -> None:
    mesh = box((0.3, 0.02, 0.2))
    for azimuth in range(0, 360, 45):
        picture = side_view(mesh, Side(float(azimuth), 25.0), Extent.around([mesh]), colour=(90, 90, 90))
        seen = shown(picture)
        assert seen.any()
        assert not (seen[0].any() or seen[-1].any() or seen[:, 0].any() or seen[:, -1].any())


def test_side_view_has_z_up_and_x_to_the_right_when_seen_from_the_front() -> None:
    frame = box((0.4, 0.4, 0.4))
    mark = box((0.05, 0.05, 0.05), (0.15, 0.0, 0.15))
    extent = Extent.around([mark, frame])

    def centroid(azimuth_deg: float) -> np.ndarray:
        picture = side_view(mark, Side(azimuth_deg, 0.0), extent, colour=(9, 9, 9), size_px=100)
        return np.argwhere(shown(picture)).mean(axis=0)

    row, column = centroid(-90.0)  # the camera at -y, looking along +y
    assert row < 45
    assert column > 55
    assert centroid(90.0)[1] < 45
