"""What every data set gives, whatever its files look like: frames, labels, masks, models and detections.

Lengths are metres. `crisp.data.layouts.open_dataset` finds the reader of a folder.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from crisp.errors import InputError, ObjectFailure
from crisp.types import Detection, Frame, Mesh, Symmetries


@dataclass(frozen=True, order=True)
class FrameKey:
    """Where a frame is in its split."""

    scene_id: int
    im_id: int

    @property
    def frame_id(self) -> str:
        """The name under which results are written, such as "000001/000003"."""
        return f"{self.scene_id:06d}/{self.im_id:06d}"


@dataclass(frozen=True, eq=False)
class Instance:
    """One labelled object of a frame.

    Args:
        T_camera_object: (4, 4) float64, metres.
        visib_fract: visible share of the silhouette; NaN where the set does not say.
        index: place in the frame's list of labels, which names its masks.
        scale: the instance is the model's mesh times this: 1 but in NOCS CAMERA, where models have no size.
        handle_visible: False where the set says that a mug's handle is hidden, so that it looks like a cup.
    """

    object_id: int
    T_camera_object: Float[np.ndarray, "4 4"]
    visib_fract: float
    index: int
    scale: float = 1.0
    handle_visible: bool = True


@dataclass(frozen=True, eq=False)
class KnownObject:
    """One model of a set, metres.

    Args:
        name: as the set calls it.
        kind: the category; the name where the set has none.
        diameter_m: the largest distance between two vertices.
    """

    object_id: int
    name: str
    kind: str
    mesh: Mesh
    diameter_m: float
    symmetries: Symmetries

    def scaled(self, scale: float) -> KnownObject:
        """The same object `scale` times as large (`Instance.scale`)."""
        if scale == 1.0:
            return self
        symmetries = Symmetries(
            tuple(_scaled_motion(T, scale) for T in self.symmetries.discrete),
            tuple((axis, offset * scale) for axis, offset in self.symmetries.continuous),
        )
        mesh = Mesh(self.mesh.vertices * scale, self.mesh.faces)
        return replace(self, mesh=mesh, diameter_m=self.diameter_m * scale, symmetries=symmetries)


class Dataset(ABC):
    """One split of a data set. Files are read when they are first asked for.

    All raise InputError, with the file's name, for what is missing, damaged or contradictory; one bad frame
    or model does not keep the others from being read.

    Attributes:
        unit: what one metre inside stands for: "metre", or "model unit" where the set has no metres.
        depth_is_rendered: whether depth comes from models and poses instead of from a sensor.
    """

    root: Path
    split: str
    unit: str = "metre"
    depth_is_rendered: bool = False

    @property
    @abstractmethod
    def keys(self) -> tuple[FrameKey, ...]:
        """All frames, sorted by scene and image."""

    @property
    @abstractmethod
    def faults(self) -> tuple[str, ...]:
        """A sentence for each scene whose frames cannot be listed; the others are in `keys`."""

    @property
    def bare_keys(self) -> tuple[FrameKey, ...]:
        """All frames that can be loaded, labelled or not, sorted; `keys` where the set does not tell."""
        return self.keys

    @property
    def bare_faults(self) -> tuple[str, ...]:
        """A sentence for each scene that `bare_keys` lacks."""
        return self.faults

    @abstractmethod
    def load_frame(self, key: FrameKey) -> Frame:
        """Images and camera of a frame."""

    def image_size(self, key: FrameKey) -> tuple[int, int]:
        """(height, width) of a frame."""
        height, width = self.load_frame(key).depth_m.shape
        return height, width

    @abstractmethod
    def instances(self, key: FrameKey) -> tuple[Instance, ...]:
        """The frame's labelled objects, in the order of their masks."""

    def has_camera_pose(self, key: FrameKey) -> bool:
        """Whether the set says where the camera stood."""
        return False

    def T_world_camera(self, key: FrameKey) -> Float[np.ndarray, "4 4"]:
        """Where the camera stood in its scene, (4, 4) metres."""
        raise InputError(f"{self.root} does not say where the cameras stood.")

    def label_faults(self, key: FrameKey) -> tuple[str, ...]:
        """A sentence for each object that the labels name but that is no instance, being out of sight."""
        return ()

    @abstractmethod
    def mask(self, key: FrameKey, index: int, visible: bool = True) -> Bool[np.ndarray, "h w"]:
        """The visible part of the `index`-th label; False: the whole silhouette where the set has it."""

    def detection(
        self, key: FrameKey, index: int, *, object_id: int | None = None
    ) -> Detection | ObjectFailure:
        """The visible mask for an estimate; one that cannot be read is the trouble of its object alone."""
        try:
            return Detection(self.mask(key, index), object_id=object_id)
        except InputError as error:
            return ObjectFailure("mask_unreadable", str(error))

    @abstractmethod
    def given_masks(self, key: FrameKey) -> tuple[Detection | ObjectFailure, ...]:
        """The visible masks that lie beside a frame, for estimates without labels: none is opened."""

    @abstractmethod
    def labels_of_given_masks(self, key: FrameKey) -> tuple[int | None, ...]:
        """For each of `given_masks` the index of its label, None where it is of no labelled object.

        This opens the labels: for scores, after the fact.
        """

    @property
    @abstractmethod
    def object_ids(self) -> tuple[int, ...]:
        """The models that are there, rising."""

    @abstractmethod
    def object(self, object_id: int) -> KnownObject:
        """One model, read once."""

    @abstractmethod
    def digest(self, key: FrameKey) -> str:
        """SHA-256 over all that is known of a frame: images, masks, camera and labels. For keys of caches."""

    @property
    @abstractmethod
    def labels_digest(self) -> str:
        """SHA-256 over the labels of the split, without images: tells sets of one name apart."""


