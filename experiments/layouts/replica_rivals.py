"""The baselines of a trained model: the untrained network, and a guess that ignores the image."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from crisp.data.layouts import open_dataset
from crisp.errors import ObjectFailure
from crisp.files import write_whole
from crisp.geometry.pose import random_rotation
from crisp.model import load_model
from crisp.networks.checkpoint import JSON_NAME, save_checkpoint
from crisp.networks.heads import TokenPncHead
from crisp.networks.model import build_network
from crisp.shape.mesh import extract_mesh, write_ply
from crisp.types import Mesh

SEED = 0
MEAN = "mean.ply"


def write_untrained(trained: Path, out: Path) -> None:
    """A checkpoint with the trained one's backbone, decoder and library, and randomly initialised heads.

    The heads' inputs are standardised as in training, where that is measured before the first step.
    """
    if (out / JSON_NAME).is_file():
        return
    model = load_model(trained, device="cpu")
    torch.manual_seed(SEED)
    network = build_network(model.network.config, model.network.backbone)
    network.decoder.load_state_dict(model.network.decoder.state_dict())
    fresh, learnt = network.pnc_head, model.network.pnc_head
    assert isinstance(fresh, TokenPncHead) and isinstance(learnt, TokenPncHead)
    fresh.token_norm.load_state_dict(learnt.token_norm.state_dict())
    fresh.cls_norm.load_state_dict(learnt.cls_norm.state_dict())
    save_checkpoint(out, network, replace(model.info, name="untrained"))


def write_baseline(root: Path, split: str, trained: Path, *, out: Path) -> None:
    """Predictions 'right centre, random rotation, mean shape' for every label of a split.

    The centre is the label's, the rotation uniform (seed 0), the shape that of the mean of all library codes.
    """
    if (out / "results.json").is_file():
        return
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    mesh = mean_shape(trained)
    if mesh is not None:
        write_ply(mesh, out / MEAN)
    dataset = open_dataset(root, split)
    labels = {key: dataset.instances(key) for key in dataset.keys}
    count = sum(map(len, labels.values()))
    turns = iter(random_rotation(count, torch.Generator().manual_seed(SEED)).numpy())
    frames = []
    for key, instances in labels.items():
        objects = []
        for place, instance in enumerate(instances):
            T = instance.T_camera_object.copy()
            T[:3, :3] = next(turns)
            shape = None if mesh is None else MEAN
            objects.append({"detection": place, "status": "ok", "T_camera_object": T.tolist(), "mesh": shape})
        frames.append({"frame_id": key.frame_id, "objects": objects})
    content = {"frames": frames, "settings": {"masks": "none"}, "model": {"name": "baseline"}}
    write_whole(out / "results.json", json.dumps(content, indent=1) + "\n")


def mean_shape(trained: Path) -> Mesh | None:
    """The surface of the mean of the library's codes; None where it has none."""
    model = load_model(trained, device="cpu")
    try:
        return extract_mesh(model.network.decoder, model.info.library.codes.mean(0))
    except ObjectFailure:
        return None
