"""A labelled set with depth, written by hand: a box, cans and a bottle, and predictions of known error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from crisp.data.bop.writer import BopFrame, BopInstance, BopWriter
from crisp.geometry.camera import Camera
from crisp.shape.mesh import write_ply
from crisp.shape.raster import Posed, rasterise, smooth
from crisp.types import Mesh, ObjectModel, Symmetries, TexturedMesh

CAMERA = Camera(np.array([[300.0, 0, 96], [0, 300.0, 72], [0, 0, 1]]), 192, 144)
ABOUT_Z = Symmetries(continuous=((np.array([0.0, 0.0, 1.0]), np.zeros(3)),))


def _mesh(solid: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(solid.vertices, dtype=np.float64), np.asarray(solid.faces, dtype=np.int64))


BOX = _mesh(trimesh.creation.box((0.1, 0.06, 0.04)))
CAN = _mesh(trimesh.creation.cylinder(radius=0.03, height=0.1, sections=64))
BOTTLE = _mesh(trimesh.creation.cone(radius=0.03, height=0.12, sections=64))
MESHES = {1: BOX, 2: CAN, 3: BOTTLE}


def motion(rotvec_deg: tuple[float, float, float] = (0, 0, 0), t: tuple[float, float, float] = (0, 0, 0)):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotvec_deg, degrees=True).as_matrix()
    T[:3, 3] = t
    return T


# Two cans in the first frame: BOP and NOCS must tell which estimate is whose.
LABELS: dict[int, list[tuple[int, np.ndarray]]] = {
    0: [
        (1, motion((17, -28, 40), (-0.12, 0.0, 0.7))),
        (2, motion((70, 10, 0), (0.0, 0.0, 0.75))),
        (2, motion((100, -20, 30), (0.13, 0.02, 0.72))),
    ],
    1: [
        (3, motion((80, 0, 10), (0.08, 0.0, 0.7))),
        (1, motion((-40, 30, 20), (-0.08, 0.01, 0.65))),
    ],
}


def write_set(folder: Path) -> Path:
    """Frames with the depth of the models themselves, so that the truth is what the camera measured."""
    writer = BopWriter(folder / "shelf", "test")
    kinds = {1: ("box_red", "box"), 2: ("can_blue", "can"), 3: ("bottle_green", "bottle")}
    writer.write_models([_model(*kinds[i], MESHES[i], ABOUT_Z if i > 1 else Symmetries()) for i in MESHES])
    writer.write_scene(1, (_frame(im_id, labels) for im_id, labels in LABELS.items()))
    return folder / "shelf"


def _model(name: str, kind: str, mesh: Mesh, symmetries: Symmetries) -> ObjectModel:
    texture = np.full((1, 1, 3), 128, dtype=np.uint8)
    looks = TexturedMesh(mesh.vertices, mesh.faces, np.zeros((len(mesh.vertices), 2)), texture)
    return ObjectModel(name, kind, mesh, looks, symmetries)


def _frame(im_id: int, labels: list[tuple[int, np.ndarray]]) -> BopFrame:
    posed = [Posed(smooth(MESHES[object_id]), T) for object_id, T in labels]
    seen = rasterise(posed, CAMERA)
    depth = np.where(np.isfinite(seen.depth_m), seen.depth_m, 1.2).astype(np.float32)
    instances = tuple(
        BopInstance(object_id, T, rasterise([posed[k]], CAMERA).owner == 0, seen.owner == k)
        for k, (object_id, T) in enumerate(labels)
    )
    return BopFrame(im_id, np.full((*depth.shape, 3), 90, dtype=np.uint8), depth, CAMERA, instances)


def entry(detection: int, T: np.ndarray, mesh: str, *, confidence: float = 0.5) -> dict[str, Any]:
    """One object of results.json."""
    return {
        "detection": detection,
        "status": "ok",
        "T_camera_object": T.tolist(),
        "mesh": f"meshes/{mesh}.ply",
        "inlier_share": confidence,
        "timing_ms": {"network": 200.0},
    }


def failed(detection: int) -> dict[str, Any]:
    return {"detection": detection, "status": "mask_empty", "message": "the mask is empty."}


def truth() -> dict[str, list[dict[str, Any]]]:
    """The labels as predictions."""
    names = {1: "box", 2: "can", 3: "bottle"}
    return {
        f"000001/{im_id:06d}": [
            entry(k, T, names[object_id], confidence=0.9 - 0.1 * k) for k, (object_id, T) in enumerate(labels)
        ]
        for im_id, labels in LABELS.items()
    }


def write_predictions(
    folder: Path, frames: dict[str, list[dict[str, Any]]], *, meshes: dict[str, Mesh] | None = None
) -> Path:
    """`results.json` and the meshes; those of the truth unless others are given."""
    for name, mesh in ({"box": BOX, "can": CAN, "bottle": BOTTLE} | (meshes or {})).items():
        write_ply(mesh, folder / "meshes" / f"{name}.ply")
    content = {
        "model": {"name": "made by hand"},
        "settings": {},
        "frames": [{"frame_id": name, "objects": objects} for name, objects in frames.items()],
    }
    (folder / "results.json").write_text(json.dumps(content))
    return folder
