"""A checkpoint is one folder: tensors in safetensors, everything else in a JSON that a person can read.

    checkpoint.json        configuration, objects, training, and the SHA-256 of each file below
    heads.safetensors      shape head, PNC head, shape decoder
    library.safetensors    codes (K, C) float32
    backbone.safetensors   or a relative path to a file that several checkpoints share

The JSON is written last and every file is checked against it, so a half-written folder never loads.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from crisp.documents import above_zero, at_most, read_record, write_json
from crisp.errors import InputError, naming
from crisp.files import part_folder, write_whole
from crisp.networks.backbone import Backbone, dequantise, quantise
from crisp.networks.config import HEAD_CHOICES, NetworkConfig
from crisp.networks.model import CrispNetwork, build_network
from crisp.shape.library import ShapeLibrary
from crisp.types import Symmetries

LARGEST_M = float(torch.finfo(torch.float32).max)
MATRIX = 16  # numbers of a 4x4 transform


@dataclass(frozen=True)
class StoredAxis:
    """A continuous symmetry: any turn about an axis through a point, in the object frame, metres.

    Raises:
        InputError: an axis without a direction.
    """

    axis: tuple[float, float, float]
    offset: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not any(self.axis):
            raise InputError("the axis of a symmetry has no direction: it must not be zero.")


@dataclass(frozen=True)
class StoredObject:
    """One known object as `checkpoint.json` has it; symmetries in BOP's form, but in metres.

    Args:
        symmetries_discrete: 4x4 transforms, row by row.
        symmetries_continuous: axes with offsets.

    Raises:
        InputError: a diameter that cannot be, or a transform that has not 16 numbers.
    """

    id: int
    name: str
    kind: str
    diameter_m: float
    symmetries_discrete: tuple[tuple[float, ...], ...]
    symmetries_continuous: tuple[StoredAxis, ...]

    def __post_init__(self) -> None:
        above_zero(self, "diameter_m")
        at_most(self, LARGEST_M, "diameter_m")
        if wrong := [len(T) for T in self.symmetries_discrete if len(T) != MATRIX]:
            raise InputError(f"a discrete symmetry must have {MATRIX} numbers, a 4x4 matrix, got {wrong[0]}.")

    @property
    def symmetries(self) -> Symmetries:
        """As arrays."""
        return Symmetries(
            discrete=tuple(np.array(T).reshape(4, 4) for T in self.symmetries_discrete),
            continuous=tuple((np.array(s.axis), np.array(s.offset)) for s in self.symmetries_continuous),
        )


@dataclass(frozen=True)
class StoredFile:
    """A file of the checkpoint: its path relative to the folder, and its hex digest."""

    path: str
    sha256: str


@dataclass(frozen=True)
class StoredFiles:
    """The tensors of a checkpoint."""

    heads: StoredFile
    library: StoredFile
    backbone: StoredFile


@dataclass(frozen=True)
class StoredCheckpoint:
    """`checkpoint.json`.

    Args:
        units: of all lengths.
        training: free JSON values.
    """

    format_version: int
    name: str
    units: Literal["m"]
    network: NetworkConfig
    objects: tuple[StoredObject, ...]
    training: Mapping[str, Any]
    files: StoredFiles

    def to_json(self) -> dict[str, Any]:
        """As it is written: the network's head says its kind."""
        return asdict(self) | {"network": self.network.to_json()}


