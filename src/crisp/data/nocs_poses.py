"""Poses of NOCS objects: those that were released, and those that coordinates and depth give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from crisp.data.nocs_files import CATEGORIES, MetaLine
from crisp.data.plain_pickle import read_plain_pickle
from crisp.errors import InputError
from crisp.geometry.similarity import fit_similarity
from crisp.types import Frame

# NOCS's own poses are those of a camera with x to the left and y up.
OPENCV_FROM_NOCS = np.diag([-1.0, -1.0, 1.0, 1.0])
FIT_INLIER_M = 0.01


@dataclass(frozen=True, eq=False)
class NocsPose:
    """An object's pose, and the diagonal of its NOCS box in metres."""

    T_camera_object: Float[np.ndarray, "4 4"]
    scale: float
    handle_visible: bool


def fitted_pose(
    frame: Frame,
    mask: Bool[np.ndarray, "h w"],
    coordinates: Float[np.ndarray, "h w 3"],
    *,
    scale: float | None,
    path: Path,
) -> NocsPose | None:
    """The motion that takes coordinates to measured points; None where too few agree.

    Args:
        scale: the diagonal in metres, where it is known.
        path: of the coordinates, for messages.

    Raises:
        InputError: mask, coordinates and depth are not of one size.
    """
    if not mask.shape == coordinates.shape[:2] == frame.depth_m.shape:
        raise InputError(f"{path}, the mask beside it and the depth must be of one size.")
    used = mask & (frame.depth_m > 0)
    points = frame.points_camera[used].astype(np.float64)
    fit = fit_similarity(coordinates[used], points, inlier_m=FIT_INLIER_M, scale=scale)
    return None if fit is None else NocsPose(fit.T, fit.scale, True)


def released_poses(path: Path, lines: list[MetaLine]) -> Iterator[NocsPose]:
    """The poses of a `gts` file, which lists the visible objects by rising instance id.

    Raises:
        InputError: the file is no plain pickle, or holds other objects or what is no scaled rotation.
    """
    content = read_plain_pickle(path)
    poses, classes = _array(content, ("gt_RTs",), path), _array(content, ("gt_class_ids",), path)
    if poses.shape != (len(lines), 4, 4) or classes.shape != (len(lines),) or not np.isfinite(poses).all():
        raise InputError(
            f"{path} must hold {len(lines)} poses and classes, as many as the image has visible objects; "
            f"it holds {len(poses)} and {len(classes)}."
        )
    wanted = [CATEGORIES.index(line.category) + 1 for line in lines if line.category is not None]
    if classes.tolist() != wanted:
        raise InputError(
            f"{path} holds the classes {classes.tolist()}, but the image's objects are of {wanted}."
        )
    names = ("gt_handle_visibility", "handle_visibility")
    handles = _array(content, names, path) if set(names) & set(content) else np.ones(len(lines))
    for line, sRT, handle in zip(lines, poses.astype(np.float64), handles.reshape(len(lines)), strict=True):
        scale = float(np.cbrt(np.linalg.det(sRT[:3, :3])))
        R = sRT[:3, :3] / scale if scale > 0 else np.zeros((3, 3))
        if not np.allclose(R @ R.T, np.eye(3), atol=0.01):
            raise InputError(f"the pose of instance {line.instance_id} in {path} is no scaled rotation.")
        left, _, right = np.linalg.svd(R)
        sRT[:3, :3] = left @ right
        yield NocsPose(OPENCV_FROM_NOCS @ sRT, scale, bool(handle))


def _array(content: Any, names: tuple[str, ...], path: Path) -> np.ndarray:
    found = (
        next((content[name] for name in names if name in content), None)
        if isinstance(content, dict)
        else None
    )
    if found is None:
        raise InputError(f"{path} has no {names[0]}: it is no file of NOCS's ground truth.")
    return np.asarray(found)
