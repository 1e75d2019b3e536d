"""The data of a training run: a labelled split, its objects, and signed distances to their surfaces.

The distances are sampled once and cached (method, section 8), by libigl: distance to the mesh, with the sign
of the fast winding number.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from crisp.data.dataset import Dataset, FrameKey, KnownObject
from crisp.data.layouts import open_dataset
from crisp.errors import InputError, needing
from crisp.files import write_whole
from crisp.learn.recipe import Recipe
from crisp.progress import track
from crisp.types import Mesh

SURFACE_SAMPLES, NEAR_SAMPLES, VOLUME_SAMPLES = 20_000, 60_000, 40_000


@dataclass(frozen=True, eq=False)
class Problem:
    """A data set, its objects sorted by id with signed-distance samples, training and validation frames."""

    dataset: Dataset
    objects: Sequence[KnownObject]
    train: Sequence[FrameKey]
    validation: Sequence[FrameKey]
    samples: Sequence[SdfSamples]
    cube_half_m: float

    @property
    def object_ids(self) -> list[int]:
        return [o.object_id for o in self.objects]

    def digest(self) -> str:
        """SHA-256 over models, symmetries, labels and the choice of frames, but not over images."""
        frames = [[key.frame_id for key in keys] for keys in (self.train, self.validation)]
        labels = [self.object_ids, frames, self.dataset.labels_digest]
        digest = hashlib.sha256(json.dumps(labels).encode())
        for item in self.objects:
            arrays = [item.mesh.vertices, item.mesh.faces, *item.symmetries.discrete]
            arrays += [part for pair in item.symmetries.continuous for part in pair]
            for array in arrays:
                digest.update(f"|{array.shape}|".encode())
                digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()


def open_problem(
    recipe: Recipe, root: Path, split: str, *, cache: Path, most_frames: int | None = None
) -> Problem:
    """Read a labelled split, sample its objects' signed distances and choose validation scenes.

    Raises:
        InputError: the data set cannot be read, or has no annotated object.
    """
    dataset = open_dataset(root, split)
    keys = list(dataset.keys)[:most_frames]
    labels = {key: dataset.instances(key) for key in keys}
    instances = [i for found in labels.values() for i in found]
    if any(i.scale != 1.0 for i in instances):
        raise InputError(
            f"{root}/{split} has models whose size differs from image to image: train on a split with models "
            "of one size, such as real_train."
        )
    present = sorted({i.object_id for i in instances})
    objects = [dataset.object(object_id) for object_id in present]
    if not objects:
        raise InputError(f"{root}/{split} has no annotated object to train on.")
    half = max(float(np.abs(o.mesh.vertices).max()) for o in objects)
    sample_config = SdfSampleConfig(
        surface=SURFACE_SAMPLES,
        near=NEAR_SAMPLES,
        volume=VOLUME_SAMPLES,
        cube_half_m=recipe.cube_margin * half,
        seed=recipe.seed,
    )
    samples = [
        thickened(sdf_samples(o.mesh, sample_config, cache), recipe.least_wall_m)
        for o in track(objects, "distances", total=len(objects))
    ]
    held = _validation({key: {i.object_id for i in found} for key, found in labels.items()}, recipe)
    train_keys = [key for key in keys if key not in held]
    return Problem(dataset, objects, train_keys, sorted(held), samples, sample_config.cube_half_m)


def _validation(visible: Mapping[FrameKey, set[int]], recipe: Recipe) -> set[FrameKey]:
    """The frames to validate on: whole scenes, so that no view of a validation scene is trained on.

    If there is only one scene, its last frame. If whole scenes would remove an object from training, single
    frames instead: in SPE3R a scene is one satellite, and its images have nothing else in common.
    """
    keys = list(visible)
    scenes = sorted({key.scene_id for key in keys})
    if len(scenes) < 2:
        return {keys[-1]} if len(keys) > 1 else set()
    rng = np.random.default_rng(recipe.seed)
    chosen = set(rng.choice(scenes, size=_share_of(scenes, recipe), replace=False).tolist())
    held = {key for key in keys if key.scene_id in chosen}
    if _objects(visible, keys) == _objects(visible, set(keys) - held):
        return held
    return {keys[i] for i in rng.choice(len(keys), size=_share_of(keys, recipe), replace=False)}


def _share_of(what: Sequence[object], recipe: Recipe) -> int:
    return max(1, round(recipe.validation_share * len(what)))


def _objects(visible: Mapping[FrameKey, set[int]], keys: Iterable[FrameKey]) -> set[int]:
    return {object_id for key in keys for object_id in visible[key]}


FORMAT_VERSION = 1
LOG = logging.getLogger(__name__)


class SampleKind(IntEnum):
    """How a point was drawn; the values in `SdfSamples.kind`."""

    SURFACE = 0
    NEAR = 1
    VOLUME = 2


@dataclass(frozen=True)
class SdfSampleConfig:
    """How many points of each kind are drawn, and where. Every field is part of the cache key.

    Args:
        surface: points on the mesh, uniform over its area.
        near: surface points plus Gaussian noise, equal parts for each deviation of `near_sigma_m`.
        volume: points uniform over the cube |z|_inf <= cube_half_m.
        near_sigma_m: standard deviations of that noise, per axis.
        cube_half_m: half the side of the decoder's cube; no point lies outside it.
        seed: of the random numbers.

    Raises:
        InputError: a negative count, no point at all, or a deviation or cube that is not positive.
    """

    surface: int = 50_000
    near: int = 50_000
    volume: int = 100_000
    near_sigma_m: tuple[float, ...] = (0.003, 0.012)
    cube_half_m: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.surface, self.near, self.volume)
        if min(counts) < 0 or sum(counts) == 0:
            raise InputError(f"SDF sample counts must not be negative or all zero, got {counts}.")
        if not self.near_sigma_m or min(self.near_sigma_m) <= 0:
            raise InputError(f"near_sigma_m must hold positive lengths, got {self.near_sigma_m}.")
        if not self.cube_half_m > 0:
            raise InputError(f"cube_half_m must be positive, got {self.cube_half_m}.")


@dataclass(frozen=True, eq=False)
class SdfSamples:
    """Points with their signed distance, in the order surface, near, volume.

    Args:
        points_object: (N, 3) metres, inside the cube.
        distance_m: (N,) metres, negative inside, exactly 0 for surface points (unless `thickened`).
        kind: (N,) values of `SampleKind`.
    """

    points_object: Float[np.ndarray, "n 3"]
    distance_m: Float[np.ndarray, " n"]
    kind: UInt8[np.ndarray, " n"]

    def of(self, kind: SampleKind) -> SdfSamples:
        """The points of one kind."""
        mask = self.kind == int(kind)
        return SdfSamples(self.points_object[mask], self.distance_m[mask], self.kind[mask])


def thickened(samples: SdfSamples, least_wall_m: float) -> SdfSamples:
    """Offset the surface outwards, if the walls are thinner than `least_wall_m`, to that thickness.

    A wall of 1 mm falls between the nodes of a meshing grid, and is within the error of a learned distance.
    The wall thickness is estimated as eight times the 25 % quantile of the depth of inside points, which is
    exact for a plate. So the thinnest part decides, unless it is a small part of the object.
    """
    inside = -samples.distance_m[samples.distance_m < 0]
    wall_m = 8 * float(np.quantile(inside, 0.25)) if len(inside) else 0.0
    offset_m = max(0.0, 0.5 * (least_wall_m - wall_m))
    return SdfSamples(samples.points_object, samples.distance_m - offset_m, samples.kind)


def sdf_samples(mesh: Mesh, config: SdfSampleConfig, cache_dir: Path | None = None) -> SdfSamples:
    """Sample the signed distance of a watertight mesh, or read the samples from the cache.

    Args:
        mesh: metres, object frame; must lie inside the cube.
        cache_dir: folder with one file per (mesh, config); None does not cache.

    Raises:
        InputError: no faces, not watertight, turned inside out, or outside the cube.
    """
    if cache_dir is None:
        return _compute(mesh, config)
    path = cache_dir / f"sdf_{cache_key(mesh, config)}.safetensors"
    cached = _read(path)
    if cached is not None:
        return cached
    samples = _compute(mesh, config)
    _write(path, samples)
    return samples


def cache_key(mesh: Mesh, config: SdfSampleConfig) -> str:
    """SHA-256 over all that the samples depend on: mesh, every config field, format and libigl versions."""
    settings = {"format": FORMAT_VERSION, "libigl": version("libigl"), **asdict(config)}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array, dtype in ((mesh.vertices, "<f8"), (mesh.faces, "<i8")):
        digest.update(f"|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
    return digest.hexdigest()


def _compute(mesh: Mesh, config: SdfSampleConfig) -> SdfSamples:
    _check_solid(mesh)
    _check_in_cube(mesh, config.cube_half_m)
    rng = np.random.default_rng(config.seed)
    half = config.cube_half_m
    surface = _on_surface(mesh, config.surface, rng)
    sigma = np.resize(np.asarray(config.near_sigma_m), config.near)[:, None]
    near = _on_surface(mesh, config.near, rng) + sigma * rng.standard_normal((config.near, 3))
    volume = rng.uniform(-half, half, (config.volume, 3))
    # Round the points before computing their distances, so that the two agree; clip after rounding, which
    # could carry a point out of the cube.
    points = np.concatenate([surface, near, volume]).astype(np.float32).clip(-half, half)
    distance = np.zeros(len(points))
    distance[config.surface :] = signed_distance(mesh, points[config.surface :])
    kind = np.repeat(np.array(list(SampleKind), dtype=np.uint8), (config.surface, config.near, config.volume))
    return SdfSamples(points, distance.astype(np.float32), kind)


def signed_distance(mesh: Mesh, points_object: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Signed distance (N,) in metres, negative inside, of points (N, 3) to a watertight mesh."""
    if len(points_object) == 0:
        return np.zeros(0)
    points = np.ascontiguousarray(points_object, dtype=np.float64)
    with needing("train"):
        import igl

    scaled, _, nearest, _ = igl.signed_distance(
        points,
        np.ascontiguousarray(mesh.vertices, dtype=np.float64),
        np.ascontiguousarray(mesh.faces, dtype=np.int64),
        igl.SIGNED_DISTANCE_TYPE_FAST_WINDING_NUMBER,
    )
    # libigl returns (1 - 2 w) |distance| with an approximate winding number w, up to 1 % off in length. Use
    # only its sign, and the distance to the nearest point.
    distance = np.copysign(np.linalg.norm(points - nearest, axis=1), scaled)
    if not np.isfinite(distance).all():
        raise InputError("the mesh gives distances that are not finite: it has broken vertices or faces.")
    return distance


