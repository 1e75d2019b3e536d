"""A trained model ready to use: network and preprocessing from one checkpoint, so they cannot drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from crisp.certify.certificate import NAME as CALIBRATION
from crisp.certify.certificate import CertificateConfig, read_calibration
from crisp.crop import CropConfig
from crisp.errors import InputError, ObjectFailure
from crisp.geometry.align import RegistrationConfig
from crisp.networks.backbone import Backbone, dequantise, load_backbone, quantise_backbone
from crisp.networks.checkpoint import JSON_NAME, CheckpointInfo, load_checkpoint, sha256
from crisp.networks.config import preset
from crisp.networks.model import CrispNetwork
from crisp.pipeline import Stages, estimate
from crisp.recipes import bounds_under, load_correction
from crisp.refine.active_shape import ActiveShapes
from crisp.refine.corrector import Corrector
from crisp.shape.mesh import MeshConfig
from crisp.shipped import BUNDLED, WEIGHTS, correction_names
from crisp.stages import StageSettings, correct_all, detections_of, standard_stages
from crisp.tracking.pool import fingerprint
from crisp.tracking.tracker import Tracker, TrackingConfig
from crisp.types import Detection, Frame, Result

OWN = "own"
"""Correction settings: those that the checkpoint names."""
BACKBONE = WEIGHTS / "backbone" / "dinov2-small-int8.safetensors"


@dataclass(frozen=True, eq=False)
class Model:
    """Estimates pose and shape.

    Args:
        network: in evaluation mode, on its device.
        info: the checkpoint's description: object names, diameters, library of shape codes, training.
        name: how the checkpoint was asked for.
        sha256: of the checkpoint's description, which holds the hashes of its files.
        registration, meshing: settings of those stages.
        corrector: None leaves estimates as the registration found them. Loaded models have the one that their
            checkpoint names in `training.correct`, or "default".
        certificate: as calibrated for the checkpoint, else as published; None gives no verdicts.
    """

    network: CrispNetwork
    info: CheckpointInfo
    name: str
    sha256: str
    registration: RegistrationConfig = field(default_factory=RegistrationConfig)
    meshing: MeshConfig = field(default_factory=MeshConfig)
    corrector: Corrector | None = field(default_factory=lambda: load_correction("default")[0])
    certificate: CertificateConfig | None = field(default_factory=CertificateConfig)

    @cached_property
    def known_shapes(self) -> ActiveShapes:
        """The library and its sizes, measured when first asked for.

        Raises:
            InputError: the checkpoint has no library.
        """
        if len(self.info.library) == 0:
            raise InputError(
                f"the checkpoint {self.name} has no shape library, which the corrector needs: finish its "
                "training, or switch the corrector off (--correct none)."
            )
        return ActiveShapes.of(
            self.network.decoder,
            self.info.library.codes.to(self.device),
            surfaces=self.corrector is not None and self.corrector.search is not None,
        )

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.shape_head.parameters()).device

    @torch.inference_mode(False)  # whoever calls it in inference mode: the corrector needs gradients
    def estimate(self, frame: Frame, masks: Sequence[np.ndarray | Detection | ObjectFailure]) -> list[Result]:
        """Pose and shape of each masked object.

        Args:
            frame: one RGB-D frame.
            masks: one boolean (H, W) array (or Detection) per object: its visible pixels. An ObjectFailure
                stands for a mask that could not be read, and comes back as its result.

        Returns:
            One result per mask, in order, never fewer; see `Result.status`.
        """
        shapes = self.known_shapes if self.corrector is not None else None
        return estimate(frame, detections_of(masks), self._stages(shapes))

    def tracker(self, config: TrackingConfig | None = None) -> Tracker:
        """For the frames of one scene in order: `tracker.estimate(frame, masks, T_world_camera=...)`.

        Raises:
            InputError: the corrector or the certificate is switched off.
        """
        if self.corrector is None or self.certificate is None:
            raise InputError(
                "tracks need the corrector, which uses them, and the certificate, which feeds them: "
                "leave both on (not --correct none)."
            )
        decoder, shapes, settings = self.network.decoder, self.known_shapes, self.settings
        return Tracker(
            self._stages(shapes),
            lambda objects, pool_of: correct_all(
                objects, decoder, shapes=shapes, settings=settings, pool_of=pool_of
            ),
            decoder=decoder,
            weights=self.heads_fingerprint,
            config=config,
        )

    def with_correction(self, name: str) -> Model:
        """The same model with other settings of the corrector.

        Args:
            name: "own" for what the model was loaded with; "none" for the network alone, without verdicts;
                else of settings that come with the package ("default", "bcd", "ycbv-lsq", ...), or a TOML
                file. Where those leave the certificate to the model, it keeps its bounds; if these were
                measured with other settings, nothing is certified, and the certificates say so.

        Raises:
            InputError: no such settings, or a file that does not make sense.
        """
        if name == "none":
            return replace(self, corrector=None, certificate=None)
        if not name.endswith(".toml") and name not in correction_names():
            names = ", ".join(correction_names())
            raise InputError(f"there is no correction setting '{name}': give a .toml file or one of {names}.")
        source = own_correction(self.info) if name == OWN else name
        corrector, certificate = load_correction(source)
        if certificate is None and self.certificate is not None:
            certificate = bounds_under(self.certificate, source)
        return replace(self, corrector=corrector, certificate=certificate)

    def _stages(self, shapes: ActiveShapes | None) -> Stages:
        return standard_stages(self.network, shapes, self.settings, library=self.info.library)

    def heads_fingerprint(self) -> str:
        """Of the weights that make shapes and object frames, as they are now; the backbone is frozen."""
        weights = self.network.state_dict()
        return fingerprint({k: v for k, v in weights.items() if not k.startswith("backbone.")})

    @property
    def settings(self) -> StageSettings:
        """Of all stages; their records hold all numbers that estimates depend on beside the weights."""
        config = self.network.config
        return StageSettings(
            crop=CropConfig(image_px=config.image_px, pnc_px=config.pnc_px),
            registration=self.registration,
            corrector=self.corrector,
            certificate=self.certificate,
            meshing=self.meshing,
        )


def load_model(source: str | Path, *, device: str | None = None) -> Model:
    """See `crisp.load`."""
    folder = checkpoint_folder(source)
    network, info = load_checkpoint(folder)
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    digest = sha256(folder / JSON_NAME)
    own = own_correction(info)
    certificate = read_calibration(folder / CALIBRATION, model_sha256=digest, own=own)
    network = network.to(chosen).eval()
    sizes = info.library.diameters_m
    registration = RegistrationConfig.for_size(float(sizes.median()) if len(sizes) else 0.0)
    return Model(
        network,
        info,
        name=str(source),
        sha256=digest,
        certificate=bounds_under(certificate, own),
        registration=registration,
        corrector=load_correction(own)[0],
    )


def own_correction(info: CheckpointInfo) -> str:
    """Name of the correction settings that a checkpoint asks for."""
    return str(info.training.get("correct", "default"))


def checkpoint_folder(source: str | Path) -> Path:
    """The folder of a bundled model by its name, or the folder itself.

    Raises:
        InputError: neither a bundled name nor a folder with a checkpoint in it.
    """
    folder = WEIGHTS / BUNDLED[str(source)] if str(source) in BUNDLED else Path(source)
    if not (folder / JSON_NAME).is_file():
        raise InputError(
            f"{source} is neither a bundled model ({', '.join(BUNDLED)}) "
            "nor a folder with a checkpoint.json in it."
        )
    return folder


def training_backbone(source: str, *, preset_name: str) -> Backbone:
    """The frozen backbone to train on: the bundled one, or another, quantised first as it will be stored.

    Args:
        source: "bundled", a folder in Hugging Face format, or a hub id.
        preset_name: decides the input size.
    """
    config = preset(preset_name)
    if source != "bundled":
        return quantise_backbone(load_backbone(source, config.backbone, image_px=config.image_px))
    state = dequantise(load_file(BACKBONE))
    return Backbone.from_state(config.backbone, state, image_px=config.image_px)
