"""Mesh files of several kinds, made by hand where a library's own round trip would prove nothing."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from crisp.data.mesh_files import read_model, read_models
from crisp.errors import InputError
from crisp.types import ObjectModel

SIZE_M = (0.1, 0.2, 0.3)


def colour_at(model: ObjectModel, corner: np.ndarray) -> np.ndarray:
    """The texture's colour at the surface's vertex nearest to a place."""
    surface = model.surface
    u, v = surface.uv[np.linalg.norm(surface.vertices - corner, axis=1).argmin()]
    height, width = surface.texture.shape[:2]
    return surface.texture[min(int((1 - v) * height), height - 1), min(int(u * width), width - 1)]


def glb(path: Path, solid: trimesh.Trimesh, uv: np.ndarray, image: np.ndarray) -> None:
    """A glTF file written from its specification: in TEXCOORD_0, (0, 0) is the image's upper left corner."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    picture = buffer.getvalue() + b"\0" * (-buffer.tell() % 4)
    chunks = [
        np.asarray(solid.vertices, dtype="<f4").tobytes(),
        uv.astype("<f4").tobytes(),
        solid.faces.astype("<u4").tobytes(),
        picture,
    ]
    starts = np.cumsum([0, *map(len, chunks)])
    count = len(solid.vertices)
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}]}
        ],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": 3, "mimeType": "image/png"}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": count, "type": "VEC3",
             "min": solid.vertices.min(0).tolist(), "max": solid.vertices.max(0).tolist()},
            {"bufferView": 1, "componentType": 5126, "count": count, "type": "VEC2"},
            {"bufferView": 2, "componentType": 5125, "count": int(solid.faces.size), "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": int(start), "byteLength": len(chunk)}
            for start, chunk in zip(starts, chunks, strict=False)
        ],
        "buffers": [{"byteLength": int(starts[-1])}],
    }  # fmt: skip
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    body += struct.pack("<II", int(starts[-1]), 0x004E4942) + b"".join(chunks)
    path.write_bytes(struct.pack("<III", 0x46546C67, 2, 12 + len(body)) + body)


def test_glb_texture_is_read_with_its_first_row_on_top(tmp_path: Path) -> None:
    solid = trimesh.creation.box(SIZE_M)
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[:4], image[4:] = (250, 0, 0), (0, 0, 250)
    top = (solid.vertices[:, 2] > 0).astype(float)
    uv = np.stack([np.full(8, 0.5), 0.9 - 0.8 * top], axis=1)  # glTF: small v is high in the image
    glb(tmp_path / "Crate.glb", solid, uv, image)
    model = read_model(tmp_path / "Crate.glb")
    assert model.name == "crate"
    assert colour_at(model, np.array([0.05, 0.1, 0.15])).tolist() == [250, 0, 0]
    assert colour_at(model, np.array([0.05, 0.1, -0.15])).tolist() == [0, 0, 250]


def test_obj_texture_is_read_with_its_first_row_on_top(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[:4], image[4:] = (250, 0, 0), (0, 0, 250)
    Image.fromarray(image).save(tmp_path / "crate.png")
    (tmp_path / "crate.mtl").write_text("newmtl m\nmap_Kd crate.png\n")
    solid = trimesh.creation.box(SIZE_M)
    lines = ["mtllib crate.mtl", "usemtl m", "vt 0.5 0.1", "vt 0.5 0.9"]  # OBJ: large v is high in the image
    lines += [f"v {x} {y} {z}" for x, y, z in solid.vertices]
    high = solid.vertices[:, 2] > 0
    lines += ["f " + " ".join(f"{i + 1}/{2 if high[i] else 1}" for i in face) for face in solid.faces]
    (tmp_path / "crate.obj").write_text("\n".join(lines))
    model = read_model(tmp_path / "crate.obj")
    assert len(model.mesh.vertices) == 8
    assert colour_at(model, np.array([0.05, 0.1, 0.15])).tolist() == [250, 0, 0]
    assert colour_at(model, np.array([0.05, 0.1, -0.15])).tolist() == [0, 0, 250]


def test_vertex_colours_run_linearly_over_each_face(tmp_path: Path) -> None:
    solid = trimesh.creation.box(SIZE_M)
    red = np.where(solid.vertices[:, 0] > 0, 200, 0)
    colours = np.stack([red, np.full(8, 60), np.zeros(8), np.full(8, 255)], axis=1).astype(np.uint8)
    solid.visual = trimesh.visual.ColorVisuals(solid, vertex_colors=colours)
    solid.export(tmp_path / "crate.ply")
    surface = read_model(tmp_path / "crate.ply").surface
    corners, uv = surface.vertices[surface.faces], surface.uv[surface.faces]
    # Half way between corners 1 and 2 of each face, texels are sampled exactly: between two of 3x3.
    x, (u, v) = corners[:, 1:, 0].mean(axis=1), uv[:, 1:].mean(axis=1).T
    height, width = surface.texture.shape[:2]
    found = surface.texture[((1 - v) * height).astype(int), (u * width).astype(int)]
    np.testing.assert_allclose(found[:, 0], 100 + 100 * x / 0.05, atol=1)
    assert (found[:, 1] == 60).all()


def test_parts_keep_their_own_colours(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    for x, colour in ((0.0, (240, 0, 0, 255)), (0.3, (0, 240, 0, 255))):
        part = trimesh.creation.box(
            (0.1, 0.1, 0.1), transform=trimesh.transformations.translation_matrix([x, 0, 0])
        )
        part.visual = trimesh.visual.ColorVisuals(
            part, face_colors=np.tile(np.array(colour, np.uint8), (12, 1))
        )
        scene.add_geometry(part)
    scene.export(tmp_path / "pair.glb")
    model = read_model(tmp_path / "pair.glb")
    assert np.ptp(model.mesh.vertices[:, 0]) == pytest.approx(0.4)
    assert colour_at(model, np.array([-0.05, 0.05, 0.05])).argmax() == 0
    assert colour_at(model, np.array([0.35, 0.05, 0.05])).argmax() == 1


def test_a_mesh_that_is_inside_out_is_turned(tmp_path: Path) -> None:
    solid = trimesh.creation.box(SIZE_M)
    solid.invert()
    solid.export(tmp_path / "crate.ply")
    model = read_model(tmp_path / "crate.ply")
    for vertices, faces in (
        (model.mesh.vertices, model.mesh.faces),
        (model.surface.vertices, model.surface.faces),
    ):
        assert trimesh.Trimesh(vertices, faces, process=False).volume == pytest.approx(
            0.1 * 0.2 * 0.3, rel=1e-5
        )


def test_a_box_that_lies_askew_in_its_file_rests_on_its_largest_side_first(tmp_path: Path) -> None:
    askew = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3])
    trimesh.creation.box(SIZE_M).apply_transform(askew).export(tmp_path / "crate.ply")
    model = read_model(tmp_path / "crate.ply")
    for rotation in model.rest:
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(rotation) == pytest.approx(1.0)
    heights = [np.ptp(model.mesh.vertices @ rotation.T, axis=0)[2] for rotation in model.rest]
    assert heights[0] == pytest.approx(0.1, rel=1e-4)


