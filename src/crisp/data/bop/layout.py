"""BOP's layout, our own format."""

from __future__ import annotations

from pathlib import Path

from crisp.data.bop.reader import BopDataset
from crisp.data.bop.writer import BopWriter
from crisp.data.layout import Layout, Writing


def _recognises(root: Path) -> bool:
    return any(any(root.glob(mark)) for mark in ("*/*/scene_camera.json", "*/*/rgb", "models*/*.ply"))


def _splits(root: Path) -> tuple[str, ...]:
    found = {path.parent.parent.name for path in (*root.glob("*/*/scene_camera.json"), *root.glob("*/*/rgb"))}
    return tuple(sorted(found))


LAYOUT = Layout(
    name="bop",
    title="BOP",
    marks="SPLIT/000001/scene_camera.json",
    recognises=_recognises,
    splits=_splits,
    reader=BopDataset,
    required={
        "scene_camera.json": (),
        "scene_gt.json": (),
        "scene_gt_info.json": (),
        "rgb": ("gray",),
        "depth": (),
        "mask_visib": ("mask",),
    },
    optional=frozenset({"scene_gt_info.json"}),
    writing=Writing(lambda root, split, models: BopWriter(root, split)),
)
