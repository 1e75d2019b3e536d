"""The records that flow from a frame to a result. Frozen, shaped, and validated at birth.

Lengths are metres, images are RGB, masks are boolean, transforms are 4x4 and named by their frames
(`T_camera_object` takes object points to the camera). What is known of an object beforehand (`ObjectModel`:
its mesh, its looks, its symmetries) is in the object's frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from crisp.errors import InputError, Status, form_of, require, require_box
from crisp.geometry.camera import Camera, check_depth


@dataclass(frozen=True, eq=False)
class Frame:
    """One RGB-D frame of a calibrated camera.

    Args:
        rgb: (H, W, 3) uint8, red first.
        depth_m: (H, W) float32, metres along the optical axis, registered to the colour image; 0 = no value.
        camera: intrinsics for this image size.
        frame_id: the name under which results are written, such as "000001/000003".

    Raises:
        InputError: sizes or types that do not fit together, depth that is not finite, is zero everywhere,
            or cannot be metres.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    depth_m: Float[np.ndarray, "h w"]
    camera: Camera
    frame_id: str = "000000/000000"

    def __post_init__(self) -> None:
        size = (self.camera.height, self.camera.width)
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 3 or self.rgb.shape[2] != 3:
            raise InputError(
                f"the colour image must be (H, W, 3) uint8, got {self.rgb.shape} {self.rgb.dtype}."
            )
        for name, shape in (("colour image", self.rgb.shape[:2]), ("depth map", self.depth_m.shape)):
            if shape != size:
                raise InputError(
                    f"the {name} is {_wh(shape)} but the camera is for {_wh(size)}: "
                    "all three must have one size."
                )
        check_depth(self.depth_m)
        object.__setattr__(self, "depth_m", np.ascontiguousarray(self.depth_m, dtype=np.float32))

    @cached_property
    def points_camera(self) -> Float[np.ndarray, "h w 3"]:
        """The measured points, (H, W, 3) metres; zeros where nothing was measured. Made once."""
        return self.camera.backproject(self.depth_m)

    @classmethod
    def from_files(
        cls, rgb: str | Path, depth: str | Path, camera: str | Path, *, frame_id: str | None = None
    ) -> Frame:
        """Read a colour image, a 16-bit depth image and a camera file.

        Args:
            rgb: PNG or JPEG; grey images and an alpha channel are accepted.
            depth: 16-bit PNG or TIFF; raw value x depth_scale = millimetres.
            camera: JSON with `cam_K` (9 numbers, row-major) and `depth_scale`, as in BOP.
        """
        from crisp.sources.frames import read_frame

        return read_frame(rgb=Path(rgb), depth=Path(depth), camera=Path(camera), frame_id=frame_id)


def _wh(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


@dataclass(frozen=True, eq=False)
class Detection:
    """Where one object is in the image: its visible pixels.

    Args:
        mask: (H, W) bool.
        object_id: the id in the data set where it is known (scoring only; the estimator never reads it).
        score: the detector's confidence.

    Raises:
        InputError: the mask is no (H, W) bool array. Whether it has the frame's size is judged when it is cut
            out, for that object alone.
    """

    mask: Bool[np.ndarray, "h w"]
    object_id: int | None = None
    score: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.mask, np.ndarray) or self.mask.dtype != np.bool_ or self.mask.ndim != 2:
            raise InputError(f"a mask must be an (H, W) array of bool, got {form_of(self.mask)}.")


