"""The objects of one frame: the batch that every stage of the pipeline takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from jaxtyping import Float
from torch import Tensor

from crisp.errors import ObjectFailure
from crisp.geometry.points import diameter
from crisp.networks.backbone import Features
from crisp.types import Certificate, Crop, Detection, Estimate, Frame, Mesh, Prediction, Result


@dataclass(frozen=True, eq=False)
class FrameObject:
    """One object of a frame and what is known of it so far; None is what no stage has found yet.

    Args:
        slot: its index among the frame's detections, which identifies it from the first stage to the last.
        detection: None where its mask could not be read.
        crop: what the network sees of it.
        features: the backbone's tokens of the crop, a batch of one, where the stage that predicts keeps them.
        pnc: (G, G, 3) metres, its row of the prediction.
        estimate: registered, then corrected.
        certificate: also None where none was asked for.
        name: of the known object that it is.
        mesh: of the estimated shape, object frame.
        failure: why it left the batch; what was known of it until then stays.
    """

    slot: int
    detection: Detection | None = None
    crop: Crop | None = None
    features: Features | None = None
    pnc: Float[Tensor, "g g 3"] | None = None
    estimate: Estimate | None = None
    certificate: Certificate | None = None
    name: str | None = None
    mesh: Mesh | None = None
    failure: ObjectFailure | None = None

    @property
    def certified(self) -> bool:
        return self.certificate is not None and self.certificate.certified

    def result(self, timing_ms: Mapping[str, float]) -> Result:
        """What users get of it, in NumPy on the CPU."""
        crop, found, failure = self.crop, self.estimate, self.failure
        return Result(
            status="ok" if failure is None else failure.status,
            message="" if failure is None else failure.message,
            label=self.name,
            T_camera_object=None if found is None else found.T_camera_object.cpu().numpy(),
            shape_code=None if found is None else found.shape_code.cpu().numpy(),
            mesh=self.mesh,
            diameter_m=None if self.mesh is None else diameter(self.mesh.vertices),
            inlier_share=None if found is None else found.inlier_share,
            box_px=None if crop is None else crop.box_px,
            pnc=None if self.pnc is None else self.pnc.cpu().numpy(),
            valid=None if crop is None else crop.valid.numpy(),
            correction=None if found is None else found.correction,
            certificate=self.certificate,
            timing_ms=dict(timing_ms),
        )


@dataclass(frozen=True, eq=False)
class Objects:
    """All objects of one frame, in the order of its detections.

    An object that failed keeps its slot and its sentence, but is no longer `alive`: lists and tensors have a
    row for each object alive, in order, and for no other. Each `with_*` gives a batch that knows more; it
    takes one value for each object alive, or the `ObjectFailure` that ends it.

    Args:
        frame: that all of them are in.
        all: one per detection.
        prediction: of the objects alive, once the network has seen them.
        timing_ms: of each stage, per object that could be cut out.

    Raises:
        ValueError: slots that do not count the objects, or a prediction of another number of them.
    """

    frame: Frame
    all: tuple[FrameObject, ...]
    prediction: Prediction | None = None
    timing_ms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if [item.slot for item in self.all] != list(range(len(self.all))):
            raise ValueError(f"slots must count the objects, got {[item.slot for item in self.all]}")
        if self.prediction is not None and len(self.prediction.pnc) != len(self.alive):
            raise ValueError(f"{len(self.prediction.pnc)} rows predicted for {len(self.alive)} objects")

    @classmethod
    def of(cls, frame: Frame, detections: Sequence[Detection | ObjectFailure]) -> Objects:
        """An ObjectFailure stands for a detection whose mask could not be read."""
        return cls(
            frame,
            tuple(
                FrameObject(slot, failure=item)
                if isinstance(item, ObjectFailure)
                else FrameObject(slot, item)
                for slot, item in enumerate(detections)
            ),
        )

    @cached_property
    def alive(self) -> tuple[FrameObject, ...]:
        """Those that no stage has given up."""
        return tuple(item for item in self.all if item.failure is None)

    @property
    def slots(self) -> list[int]:
        return [item.slot for item in self.alive]

    @property
    def detections(self) -> list[Detection]:
        return self._column("detection")

    @property
    def crops(self) -> list[Crop]:
        return self._column("crop")

    @property
    def estimates(self) -> list[Estimate]:
        return self._column("estimate")

    @property
    def certificates(self) -> list[Certificate | None]:
        return [item.certificate for item in self.alive]

    @property
    def predicted(self) -> Prediction:
        """The prediction, which the network must have made before."""
        if self.prediction is None:
            raise ValueError("the network has not seen these objects yet")
        return self.prediction

    def with_crops(self, crops: Sequence[Crop | ObjectFailure]) -> Objects:
        return self._with("crop", crops)

    def with_prediction(self, prediction: Prediction, features: Features | None = None) -> Objects:
        """Of all objects alive, row by row; `features` are kept where somebody will learn from them."""
        found = self._with("pnc", list(prediction.pnc))
        if features is not None:
            taps, cls = features.taps.split(1), features.cls.split(1)
            rows = [Features(*row) for row in zip(taps, cls, strict=True)]
            found = found._with("features", rows)
        return replace(found, prediction=prediction)

    def with_estimates(self, estimates: Sequence[Estimate | ObjectFailure]) -> Objects:
        return self._with("estimate", estimates)

    def with_certificates(self, certificates: Sequence[Certificate | None]) -> Objects:
        return self._with("certificate", certificates)

    def with_names(self, names: Sequence[str | None]) -> Objects:
        return self._with("name", names)

    def with_meshes(self, meshes: Sequence[Mesh | ObjectFailure]) -> Objects:
        return self._with("mesh", meshes)

    def results(self) -> list[Result]:
        """One for each detection, in order."""
        return [item.result(self.timing_ms) for item in self.all]

    def _column(self, key: str) -> list[Any]:
        values = [getattr(item, key) for item in self.alive]
        if any(value is None for value in values):
            raise ValueError(f"no stage has given these objects their {key} yet")
        return values

    def _with(self, key: str, values: Sequence[object]) -> Objects:
        changed = list(self.all)
        kept = []
        for row, (item, value) in enumerate(zip(self.alive, values, strict=True)):
            failed = isinstance(value, ObjectFailure)
            changed[item.slot] = replace(item, **{"failure" if failed else key: value})  # type: ignore[arg-type]
            if not failed:
                kept.append(row)
        prediction = self.prediction
        if prediction is not None and len(kept) < len(self.alive):
            prediction = prediction.take(kept)
        return replace(self, all=tuple(changed), prediction=prediction)
