"""PLY files keep a mesh as it is, and are whole or absent."""

import numpy as np
import pytest
import torch

from crisp.errors import InputError
from crisp.shape.mesh import MeshConfig, extract_mesh, read_ply, write_ply
from crisp.shape.sdf import AnalyticBox


def _mesh():
    return extract_mesh(AnalyticBox(), torch.tensor([0.1, 0.04, 0.15]), MeshConfig(resolution=24))


def test_round_trip(tmp_path):
    mesh, path = _mesh(), tmp_path / "meshes" / "box.ply"
    write_ply(mesh, path)
    again = read_ply(path)
    np.testing.assert_array_equal(again.vertices, mesh.vertices.astype(np.float32))
    np.testing.assert_array_equal(again.faces, mesh.faces)
    assert b"binary_little_endian" in path.read_bytes()[:100]
    assert [item.name for item in path.parent.iterdir()] == ["box.ply"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "box.ply"
    write_ply(_mesh(), path)
    before = path.read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(InputError, match="disk full"):
        write_ply(_mesh(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "meshes").write_text("")
    with pytest.raises(InputError, match=r"cannot write to the folder .*meshes \(File exists\)"):
        write_ply(_mesh(), tmp_path / "meshes" / "box.ply")


def test_unusable_files_are_named(tmp_path):
    with pytest.raises(InputError, match="no mesh file"):
        read_ply(tmp_path / "absent.ply")
    broken = tmp_path / "broken.ply"
    broken.write_bytes(b"not a mesh")
    with pytest.raises(InputError, match="not a PLY"):
        read_ply(broken)
    write_ply(_mesh(), broken)
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(InputError):
        read_ply(broken)
