"""Checks of a single frame: each file for itself, then what they say together. A finding is one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float, UInt8

from crisp.data.spe3r.reader import render_depth
from crisp.errors import InputError
from crisp.geometry.camera import Camera, check_depth
from crisp.geometry.points import nearest_distance
from crisp.sources.frame_files import FrameFiles
from crisp.sources.frames import (
    MM_PER_M,
    CameraEntry,
    camera_entry,
    read_colour,
    read_depth,
    read_json,
    read_mask,
)
from crisp.types import Frame, Mesh

Level = Literal["found", "note", "fault"]
MOST_ALIKE = 10

Value = TypeVar("Value")


@dataclass(frozen=True)
class Finding:
    """One sentence.

    Args:
        level: "found" for what is there, "note" for what is good to know, "fault" for what is wrong or gone.
        check: which check says it, such as "depth against mesh".
    """

    level: Level
    check: str
    sentence: str


@dataclass(frozen=True)
class Diagnosis:
    """All findings, in the order in which they were made."""

    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What is wrong or missing."""
        return tuple(finding for finding in self.findings if finding.level == "fault")

    def lines(self, most_alike: int = MOST_ALIKE) -> list[str]:
        """For a terminal: of one check and level at most so many, and how many more there are."""
        shown: Counter[tuple[Level, str]] = Counter()
        lines = []
        for finding in self.findings:
            kind = finding.level, finding.check
            shown[kind] += 1
            if shown[kind] <= most_alike:
                lines.append(f"{finding.level}: {finding.check}: {finding.sentence}")
        for (level, check), count in shown.items():
            if count > most_alike:
                lines.append(f"{level}: {check}: and {count - most_alike} more.")
        return lines


def attempt(check: str, work: Callable[[], Value], findings: list[Finding]) -> Value | None:
    """What `work` gives; None where it fails on bad input, whose sentence becomes a fault."""
    try:
        return work()
    except InputError as error:
        findings.append(Finding("fault", check, str(error)))
        return None


def summary(diagnosis: Diagnosis) -> str:
    """The last line: whether all is well."""
    count = len(diagnosis.faults)
    return "no fault found." if count == 0 else f"{count} fault{'s' * (count > 1)} found."


