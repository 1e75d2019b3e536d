"""BOP sets: what the writer puts on disk, and what it refuses to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from small_set import CAMERA, H, W, bop_frame

from crisp.data.bop.reader import BopDataset, FrameKey
from crisp.data.bop.writer import BopFrame, BopWriter
from crisp.errors import InputError
from crisp.geometry.camera import Camera


def test_vertex_colours_are_sampled_from_the_texture(root: Path) -> None:
    mesh = trimesh.load_mesh(root / "models" / "obj_000001.ply", process=False)
    colours = np.asarray(mesh.visual.vertex_colors)[:, :3]
    left, upper = mesh.vertices[:, 0] < 0, mesh.vertices[:, 2] > 0
    assert (colours[left & upper] == (255, 0, 0)).all()
    assert (colours[~left & upper] == (0, 0, 255)).all()
    assert (colours[left & ~upper] == (200, 0, 0)).all()


def test_label_information_counts_pixels(scene: Path) -> None:
    first, second = json.loads((scene / "scene_gt_info.json").read_text())["11"]
    # The mask spans columns 2 to 7 and rows 3 to 6: 6 x 4; its upper two rows are visible;
    # depth is missing in columns 0 to 3, which takes 2 x 4 of the 24 pixels.
    assert first["bbox_obj"] == [2, 3, 6, 4]
    assert first["bbox_visib"] == [2, 3, 6, 2]
    assert (first["px_count_all"], first["px_count_visib"], first["px_count_valid"]) == (24, 12, 16)
    assert first["visib_fract"] == 0.5
    assert second["bbox_visib"] == [-1, -1, -1, -1]
    assert second["visib_fract"] == 0.0


def test_depth_beyond_sixteen_bits_is_written_as_no_value(tmp_path: Path) -> None:
    depth_m = np.full((H, W), 0.5, np.float32)
    depth_m[0, :3] = (6.5535, 6.5537, 100.0)  # 65535, 65537 and a million steps of 0.1 mm
    frame = BopFrame(0, np.zeros((H, W, 3), np.uint8), depth_m, CAMERA, ())
    BopWriter(tmp_path, "train").write_scene(0, [frame])
    raw = np.asarray(Image.open(tmp_path / "train" / "000000" / "depth" / "000000.png"))
    assert raw[0, :4].tolist() == [65535, 0, 0, 5000]


def test_the_depth_scale_is_the_writers(tmp_path: Path) -> None:
    BopWriter(tmp_path, "train", depth_scale=1.0).write_scene(0, [bop_frame(0)])
    depth_m = BopDataset(tmp_path, "train").load_frame(FrameKey(0, 0)).depth_m
    assert np.allclose(depth_m * 1000, np.rint(bop_frame(0).depth_m * 1000), atol=1e-3)


def test_a_scene_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken_off() -> Iterator[BopFrame]:
        yield bop_frame(0)
        raise KeyboardInterrupt

    writer = BopWriter(tmp_path, "train")
    writer.write_scene(0, [bop_frame(0)])
    with pytest.raises(KeyboardInterrupt):
        writer.write_scene(1, broken_off())
    assert writer.has_scene(0)
    assert not writer.has_scene(1)
    assert BopDataset(tmp_path, "train").scene_ids == (0,)
    writer.write_scene(1, [bop_frame(5)])  # and what was left of it is not in the way, nor in the scene
    assert BopDataset(tmp_path, "train").keys == (FrameKey(0, 0), FrameKey(1, 5))
    assert [path.name for path in (tmp_path / "train" / "000001" / "rgb").iterdir()] == ["000005.png"]


def test_the_writer_refuses(root: Path) -> None:
    writer = BopWriter(root, "train")
    with pytest.raises(InputError, match="000002 is there already: delete it"):
        writer.write_scene(2, [bop_frame(0)])
    with pytest.raises(InputError, match="two frames have the id 3"):
        writer.write_scene(3, [bop_frame(3), bop_frame(3)])
    assert not writer.has_scene(3)
    with pytest.raises(InputError, match="depth_scale must be a positive number"):
        BopWriter(root, "train", depth_scale=0.0)
    whole = bop_frame(0)
    with pytest.raises(InputError, match="frame 0: depth holds NaN"):
        BopFrame(0, whole.rgb, np.full((H, W), np.nan, np.float32), CAMERA, ())
    with pytest.raises(InputError, match="must all be of the camera's size"):
        BopFrame(0, whole.rgb, whole.depth_m, Camera(CAMERA.K, W + 1, H), ())