@dataclass(frozen=True, eq=False)
class Crop:
    """What the network sees of one object, and the measured points behind it.

    Args:
        image: (3, S, S) float32, normalised with ImageNet's mean and deviation.
        points_camera: (G, G, 3) float32 metres, sampled with nearest neighbour on the PNC grid.
        valid: (G, G) bool: on the mask and measured.
        box_px: left, top, right, bottom of the tight box (right and bottom exclusive).
    """

    image: Float[Tensor, "3 s s"]
    points_camera: Float[Tensor, "g g 3"]
    valid: Bool[Tensor, "g g"]
    box_px: tuple[int, int, int, int]

    def __post_init__(self) -> None:
        image, points, valid = self.image, self.points_camera, self.valid
        square = image.ndim == 3 and image.shape == (3, image.shape[2], image.shape[2])
        require(square and image.dtype == torch.float32, "a crop", "an image (3, S, S) float32", image)
        grid = valid.ndim == 2 and valid.shape[0] == valid.shape[1] and points.shape == (*valid.shape, 3)
        floats = points.dtype == torch.float32 and valid.dtype == torch.bool
        wanted = "points (G, G, 3) float32 and valid (G, G) bool"
        require(grid and floats, "a crop", wanted, points, valid)
        require_box(self.box_px, "a crop")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of a batch of crops.

    Args:
        pnc: (B, G, G, 3) float32 metres in each object's frame.
        shape_code: (B, C) float32.
    """

    pnc: Float[Tensor, "b g g 3"]
    shape_code: Float[Tensor, "b c"]

    def __post_init__(self) -> None:
        pnc, code = self.pnc, self.shape_code
        square = pnc.ndim == 4 and pnc.shape == (len(code), pnc.shape[1], pnc.shape[1], 3)
        floats = pnc.is_floating_point() and code.is_floating_point()
        wanted = "pnc (B, G, G, 3) and shape_code (B, C), floating point"
        require(square and code.ndim == 2 and floats, "a prediction", wanted, pnc, code)

    def take(self, rows: Sequence[int]) -> Prediction:
        """Of the crops at these places, in this order."""
        return Prediction(self.pnc[list(rows)], self.shape_code[list(rows)])


@dataclass(frozen=True, eq=False)
class CorrectionSummary:
    """What the corrector did to one object (method, section 4).

    Args:
        status: "converged", "budget", "unimproved" or "unsolvable".
        reason: the same as a sentence.
        rounds: pairs of a pose step and a shape step.
        rms_start_m, rms_m: root of the objective before and after, metres.
        T_camera_object_start, shape_code_start: what the network and the registration had said.
        lambda_min, mu: figures of the degeneracy check (section 5), per point.
    """

    status: str
    reason: str
    rounds: int
    rms_start_m: float
    rms_m: float
    T_camera_object_start: Float[np.ndarray, "4 4"]
    shape_code_start: Float[np.ndarray, " c"]
    lambda_min: float
    mu: float


@dataclass(frozen=True, eq=False)
class Estimate:
    """Pose and shape of one object.

    Args:
        T_camera_object: (4, 4) float64.
        shape_code: (C,) float32.
        inlier_share: share of points that agree with the network's coordinates under the registered pose.
        correction: how it came to this from what the network said; None where it is what the network said.
    """

    T_camera_object: Float[Tensor, "4 4"]
    shape_code: Float[Tensor, " c"]
    inlier_share: float
    correction: CorrectionSummary | None = None

    def __post_init__(self) -> None:
        T = self.T_camera_object
        R = T[:3, :3]
        if not torch.isfinite(T).all() or not torch.allclose(R @ R.T, torch.eye(3, dtype=T.dtype), atol=1e-4):
            raise ValueError("T_camera_object is not a rigid transform")
        if torch.linalg.det(R) < 0:
            raise ValueError("T_camera_object is a reflection")


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh in the object frame, metres.

    Raises:
        InputError: arrays of another form, or faces that name vertices which are not there.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]

    def __post_init__(self) -> None:
        for what, values, kinds in (("vertices", self.vertices, "f"), ("faces", self.faces, "iu")):
            if values.ndim != 2 or values.shape[1] != 3 or values.dtype.kind not in kinds:
                number = "floating point" if kinds == "f" else "whole"
                raise InputError(f"a mesh's {what} must be (N, 3) {number} numbers, got {form_of(values)}.")
        if self.faces.size and not (self.faces.min() >= 0 and self.faces.max() < len(self.vertices)):
            raise InputError(f"a mesh's faces must be numbers of its {len(self.vertices)} vertices.")


@dataclass(frozen=True)
class Certificate:
    """Whether an estimate can be trusted, from which figures, and in words why not (method, section 6).

    `quantile` of the points' distances to the surface is residual_quantile_m (None without points), to stay
    below threshold_m; share_below of the points do. free_space_share: of the surface that could be checked,
    what stands where the camera saw through. The last three figures are None where they were not judged.
    """

    certified: bool
    residual_quantile_m: float | None
    threshold_m: float
    quantile: float
    points: int
    share_below: float
    free_space_share: float | None = None
    shape_unique: bool | None = None
    lambda_min: float | None = None
    mu: float | None = None
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.certified == bool(self.reasons):
            raise ValueError(f"what is not certified needs reasons, and only that, got {self.reasons}")


@dataclass(frozen=True, eq=False)
class Result:
    """What `estimate` returns for one mask: always one per mask, in order.

    `status` is "ok" or names what was missing; `message` says it as a sentence. The other fields are None
    where the status means that they could not be had. `track` names the object among the frames of its scene
    where a `Tracker` made the result and knows it.

    Raises:
        ValueError: an unknown status, one other than "ok" without a sentence, a field of another form.
    """

    status: Status
    message: str = ""
    label: str | None = None
    track: str | None = None
    T_camera_object: Float[np.ndarray, "4 4"] | None = None
    shape_code: Float[np.ndarray, " c"] | None = None
    mesh: Mesh | None = None
    diameter_m: float | None = None
    inlier_share: float | None = None
    box_px: tuple[int, int, int, int] | None = None
    pnc: Float[np.ndarray, "g g 3"] | None = None
    valid: Bool[np.ndarray, "g g"] | None = None
    correction: CorrectionSummary | None = None
    certificate: Certificate | None = None
    timing_ms: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in get_args(Status) or (self.status != "ok" and not self.message):
            raise ValueError(f"a result needs a known status, and a sentence if not ok, got {self.status!r}")
        T, code, pnc, valid = self.T_camera_object, self.shape_code, self.pnc, self.valid
        pose = T is None or (T.shape == (4, 4) and T.dtype.kind == "f")
        require(pose, "a result", "T_camera_object (4, 4) float", T)
        require(code is None or (code.ndim == 1 and code.dtype.kind == "f"), "a result", "a code (C,)", code)
        grid = pnc is None or (pnc.ndim == 3 and pnc.shape == (pnc.shape[1], pnc.shape[1], 3))
        same = valid is None or (valid.dtype == np.bool_ and (pnc is None or valid.shape == pnc.shape[:2]))
        require(grid and same, "a result", "pnc (G, G, 3) and valid (G, G) bool", pnc, valid)
        if self.diameter_m is not None and not 0 <= self.diameter_m < np.inf:
            raise ValueError(f"a result's diameter_m cannot be {self.diameter_m}")
        if self.inlier_share is not None and not 0 <= self.inlier_share <= 1:
            raise ValueError(f"a result's inlier_share cannot be {self.inlier_share}")
        if self.box_px is not None:
            require_box(self.box_px, "a result")


@dataclass(frozen=True, eq=False)
class Symmetries:
    """Motions of an object's frame that leave shape and looks unchanged (BOP's two kinds).

    Args:
        discrete: 4x4 transforms (metres), the identity left out.
        continuous: (axis, offset) pairs: turning about the axis (unit vector) through the offset (metres).
    """

    discrete: tuple[Float[np.ndarray, "4 4"], ...] = ()
    continuous: tuple[tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]], ...] = ()

    @property
    def none(self) -> bool:
        return not self.discrete and not self.continuous


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A mesh for rendering: vertices are split along seams, so each has one texture coordinate.

    Args:
        uv: (V, 2) float; (0, 0) is the image's lower left corner (OpenGL, Wavefront OBJ).
        texture: (h, w, 3) uint8 sRGB, first row on top.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "v 2"]
    texture: UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, eq=False)
class ObjectModel:
    """One known object.

    Args:
        name: unique, lower case, such as "mug_tall_red".
        kind: the category, such as "mug".
        mesh: watertight, for geometry (distances, targets, scores).
        surface: the same surface, for pictures.
        symmetries: declared, of shape and looks together.
        rest: rotations (3, 3) that turn the object frame into ways in which it rests on a table (z up);
            the first is the usual one.
        roughness: of the surface, 0.05 (polish) to 1 (matt).
    """

    name: str
    kind: str
    mesh: Mesh
    surface: TexturedMesh
    symmetries: Symmetries = field(default_factory=Symmetries)
    rest: tuple[Float[np.ndarray, "3 3"], ...] = (np.eye(3),)
    roughness: float = 0.5
