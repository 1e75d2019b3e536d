"""Small data sets in NOCS's and SPE3R's layouts: drawn objects before a wall, written by our writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from crisp.data.bop.writer import BopFrame, BopInstance
from crisp.data.nocs.files import Split, camera_of
from crisp.data.nocs.writer import NocsWriter
from crisp.data.spe3r.writer import Role, Spe3rWriter
from crisp.geometry.camera import Camera
from crisp.shape.raster import Posed, rasterise, smooth
from crisp.types import Mesh, ObjectModel, TexturedMesh

NOCS_SIZE = (160, 120)
SPE3R_CAMERA = Camera(np.array([[100.0, 0.0, 32.0], [0.0, 100.0, 32.0], [0.0, 0.0, 1.0]]), 64, 64)


def solid_model(name: str, kind: str, solid: trimesh.Trimesh) -> ObjectModel:
    vertices, faces = np.array(solid.vertices, dtype=np.float64), np.array(solid.faces, dtype=np.int64)
    surface = TexturedMesh(
        vertices, faces, np.full((len(vertices), 2), 0.5), np.full((1, 1, 3), 99, np.uint8)
    )
    return ObjectModel(name, kind, Mesh(vertices, faces), surface)


def notched(extents: tuple[float, float, float]) -> trimesh.Trimesh:
    """A box with a smaller one on its top, off the middle: no turn leaves it as it is."""
    box, knob = trimesh.creation.box(extents), trimesh.creation.box(np.array(extents) / 3)
    knob.apply_translation([extents[0] / 3, extents[1] / 4, extents[2] / 2])
    return trimesh.util.concatenate([box, knob])


def nocs_models() -> dict[int, ObjectModel]:
    """A mug, a can, and a thing of no category; the mug's box is not about its origin."""
    moved = notched((0.09, 0.06, 0.12))
    moved.apply_translation([0.02, -0.01, 0.03])
    return {
        1: solid_model("mug_square", "mug", moved),
        2: solid_model("tin", "can", trimesh.creation.cylinder(0.035, 0.1, sections=32)),
        3: solid_model("brick", "brick", trimesh.creation.box((0.1, 0.05, 0.05))),
    }


def drawn(
    models: dict[int, ObjectModel], camera: Camera, im_id: int, *, seed: int, wall_m: float | None
) -> BopFrame:
    """All models side by side; masks and depth are exact."""
    rng = np.random.default_rng(seed)
    posed = []
    for place, model in enumerate(models.values()):
        T = np.eye(4)
        T[:3, :3] = Rotation.random(random_state=100 * seed + place).as_matrix()
        T[:3, 3] = [0.16 * (place - (len(models) - 1) / 2), rng.uniform(-0.02, 0.02), rng.uniform(0.55, 0.65)]
        posed.append(Posed(smooth(model.mesh), T))
    seen = rasterise(posed, camera)
    background = 0.0 if wall_m is None else wall_m
    instances = tuple(
        BopInstance(object_id, p.T_camera_object, rasterise([p], camera).owner == 0, seen.owner == place)
        for place, (object_id, p) in enumerate(zip(models, posed, strict=True))
    )
    rgb = rng.integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
    rgb[:] = np.where(seen.owner[..., None] >= 0, 40 + 60 * seen.owner[..., None], rgb[:1, :1]).astype(
        np.uint8
    )
    depth_m = np.where(np.isfinite(seen.depth_m), seen.depth_m, background).astype(np.float32)
    return BopFrame(im_id, rgb, depth_m, camera, instances)


def write_nocs(root: Path, split: Split, *, frames: int = 2) -> list[BopFrame]:
    """One scene of it; what was written is handed back."""
    models = nocs_models()
    camera = camera_of(split, NOCS_SIZE)
    made = [drawn(models, camera, i, seed=7 + i, wall_m=0.9) for i in range(frames)]
    writer = NocsWriter(root, split, models)
    writer.write_models([m for m in models.values() if m.kind in ("mug", "can")])
    writer.write_scene(0, made)
    return made


def satellites() -> dict[str, ObjectModel]:
    return {
        "probe": solid_model("probe", "satellite", notched((0.2, 0.1, 0.08))),
        "relay": solid_model("relay", "satellite", notched((0.1, 0.1, 0.15))),
    }


def write_spe3r(root: Path, *, roles: tuple[Role, Role] = ("train", "test")) -> dict[str, list[BopFrame]]:
    """Two satellites, of images 1 and 401 (which is for validation where the satellite is for training)."""
    models = satellites()
    writer = Spe3rWriter(root, dict(zip(models, roles, strict=True)))
    writer.write_set(SPE3R_CAMERA)
    made = {}
    for place, (name, model) in enumerate(models.items()):
        made[name] = [drawn({1: model}, SPE3R_CAMERA, i, seed=10 * place + i, wall_m=None) for i in (1, 401)]
        writer.write_satellite(model, made[name])
    return made
