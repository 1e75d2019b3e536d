"""The bundled YCB model knows its 21 objects: by name, by shape and by size. (How well it finds them is an
experiment's to say: the meshes and the frames for that are not here.)"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scripts.ycb_symmetries import declared

from crisp.certify.certificate import UNCALIBRATED
from crisp.errors import InputError
from crisp.geometry.points import diameter
from crisp.model import BACKBONE, Model, load_model
from crisp.shape.mesh import MeshConfig, extract_meshes
from crisp.shipped import WEIGHTS
from crisp.types import Mesh

SYMMETRIC = {
    "002_master_chef_can",
    "024_bowl",
    "036_wood_block",
    "040_large_marker",
    "051_large_clamp",
    "052_extra_large_clamp",
    "061_foam_brick",
}


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("ycbv-small", device="cpu")


def test_its_objects_are_those_of_ycb_video_in_bops_order(model: Model) -> None:
    library = model.info.library
    assert library.object_ids == tuple(range(1, 22))
    assert list(library.names) == sorted(library.names)
    assert (library.names[0], library.names[-1]) == ("002_master_chef_can", "061_foam_brick")
    pairs = zip(library.names, model.info.symmetries, strict=True)
    assert {name for name, symmetries in pairs if not symmetries.none} == SYMMETRIC


def test_it_shares_the_backbone_with_the_other_model() -> None:
    for name in ("small", "ycbv-small"):
        files = json.loads((WEIGHTS / name / "checkpoint.json").read_text())["files"]
        assert (WEIGHTS / name / files["backbone"]["path"]).resolve() == BACKBONE.resolve()


def test_its_certificate_is_calibrated(model: Model) -> None:
    assert model.certificate is not None
    assert not model.certificate.calibration.startswith(UNCALIBRATED)


def test_every_library_code_is_a_shape_of_the_objects_size_and_has_its_name(model: Model) -> None:
    library = model.info.library
    meshes = extract_meshes(model.network.decoder, library.codes, MeshConfig(resolution=112))
    assert all(isinstance(mesh, Mesh) for mesh in meshes)
    sizes = np.array([diameter(mesh.vertices) for mesh in meshes if isinstance(mesh, Mesh)])
    np.testing.assert_allclose(sizes, library.diameters_m.numpy(), rtol=0.06)
    assert library.labels(library.codes) == list(library.names)


def test_a_blend_has_a_name_where_it_is_mostly_one_object(model: Model) -> None:
    library = model.info.library
    distances = torch.cdist(library.codes, library.codes).fill_diagonal_(torch.inf)
    others = library.codes[distances.argmin(dim=1)]
    assert library.labels(torch.lerp(library.codes, others, 0.45)) == list(library.names)
    further = zip(library.labels(torch.lerp(library.codes, others, 0.55)), library.names, strict=True)
    assert all(label != name for label, name in further)


def boxes(folder: Path, count: int) -> dict[str, dict[str, object]]:
    """Meshes of rising length, and what BOP would say of them."""
    for number in range(1, count + 1):
        trimesh.creation.box((0.05, 0.06, 0.1 + 0.01 * number)).export(folder / f"{number:03d}_box.ply")
    sizes = {str(n): {"size_x": 50.0, "size_y": 60.0, "size_z": 100.0 + 10 * n} for n in range(1, count + 1)}
    return sizes | {"3": sizes["3"] | {"symmetries_discrete": [np.eye(4).ravel().tolist()]}}


def test_symmetries_are_declared_by_the_meshes_names(tmp_path: Path) -> None:
    known = boxes(tmp_path, 21)
    entries = declared(tmp_path, known)
    assert list(entries) == [f"{number:03d}_box" for number in range(1, 22)]
    assert "symmetries_discrete" in entries["003_box"] and entries["021_box"] == known["21"]


def test_meshes_in_another_order_or_number_are_refused(tmp_path: Path) -> None:
    known = boxes(tmp_path, 21)
    with pytest.raises(InputError, match=r"004_box\.ply is .* object 4 should be"):
        declared(tmp_path, known | {"4": known["9"]})
    (tmp_path / "021_box.ply").unlink()
    with pytest.raises(InputError, match="holds 20 meshes"):
        declared(tmp_path, known)
