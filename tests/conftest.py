"""Small worlds that several rooms test in: a labelled set of two objects, a network with a known answer."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from lightning_fabric import Fabric
from scipy.spatial.transform import Rotation
from tiny_network import build_tiny

from crisp.data.bop.writer import BopFrame, BopInstance, BopWriter
from crisp.geometry.camera import Camera
from crisp.model import BACKBONE, Model, load_model, training_backbone
from crisp.networks.backbone import Backbone
from crisp.networks.checkpoint import CheckpointInfo, save_checkpoint
from crisp.networks.config import preset
from crisp.networks.heads import TokenPncHead, neutral_code
from crisp.networks.model import CrispNetwork, build_network
from crisp.shape.library import ShapeLibrary
from crisp.shape.raster import Posed, rasterise, smooth
from crisp.types import Mesh, ObjectModel, Symmetries, TexturedMesh

# Tensors here are small: a second thread waits more than it works, and on a busy machine, where it waits by
# spinning, the suite takes several times as long. Sums have one order besides. The variable is for processes
# that tests start.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

SMALL_CAMERA = Camera(np.array([[110.0, 0, 48], [0, 110.0, 36], [0, 0, 1]]), width=96, height=72)
ABOUT_Z = Symmetries(continuous=((np.array([0.0, 0.0, 1.0]), np.zeros(3)),))


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    """The backbone that ships with the package."""
    return training_backbone("bundled", preset_name="small")


@pytest.fixture(scope="session")
def bop_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of two frames: a brick and a can before a wall, coloured by their own coordinates."""
    root = tmp_path_factory.mktemp("bop") / "tiny"
    models = (
        object_model("brick", trimesh.creation.box((0.10, 0.06, 0.04)), Symmetries()),
        object_model("can", trimesh.creation.cylinder(0.03, 0.08, sections=24), ABOUT_Z),
    )
    writer = BopWriter(root, "train")
    writer.write_models(models)
    for scene_id in range(3):
        writer.write_scene(
            scene_id, [labelled_frame(models, im_id, 10 * scene_id + im_id) for im_id in (0, 1)]
        )
    return root


def object_model(name: str, solid: trimesh.Trimesh, symmetries: Symmetries) -> ObjectModel:
    vertices, faces = np.array(solid.vertices), np.array(solid.faces)
    grey = np.full((1, 1, 3), 128, np.uint8)
    surface = TexturedMesh(vertices, faces, np.full((len(vertices), 2), 0.5), grey)
    return ObjectModel(name, name, Mesh(vertices, faces), surface, symmetries)


def labelled_frame(models: tuple[ObjectModel, ...], im_id: int, seed: int) -> BopFrame:
    rng = np.random.default_rng(seed)
    posed = []
    for index, model in enumerate(models):
        T = np.eye(4)
        T[:3, :3] = Rotation.random(random_state=100 * seed + index).as_matrix()
        T[:3, 3] = [0.13 * index - 0.06, rng.uniform(-0.03, 0.03), rng.uniform(0.35, 0.42)]
        posed.append(Posed(smooth(model.mesh), T))
    seen = rasterise(posed, SMALL_CAMERA)
    depth_m = np.where(np.isfinite(seen.depth_m), seen.depth_m, 0.6).astype(np.float32)
    rgb = rng.integers(90, 110, (72, 96, 3), dtype=np.uint8)
    points_camera = SMALL_CAMERA.backproject(depth_m)
    instances = []
    for index, item in enumerate(posed):
        visible = seen.owner == index
        T = item.T_camera_object
        points_object = (points_camera[visible] - T[:3, 3]) @ T[:3, :3]
        rgb[visible] = np.clip(255 * (points_object / 0.12 + 0.5), 0, 255).astype(np.uint8)
        whole = rasterise([item], SMALL_CAMERA).owner == 0
        instances.append(BopInstance(index + 1, T, whole, visible))
    return BopFrame(im_id, rgb, depth_m, SMALL_CAMERA, tuple(instances))


@pytest.fixture(scope="session")
def flat_checkpoint(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a known answer: every crop is a square of 0.1 m, seen from the front.

    Its coordinates run linearly over the crop, X to the right and Y down, and Z is 0; its shape is a sphere.
    """
    network = build_network(preset("small"), backbone)
    draw_flat_square(network, side_m=0.1)
    draw_sphere(network, radius_m=0.03)
    library = ShapeLibrary(
        names=("square",),
        object_ids=(1,),
        codes=neutral_code(5, 256)[None],
        diameters_m=torch.tensor([0.06]),
    )
    info = CheckpointInfo("flat", library, kinds=("square",), symmetries=(Symmetries(),))
    folder = tmp_path_factory.mktemp("weights") / "flat"
    save_checkpoint(folder, network, info, dtype="float32", backbone_file=BACKBONE)
    return folder


@pytest.fixture(scope="session")
def flat_model(flat_checkpoint: Path) -> Model:
    return load_model(flat_checkpoint, device="cpu")


@torch.no_grad()
def draw_flat_square(network: CrispNetwork, *, side_m: float) -> None:
    """All that the head knows is each token's place: row and column come through GELU (x for x >= 10)."""
    head = network.pnc_head
    assert isinstance(head, TokenPncHead) and head.row is not None and head.column is not None
    for parameter in head.parameters():
        parameter.zero_()
    tokens, pixels = head.tokens_per_side, head.pixels_per_token
    head.column[:, 0] = 10 + torch.arange(tokens)
    head.row[:, 1] = 10 + torch.arange(tokens)
    unit = side_m / head.pnc_unit_m
    weight = head.out.weight.view(pixels, pixels, 3, -1)
    bias = head.out.bias.view(pixels, pixels, 3)
    within = (torch.arange(pixels) + 0.5) / pixels - 10  # of a token's side; minus 10 undoes the shift
    for axis in (0, 1):
        weight[:, :, axis, axis] = unit / tokens
        along = within[None, :] if axis == 0 else within[:, None]
        bias[:, :, axis] = unit * (along / tokens - 0.5)


@torch.no_grad()
def draw_sphere(network: CrispNetwork, *, radius_m: float) -> None:
    """(|z|^2 - r^2) / 2r out of cosines: 1 - cos(e x) = e^2 x^2 / 2 for small e, whatever the code."""
    decoder, e, thin = network.decoder, 0.1, 0.01
    for part in (decoder, network.shape_head.out):
        for parameter in part.parameters():
            parameter.zero_()
    network.shape_head.out.bias.copy_(neutral_code(len(decoder.layers), decoder.width))
    first, *others = decoder.layers
    first.weight[:3, :3] = e * torch.eye(3)
    first.bias[:3] = torch.pi / 2
    # sin(thin u) is thin u: the others hand the three cosines less one on, thinner and thinner.
    for number, layer in enumerate(others):
        layer.weight[:3, :3] = thin * torch.eye(3) if number == 0 else torch.eye(3)
        layer.bias[:3] = -thin if number == 0 else 0.0
    r = radius_m / decoder.cube_half_m
    decoder.out.weight[0, :3] = -2 / (e * e * thin * 2 * r)
    decoder.out.bias[0] = -r / 2


@pytest.fixture
def tiny_network() -> CrispNetwork:
    return build_tiny()


@pytest.fixture(scope="session")
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)