@dataclass(frozen=True)
class Listed:
    """The images of each scene that could be listed, and a sentence for each that could not."""

    frames: Mapping[int, tuple[int, ...]]
    faults: tuple[str, ...]

    def keys(self, nothing: str) -> tuple[FrameKey, ...]:
        """All that could be listed, sorted by scene and image.

        Raises:
            InputError: there is none: the first fault, or else the sentence `nothing`.
        """
        found = tuple(sorted(FrameKey(s, i) for s, ids in self.frames.items() for i in ids))
        if not found:
            raise InputError(self.faults[0] if self.faults else nothing)
        return found


def list_scenes(scene_ids: Iterable[int], images: Callable[[int], Iterable[int]]) -> Listed:
    """Ask for each scene's images; one that is damaged does not keep the others from being read."""
    frames, faults = {}, []
    for scene_id in scene_ids:
        try:
            frames[scene_id] = tuple(images(scene_id))
        except InputError as error:
            faults.append(str(error))
    return Listed(frames, tuple(faults))


def files_digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the contents of files, each under its name; one that is missing counts as empty.

    Raises:
        InputError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}.") from error
        digest.update(path.name.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()


def _scaled_motion(T: Float[np.ndarray, "4 4"], scale: float) -> Float[np.ndarray, "4 4"]:
    moved = T.copy()
    moved[:3, 3] *= scale
    return moved


@dataclass(frozen=True, eq=False)
class Detected:
    """One object that a detector found.

    Args:
        mask: and with BOP's detections the object's id; a failure where it is damaged.
        category: with NOCS's detections; else None.
    """

    mask: Detection | ObjectFailure
    category: str | None = None

    @property
    def score(self) -> float:
        """The detector's; 0 where it is damaged."""
        return self.mask.score if isinstance(self.mask, Detection) else 0.0

    @property
    def object_id(self) -> int | None:
        return self.mask.object_id if isinstance(self.mask, Detection) else None


class DetectedMasks(ABC):
    """Detections of a split, read frame by frame as they are asked for; satisfies `MaskSource`.

    Args:
        path: where they lie.
        min_score: detections with a lower score are left out.

    Attributes:
        faults: a sentence for each detection of which the frame is not known.
    """

    faults: tuple[str, ...] = ()

    def __init__(self, path: Path, *, min_score: float) -> None:
        self.path, self.min_score = path, min_score

    @abstractmethod
    def found(self, key: FrameKey) -> tuple[Detected, ...]:
        """The frame's detections in the detector's order; none where it found nothing.

        Raises:
            InputError: they cannot be read.
        """

    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of what was read."""

    def masks(self, key: FrameKey) -> tuple[Detection | ObjectFailure, ...]:
        return tuple(one.mask for one in self.found(key))

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """What results depend on: the detections' name, SHA-256, and the least score."""
        return {"file": self.path.resolve().name, "sha256": self.digest(), "min_score": self.min_score}


@dataclass(frozen=True)
class DetectionsKind:
    """A form in which detections come.

    Args:
        looks_like: what it is, for a sentence.
        recognises: whether a path holds this form of detections for a data set.
        reader: opens them, leaving out lower scores; raises InputError where they cannot be read.
    """

    looks_like: str
    recognises: Callable[[Dataset, Path], bool]
    reader: Callable[[Dataset, Path, float], DetectedMasks]