@dataclass(frozen=True, eq=False)
class CheckpointInfo:
    """Which objects a network knows and how it was trained.

    Args:
        name: of the model, such as "bundled".
        library: names, ids, codes and diameters of the known objects.
        kinds: the objects' categories, in the library's order.
        symmetries: the objects' declared symmetries, in the library's order.
        training: free JSON values: recipe, data, commands, steps, metrics.

    Raises:
        InputError: kinds or symmetries that do not number as the library's objects.
    """

    name: str
    library: ShapeLibrary
    kinds: tuple[str, ...]
    symmetries: tuple[Symmetries, ...]
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.kinds) == len(self.symmetries) == len(self.library):
            raise InputError(
                f"a checkpoint of {len(self.library)} objects needs as many kinds and symmetries, "
                f"got {len(self.kinds)} and {len(self.symmetries)}."
            )

    def stored_objects(self) -> tuple[StoredObject, ...]:
        """One readable entry per object."""
        rows = zip(self.library.names, self.library.object_ids, self.kinds, self.symmetries, strict=True)
        return tuple(
            StoredObject(
                id=object_id,
                name=name,
                kind=kind,
                diameter_m=float(self.library.diameters_m[i]),
                symmetries_discrete=tuple(tuple(np.ravel(T).tolist()) for T in symmetries.discrete),
                symmetries_continuous=tuple(
                    StoredAxis(tuple(np.ravel(axis).tolist()), tuple(np.ravel(offset).tolist()))
                    for axis, offset in symmetries.continuous
                ),
            )
            for i, (name, object_id, kind, symmetries) in enumerate(rows)
        )

    @classmethod
    def of(cls, stored: StoredCheckpoint, codes: Float[Tensor, "k c"]) -> CheckpointInfo:
        """The inverse of `stored_objects`, given the library's codes.

        Raises:
            InputError: another number of codes than of objects, or names that stand twice.
        """
        objects = stored.objects
        if len(codes) != len(objects):
            raise InputError(
                f"the checkpoint names {len(objects)} objects but its library holds {len(codes)} codes."
            )
        library = ShapeLibrary(
            names=tuple(entry.name for entry in objects),
            object_ids=tuple(entry.id for entry in objects),
            codes=codes,
            diameters_m=torch.tensor([entry.diameter_m for entry in objects], dtype=torch.float32),
        )
        return cls(
            name=stored.name,
            library=library,
            kinds=tuple(entry.kind for entry in objects),
            symmetries=tuple(entry.symmetries for entry in objects),
            training=stored.training,
        )


FORMAT_VERSION = 1
JSON_NAME = "checkpoint.json"
_HEAD_PARTS = ("shape_head", "pnc_head", "decoder")
_FLOATS = {"float16": torch.float16, "float32": torch.float32}

Storage = Literal["int8", "float16", "float32"]


def save_checkpoint(
    folder: Path,
    network: CrispNetwork,
    info: CheckpointInfo,
    *,
    dtype: Storage = "float16",
    backbone_dtype: Storage = "int8",
    backbone_file: Path | None = None,
) -> None:
    """Write a checkpoint, replacing one that is already there.

    Args:
        dtype: of the heads on disk. int8 spares the shape decoder (float16): sines amplify rounding.
        backbone_dtype: of the backbone on disk. With int8, train on `quantise_backbone` so that what is saved
            is what was trained on.
        backbone_file: share this file instead of writing the backbone into the folder. Written if it is not
            there yet; otherwise it must hold this network's backbone exactly.

    Raises:
        InputError: codes of another size than the network's, a shared backbone that differs, a folder that
            cannot be written.
    """
    folder = Path(folder)
    if info.library.codes.shape[1] != network.config.code_dim:
        raise InputError(
            f"the library's codes have {info.library.codes.shape[1]} numbers, "
            f"the network's {network.config.code_dim}."
        )
    try:
        with part_folder(folder) as part:
            heads = _write_heads(part, network, dtype)
            library = _write_tensors(part / "library.safetensors", {"codes": info.library.codes})
            packed = _pack(network.backbone.published_state(), backbone_dtype)
            backbone = _write_backbone(
                backbone_file or part / "backbone.safetensors", packed, network.backbone
            )
            if backbone_file is not None:
                backbone = replace(backbone, path=Path(os.path.relpath(backbone_file, folder)).as_posix())
            files = StoredFiles(heads=heads, library=library, backbone=backbone)
            write_json(part / JSON_NAME, _stored(network.config, info, files).to_json())
            _publish(part, folder)
    except OSError as error:
        raise InputError(f"the checkpoint {folder} cannot be written: {error.strerror or error}.") from error


def load_checkpoint(folder: str | Path) -> tuple[CrispNetwork, CheckpointInfo]:
    """Read a checkpoint; the network comes in evaluation mode, on the CPU, in float32.

    Raises:
        InputError: a missing or changed file, an unknown format version or key, tensors that do not fit.
    """
    folder = Path(folder)
    if not (folder / JSON_NAME).is_file():
        raise InputError(f"{folder} is not a checkpoint: it holds no {JSON_NAME}.")
    stored = read_record(folder / JSON_NAME, StoredCheckpoint, version=FORMAT_VERSION, choices=HEAD_CHOICES)
    heads, library, backbone = (
        _checked_file(folder, name, getattr(stored.files, name)) for name in ("heads", "library", "backbone")
    )
    with naming(str(folder / JSON_NAME)):
        network = _build(stored.network, dequantise(_read_tensors(backbone)))
    _load_heads(network, heads)
    codes = _library_codes(library, stored.network.code_dim)
    with naming(str(folder / JSON_NAME)):
        info = CheckpointInfo.of(stored, codes)
    return network.eval(), info


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_heads(folder: Path, network: CrispNetwork, storage: Storage) -> StoredFile:
    state = _head_state(network)
    decoder = {k: v for k, v in state.items() if k.startswith("decoder.")}
    others = {k: v for k, v in state.items() if k not in decoder}
    packed = _pack(others, storage) | _pack(decoder, "float16" if storage == "int8" else storage)
    return _write_tensors(folder / "heads.safetensors", packed)