def _on_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> Float[np.ndarray, "n 3"]:
    """Points uniform over the surface: faces drawn by area, points within a face by the square-root map."""
    corners = np.asarray(mesh.vertices, dtype=np.float64)[mesh.faces]
    first, edge_a, edge_b = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(edge_a, edge_b), axis=1)
    face = rng.choice(len(area), count, p=area / area.sum())
    root, along = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    return first[face] + root * (1 - along) * edge_a[face] + root * along * edge_b[face]


def _check_solid(mesh: Mesh) -> None:
    if len(mesh.faces) == 0:
        raise InputError("the mesh has no faces: signed distances need a closed surface.")
    if not np.isfinite(mesh.vertices).all():
        raise InputError("the mesh has vertices that are not finite numbers.")
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    if not solid.is_watertight:
        # Vertices split along texture seams do not open a surface: merge those at equal positions.
        solid.merge_vertices(merge_tex=True, merge_norm=True)
    if not solid.is_watertight or not solid.is_winding_consistent:
        raise InputError(
            "the mesh is not watertight: every edge must join exactly two faces of one orientation."
        )
    if solid.volume <= 0:
        raise InputError("the mesh is turned inside out: its faces must be counter-clockwise from outside.")


def _check_in_cube(mesh: Mesh, cube_half_m: float) -> None:
    reach = float(np.abs(mesh.vertices).max())
    if reach > cube_half_m:
        raise InputError(
            f"the mesh reaches {reach:.3f} m from its origin but the cube only {cube_half_m:.3f} m: "
            "centre the mesh, give it in metres, or enlarge the cube."
        )


def _arrays(samples: SdfSamples) -> dict[str, np.ndarray]:
    return {
        "points_object": samples.points_object,
        "distance_m": samples.distance_m,
        "kind": samples.kind,
    }


def _payload_hash(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _write(path: Path, samples: SdfSamples) -> None:
    arrays = _arrays(samples)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, save(arrays, metadata={"sha256": _payload_hash(arrays)}))


def _read(path: Path) -> SdfSamples | None:
    """The cached samples; None where the file is missing or damaged, and must be computed again."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            stated = (file.metadata() or {}).get("sha256")
    except SafetensorError as error:
        LOG.warning("rebuilding the damaged cache file %s (%s)", path.name, error)
        return None
    if stated != _payload_hash(arrays):
        LOG.warning("rebuilding the damaged cache file %s (contents do not match their hash)", path.name)
        return None
    return SdfSamples(**arrays)