def test_a_mesh_that_stands_in_its_file_usually_stands(tmp_path: Path) -> None:
    trimesh.creation.box(SIZE_M).export(tmp_path / "crate.ply")
    rest = read_model(tmp_path / "crate.ply").rest
    assert rest[0][2, 2] == pytest.approx(1.0)
    assert len(rest) > 1


def test_millimetres_are_refused_until_they_are_declared(tmp_path: Path) -> None:
    trimesh.creation.box((100.0, 200.0, 300.0)).export(tmp_path / "crate.ply")
    with pytest.raises(InputError, match=r"crate\.ply is 374\.2 m across"):
        read_model(tmp_path / "crate.ply")
    model = read_model(tmp_path / "crate.ply", unit_m=0.001)
    np.testing.assert_allclose(np.ptp(model.mesh.vertices, axis=0), SIZE_M, rtol=1e-6)


def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path) -> None:
    solid = trimesh.creation.box(SIZE_M)
    trimesh.Trimesh(solid.vertices, solid.faces[:-1], process=False).export(tmp_path / "open.ply")
    with pytest.raises(InputError, match=r"open\.ply is not watertight"):
        read_model(tmp_path / "open.ply")
    trimesh.PointCloud(solid.vertices).export(tmp_path / "points.ply")
    with pytest.raises(InputError, match=r"points\.ply has no faces"):
        read_model(tmp_path / "points.ply")
    sheet = np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0, 0.1, 0]])
    flattened = [[0, 2, 1], [0, 3, 2], [0, 1, 3], [1, 2, 3]]  # a tetrahedron, pressed flat
    trimesh.Trimesh(sheet, flattened, process=False).export(tmp_path / "sheet.ply")
    with pytest.raises(InputError, match=r"sheet\.ply encloses no volume"):
        read_model(tmp_path / "sheet.ply")
    (tmp_path / "broken.glb").write_bytes(b"glTF is not this")
    with pytest.raises(InputError, match=r"broken\.glb cannot be read"):
        read_model(tmp_path / "broken.glb")
    with pytest.raises(InputError, match=r"none\.obj does not exist"):
        read_model(tmp_path / "none.obj")


def test_a_folder_gives_its_meshes_in_order_of_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no mesh"):
        read_models(tmp_path)
    for name in ("b.ply", "a.obj", "note.txt"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("not a mesh")
        else:
            trimesh.creation.box(SIZE_M).export(tmp_path / name)
    assert [model.name for model in read_models(tmp_path)] == ["a", "b"]
    trimesh.creation.box(SIZE_M).export(tmp_path / "A.ply")
    with pytest.raises(InputError, match="two meshes named a"):
        read_models(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        read_models(tmp_path / "nowhere")


def test_symmetries_are_declared_beside_the_meshes(tmp_path: Path) -> None:
    """A half turn about z whose axis is 10 mm off the origin in x: it moves the origin by 20 mm."""
    for name in ("Box.ply", "crate.ply"):
        trimesh.creation.box(SIZE_M).export(tmp_path / name)
    turned = [-1, 0, 0, 20, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    info = tmp_path / "models_info.json"
    info.write_text(json.dumps({"Box": {"diameter": 374.2, "symmetries_discrete": [turned]}}))
    box, crate = read_models(tmp_path)
    (T,) = box.symmetries.discrete
    np.testing.assert_allclose(T, [[-1, 0, 0, 0.02], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert crate.symmetries.none
    info.write_text(json.dumps({"bottle": {}}))
    with pytest.raises(InputError, match=r"models_info\.json declares bottle, which is no mesh there"):
        read_models(tmp_path)
    info.write_text(json.dumps({"crate": [1]}))
    with pytest.raises(InputError, match=r"crate in .*models_info\.json must be an object"):
        read_models(tmp_path)