def spread(items: Sequence[Value], most: int) -> list[Value]:
    """At most so many, evenly over all, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[0]]
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


MOST_POINTS = 3000
LEAST_COVERED = 0.8
MOST_DISTANCE_SHARE = 0.08  # of the diameter, where a set has no metres
MOST_DISTANCE_M = 0.008


@dataclass(frozen=True)
class Agreement:
    """One labelled object.

    Args:
        mask_pixels: of the visible mask.
        measured_share: of those, the share with a depth value; 0 without pixels.
        covered_share: of those, the share that the posed model's silhouette covers; 0 without pixels.
        depth_distance_m: median over visible model points, at pixels that were measured, of the distance to
            the nearest measured point of the mask; NaN where there is nothing to compare. Where the sensor
            saw nothing it cannot disagree: the inside of a bowl may be one hole.
    """

    mask_pixels: int
    measured_share: float
    covered_share: float
    depth_distance_m: float


def agreement(
    frame: Frame, mask: Bool[np.ndarray, "h w"], mesh: Mesh, *, T_camera_object: Float[np.ndarray, "4 4"]
) -> Agreement:
    """Draw the model with its pose, and hold it against mask and depth.

    Args:
        mask: the visible pixels, of the frame's size.
        mesh: metres, object frame.
    """
    pixels = int(mask.sum())
    if pixels == 0:
        return Agreement(0, 0.0, 0.0, float("nan"))
    drawn_m = render_depth(mesh, T_camera_object, frame.camera)
    measured, shown = mask & (frame.depth_m > 0), mask & (drawn_m > 0)
    return Agreement(
        mask_pixels=pixels,
        measured_share=float(measured.sum() / pixels),
        covered_share=float(shown.sum() / pixels),
        depth_distance_m=_median_distance(frame, measured, drawn_m, shown=shown),
    )


def _median_distance(
    frame: Frame, measured: Bool[np.ndarray, "h w"], drawn_m: Float[np.ndarray, "h w"], *, shown: np.ndarray
) -> float:
    both = measured & shown
    if not both.any():
        return float("nan")
    points_model = frame.camera.backproject(drawn_m)[both]
    chosen = np.linspace(0, len(points_model) - 1, min(len(points_model), MOST_POINTS)).astype(np.int64)
    points_measured = frame.points_camera[measured]
    return float(np.median(nearest_distance(points_model[chosen], points_measured)))


LEAST_MEASURED = 0.5
FAR_SPREAD_M = 1.0  # between the near and the far tenth of one object's depths


@dataclass(frozen=True, eq=False)
class _Read:
    """What could be read; None where a file is missing or damaged."""

    rgb: UInt8[np.ndarray, "a b 3"] | None
    depth_m: Float[np.ndarray, "c d"] | None
    entry: CameraEntry | None


def check_files(files: FrameFiles) -> Diagnosis:
    """Check the files that `crisp estimate` takes; what is missing or damaged leaves the others to be read.

    Without a camera file the depth's unit is not known: then it is read as millimetres, and said to be.
    """
    rgb, depth, camera = files.rgb, files.depth, files.camera
    findings: list[Finding] = []
    entry = None if camera is None else attempt("camera", lambda: _entry(camera), findings)
    if camera is None:
        findings.append(
            Finding("fault", "camera", "K is missing: give --camera, a JSON file with cam_K and depth_scale.")
        )
    image = None if rgb is None else attempt("colour", lambda: read_colour(rgb), findings)
    if rgb is None:
        findings.append(Finding("fault", "colour", "the colour image is missing: give --rgb."))
    read = _Read(image, _depth(depth, entry, camera, findings=findings), entry)
    _check_sizes(read, camera, findings)
    for path in files.masks:
        _check_mask(path, read, findings)
    if not files.masks:
        findings.append(
            Finding("note", "masks", "no masks were given: an estimate needs one for each object.")
        )
    return Diagnosis(tuple(findings))


def depth_findings(depth_m: Float[np.ndarray, "h w"], *, unit: str = "m") -> Finding:
    """Range of a depth map that is one.

    Raises:
        InputError: it cannot be metres.
    """
    check_depth(depth_m)
    valid = depth_m[depth_m > 0]
    low, middle, high = np.quantile(valid, (0.01, 0.5, 0.99))
    return Finding(
        "found",
        "depth range",
        f"{low:.3f} to {high:.3f} {unit} (1 % to 99 %), median {middle:.3f} {unit}, there at "
        f"{valid.size / depth_m.size:.0%} of the pixels.",
    )


def mask_findings(
    mask: Bool[np.ndarray, "h w"], depth_m: Float[np.ndarray, "h w"], *, source: str
) -> list[Finding]:
    """What a mask and a depth map of one size say together."""
    pixels = int(mask.sum())
    if pixels == 0:
        return [Finding("note", "masks", f"{source} has no visible pixel.")]
    on = depth_m[mask & (depth_m > 0)]
    share = on.size / pixels
    if share < LEAST_MEASURED:
        sentence = f"{source}: only {share:.0%} of its {pixels} pixels have depth: are both of one camera?"
        return [Finding("note" if on.size else "fault", "mask and depth", sentence)]
    spread_m = float(np.ptp(np.quantile(on, (0.1, 0.9))))
    if spread_m > FAR_SPREAD_M:
        sentence = (
            f"{source}: the depth on it spreads over {spread_m:.2f} m: it seems not to lie on one object."
        )
        return [Finding("note", "mask and depth", sentence)]
    return []


def _entry(path: Path) -> CameraEntry:
    return camera_entry(read_json(path), source=str(path))


def _depth(
    path: Path | None, entry: CameraEntry | None, camera: Path | None, *, findings: list[Finding]
) -> Float[np.ndarray, "h w"] | None:
    if path is None:
        findings.append(Finding("fault", "depth", "the depth image is missing: give --depth."))
        return None
    scale = 1.0 if entry is None else entry.depth_scale
    depth_m = attempt("depth", lambda: read_depth(path, scale, source=str(camera)), findings)
    if depth_m is None:
        return None
    if entry is None and path.suffix != ".npy":
        findings.append(
            Finding("note", "depth", f"no depth_scale is known: {path} is taken for millimetres.")
        )
    finding = attempt("depth range", lambda: depth_findings(depth_m), findings)
    if finding is not None:
        findings.append(finding)
    if entry is not None and entry.depth_scale is not None and path.suffix != ".npy":
        step = entry.depth_scale / MM_PER_M
        findings.append(Finding("found", "units", f"one step of {path.name} is {1000 * step:g} mm."))
    return depth_m


def _check_sizes(read: _Read, camera: Path | None, findings: list[Finding]) -> None:
    if read.rgb is None:
        return
    height, width = read.rgb.shape[:2]
    findings.append(Finding("found", "colour", f"{width}x{height} pixels."))
    if read.depth_m is not None and read.depth_m.shape != (height, width):
        found = f"{read.depth_m.shape[1]}x{read.depth_m.shape[0]}"
        sentence = f"depth is {found} but colour is {width}x{height}: depth must be registered to colour."
        findings.append(Finding("fault", "sizes", sentence))
    entry = read.entry
    if entry is None:
        return
    if entry.size_wh not in (None, (width, height)):
        sentence = f"{camera} is for {entry.size_wh} pixels, but colour is {width}x{height}."
        findings.append(Finding("fault", "K against image size", sentence))
    known = attempt("K against image size", lambda: Camera(entry.K, width, height), findings)
    if known is not None:
        across = np.degrees(2 * np.arctan(width / (2 * known.K[0, 0])))
        findings.append(
            Finding("found", "K against image size", f"the camera sees {across:.0f} degrees across.")
        )


def _check_mask(path: Path, read: _Read, findings: list[Finding]) -> None:
    mask = attempt("masks", lambda: read_mask(path), findings)
    size = None if read.rgb is None else read.rgb.shape[:2]
    if mask is None:
        return
    if size is not None and mask.shape != size:
        sentence = f"{path} is {mask.shape[1]}x{mask.shape[0]} but colour is {size[1]}x{size[0]}."
        findings.append(Finding("fault", "masks", sentence))
        return
    if read.depth_m is not None and read.depth_m.shape == mask.shape:
        found = mask_findings(mask, read.depth_m, source=str(path))
        findings += found or [Finding("found", "masks", f"{path.name} has {int(mask.sum())} pixels.")]
