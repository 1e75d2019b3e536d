"""Figure 13 of the paper: objects as pictures, with their estimates drawn over them, and as meshes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from crisp.data.dataset import Dataset, FrameKey
from crisp.errors import InputError, needing
from crisp.evaluate.paper.curves import save_whole
from crisp.evaluate.predictions import PredictedObject, Predictions, frames_of
from crisp.geometry.camera import Camera
from crisp.output.drawing import Drawn, Extent, Side, colour_of, overlay, side_view
from crisp.shape.raster import Posed, smooth
from crisp.types import Mesh

SCALE = 2
MARGIN = 0.25  # of the object's extent, on each side
SIDE = Side(azimuth_deg=-60.0, elevation_deg=25.0)
TITLES = ("picture", "estimate", "mesh")
MESH_PX = 320
NEAR_M = 0.01
Picture = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, eq=False)
class Shown:
    """One object to show."""

    key: FrameKey
    predicted: PredictedObject
    T: Float[np.ndarray, "4 4"]
    mesh: Mesh


def draw_gallery(predictions: Predictions, dataset: Dataset, path: Path, *, rows: int = 6) -> None:
    """Draw `rows` estimated objects, evenly spread over the predictions, into a PNG.

    Args:
        dataset: for the pictures; labels are not needed.

    Raises:
        InputError: fewer than one row, no object with an estimate, or predictions of another data set.
    """
    if rows < 1:
        raise InputError(f"a grid needs at least one row, got {rows}.")
    chosen = _chosen(predictions, dataset, rows)
    with needing("report"):
        from matplotlib.figure import Figure

    picture = Figure(figsize=(6, 2 * len(chosen)), layout="constrained")
    grid = picture.subplots(len(chosen), len(TITLES), squeeze=False)
    for row, shown in zip(grid, chosen, strict=True):
        for axes, image in zip(row, _pictures(shown, dataset), strict=True):
            axes.imshow(image)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{shown.key.frame_id}\nobject {shown.predicted.detection}", fontsize=7)
    for axes, title in zip(grid[0], TITLES, strict=True):
        axes.set_title(title, fontsize=9)
    save_whole(picture, path)


def _chosen(predictions: Predictions, dataset: Dataset, rows: int) -> list[Shown]:
    known = frames_of(predictions, dataset)
    there = [
        (known[frame_id], predicted)
        for frame_id in sorted(predictions.frames)
        for _, predicted in sorted(predictions.frames[frame_id].items())
        if predicted.status == "ok" and predicted.mesh_path is not None
    ]
    if not there:
        raise InputError("the predictions hold no object with a pose and a mesh to show.")
    places = np.unique(np.linspace(0, len(there) - 1, rows).round().astype(int))
    return [shown for place in places if (shown := _shown(*there[place])) is not None]


def _shown(key: FrameKey, predicted: PredictedObject) -> Shown | None:
    T, mesh = predicted.T_camera_object, predicted.mesh()
    return None if T is None or mesh is None else Shown(key, predicted, T, mesh)


def _pictures(shown: Shown, dataset: Dataset) -> Sequence[Picture]:
    frame = dataset.load_frame(shown.key)
    number, surface = shown.predicted.detection, smooth(shown.mesh)
    over = overlay(frame.rgb, frame.camera, [Drawn(Posed(surface, shown.T), number)], scale=SCALE)
    left, top, right, bottom = _window(shown, frame.camera)
    plain = frame.rgb[top:bottom, left:right]
    drawn = over[SCALE * top : SCALE * bottom, SCALE * left : SCALE * right]
    alone = side_view(surface, SIDE, Extent.around([surface]), colour=colour_of(number), size_px=MESH_PX)
    return plain, drawn, alone


def _window(shown: Shown, camera: Camera) -> tuple[int, int, int, int]:
    """A square about the outline, cut at the image's edge; the whole image where that leaves nothing."""
    points = shown.mesh.vertices @ shown.T[:3, :3].T + shown.T[:3, 3]
    whole = (0, 0, camera.width, camera.height)
    points = points[points[:, 2] > NEAR_M]
    if not len(points):
        return whole
    pixels = camera.project(points)
    middle = (pixels.min(axis=0) + pixels.max(axis=0)) / 2
    reach = (0.5 + MARGIN) * float(np.ptp(pixels, axis=0).max())
    left, top = np.maximum(np.floor(middle - reach), 0).astype(int)
    right, bottom = np.minimum(np.ceil(middle + reach), (camera.width, camera.height)).astype(int)
    if right - left < 2 or bottom - top < 2:
        return whole
    return int(left), int(top), int(right), int(bottom)