def _head_state(network: CrispNetwork) -> dict[str, Tensor]:
    return {k: v for k, v in network.state_dict().items() if k.split(".")[0] in _HEAD_PARTS}


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> StoredFile:
    # Not save_file: its files are readable by their owner alone, whatever the umask says.
    write_whole(path, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}))
    return StoredFile(path.name, sha256(path))


def _pack(state: Mapping[str, Tensor], storage: Storage) -> dict[str, Tensor]:
    if storage == "int8":
        return quantise(state)
    return {k: v.to(_FLOATS[storage]) for k, v in state.items()}


def _write_backbone(path: Path, packed: Mapping[str, Tensor], backbone: Backbone) -> StoredFile:
    """Write the file, or make sure that the one that is there holds the same weights."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return _write_tensors(path, packed)
    stored = dequantise(_read_tensors(path))
    own = backbone.published_state()
    if set(stored) != set(own) or not all(torch.equal(stored[k], own[k].cpu()) for k in own):
        raise InputError(f"the shared backbone {path} is not the backbone that this network was trained on.")
    return StoredFile(path.name, sha256(path))


def _stored(config: NetworkConfig, info: CheckpointInfo, files: StoredFiles) -> StoredCheckpoint:
    return StoredCheckpoint(
        format_version=FORMAT_VERSION,
        name=info.name,
        units="m",
        network=config,
        objects=info.stored_objects(),
        training=info.training,
        files=files,
    )


def _publish(part: Path, folder: Path) -> None:
    """Move a finished folder to its place; into an existing one file by file, the JSON last."""
    if not folder.exists():
        part.replace(folder)
        return
    names = sorted((p.name for p in part.iterdir()), key=lambda name: name == JSON_NAME)
    for name in names:
        (part / name).replace(folder / name)
    if "backbone.safetensors" not in names:
        (folder / "backbone.safetensors").unlink(missing_ok=True)


def _build(config: NetworkConfig, backbone_state: Mapping[str, Tensor]) -> CrispNetwork:
    try:
        backbone = Backbone.from_state(config.backbone, backbone_state, image_px=config.image_px)
        return build_network(config, backbone)
    except InputError:
        raise
    except (ArithmeticError, RuntimeError, ValueError) as error:
        # Numbers that contradict each other in ways that only the layers notice, such as a dropout of 5.
        reason = str(error).partition("\n")[0]
        raise InputError(f"network describes what cannot be built ({reason}).") from error


def _checked_file(folder: Path, name: str, stored: StoredFile) -> Path:
    relative = Path(stored.path)
    if relative.is_absolute():
        raise InputError(f"the checkpoint's {name} file must be given by a relative path, got {relative}.")
    path = folder / relative
    if not path.is_file():
        raise InputError(f"the checkpoint's {name} file {path} is missing.")
    if sha256(path) != stored.sha256:
        raise InputError(
            f"the checkpoint's {name} file {path} was changed: its SHA-256 is not the recorded one."
        )
    return path


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file: {error}.") from error


def _load_heads(network: CrispNetwork, path: Path) -> None:
    stored = dequantise(_read_tensors(path))
    own = _head_state(network)
    _exact_names(stored, set(own), path.name)
    for name, value in own.items():
        if stored[name].shape != value.shape:
            raise InputError(
                f"{name} in {path.name} is {tuple(stored[name].shape)}, "
                f"the configuration asks for {tuple(value.shape)}."
            )
        value.copy_(stored[name])


def _library_codes(path: Path, code_dim: int) -> Tensor:
    tensors = _read_tensors(path)
    _exact_names(tensors, {"codes"}, path.name)
    if tensors["codes"].ndim != 2 or tensors["codes"].shape[1] != code_dim:
        raise InputError(
            f"codes in {path.name} must be (K, {code_dim}), got {tuple(tensors['codes'].shape)}."
        )
    return tensors["codes"]


def _exact_names(tensors: Mapping[str, Tensor], wanted: set[str], place: str) -> None:
    for kind, names in (("unknown", set(tensors) - wanted), ("missing", wanted - set(tensors))):
        if names:
            raise InputError(f"{place} has {kind} tensors: the first is {min(names)!r}.")
