"""Settings of a rendered data set: the record that `synthesise` takes and `crisp synthesise` fills in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from crisp.data.layouts import layout_named
from crisp.errors import InputError

if TYPE_CHECKING:
    from crisp.data.layout import Writing

LookName = Literal["clean", "hard", "direct"]


@dataclass(frozen=True)
class SynthesisConfig:
    """Settings of a rendered data set. The same settings give the same files."""

    split: str = "train"
    """Name of the split. bop: any folder name; nocs: camera_train, camera_val, real_train or real_test;
    spe3r: train (includes validation) or test."""
    layout: str = "bop"
    """File layout and units: bop, nocs (six categories, NOCS's intrinsics) or spe3r (satellites, 256x256)."""
    scenes: int = 100
    """Number of tabletop scenes; with spe3r, number of satellites, at most as many as the split has."""
    first_scene: int = 0
    """Number of the first scene. With different numbers, scene folders of two splits can be merged."""
    views_per_scene: int = 5
    """Images per scene, each with its own camera and lighting."""
    look: LookName = "clean"
    """clean: mild light, exact depth; hard: strong light, clutter, blur, noise, depth sensor errors;
    direct: as hard, but with direct light only, in less than half the time."""
    seed: int = 0
    """Seed; each scene's seed is derived from it, the split's name and the scene's number."""
    width: int = 640
    """Image width in pixels."""
    height: int = 480
    """Image height in pixels."""
    objects_per_scene: tuple[int, int] = (7, 10)
    """Fewest and most objects on a table (no object twice)."""
    elevation_deg: tuple[float, float] = (15.0, 70.0)
    """Range of the camera's elevation above the table."""
    distance_m: tuple[float, float] = (0.5, 1.0)
    """Range of the camera's distance from the point that it looks at."""
    focal_px: tuple[float, float] = (520.0, 640.0)
    """Range of the focal length in pixels."""
    roll_deg: tuple[float, float] = (-8.0, 8.0)
    """Range of the camera's roll."""
    gap_m: tuple[float, float] = (0.008, 0.05)
    """Range of the smallest gap between an object and its neighbours."""
    any_pose_share: float = 0.0
    """Share of objects in an arbitrary orientation, as in a heap."""
    usual_pose_share: float = 0.85
    """Share of the other objects in their usual rest pose: as declared, or with the mesh's z axis upwards."""

    def __post_init__(self) -> None:
        if not self.split or Path(self.split).name != self.split or self.split in (".", "..", "models"):
            raise InputError(f"split must be a plain folder name other than 'models', got {self.split!r}.")
        for name in ("scenes", "views_per_scene", "width", "height"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}.")
        self._check_layout()
        if self.look not in get_args(LookName):
            raise InputError(f"look must be {', '.join(get_args(LookName))}, got {self.look!r}.")
        for name in ("seed", "first_scene"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}.")
        for name, least in _LEAST.items():
            low, high = getattr(self, name)
            if not least <= low <= high:
                raise InputError(f"{name} must be a range low <= high from {least} up, got {low}..{high}.")
        for name in ("any_pose_share", "usual_pose_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be a share from 0 to 1, got {getattr(self, name)}.")
        if self.elevation_deg[1] >= 90:
            raise InputError(f"elevation_deg must stay below 90, got {self.elevation_deg[1]}.")

    def _check_layout(self) -> None:
        if self.writing.scene == "space" and (self.first_scene != 0 or self.any_pose_share != 0):
            raise InputError(
                f"with layout {self.layout} a scene is an object in space: "
                "first_scene and any_pose_share must be 0."
            )
        self.writing.check(self.split, (self.width, self.height))

    @property
    def writing(self) -> Writing:
        """How the layout is written.

        Raises:
            InputError: there is no such layout, or nothing can be rendered into it.
        """
        writing = layout_named(self.layout).writing
        if writing is None:
            raise InputError(f"nothing can be rendered into layout {self.layout}.")
        return writing


_LEAST = {
    "objects_per_scene": 1,
    "elevation_deg": 1.0,
    "distance_m": 0.1,
    "focal_px": 1.0,
    "roll_deg": -180.0,
    "gap_m": 0.0,
}
