"""Protocol `add-s`: ADD-S in metres, and the errors of rotation and translation (method.md, section 9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from crisp.evaluate.cases import Case, TrueModel
from crisp.evaluate.metrics.metric import MM_PER_M, Figure, ObjectMetric, Scored, median
from crisp.evaluate.metrics.pose import add_s, rotation_error_deg, translation_error_m
from crisp.evaluate.metrics.shape import ESTIMATE_STREAM
from crisp.evaluate.metrics.statistics import auc

ADD_S_POINTS = 5000
AUC_CM = (1, 2, 3, 10)


@dataclass(frozen=True)
class PoseError:
    """Infinite where there is no estimate."""

    add_s_m: float
    rotation_deg: float
    translation_m: float


def pose_error(
    truth: TrueModel, T: Float[np.ndarray, "4 4"] | None, T_true: Float[np.ndarray, "4 4"]
) -> PoseError:
    """Of one estimate of a known object; None where there is none."""
    if T is None:
        return PoseError(np.inf, np.inf, np.inf)
    surface, symmetries = truth.sample(ADD_S_POINTS, stream=ESTIMATE_STREAM), truth.model.symmetries
    return PoseError(
        add_s_m=add_s(surface.points, T, T_true, tree=surface.tree),
        rotation_deg=rotation_error_deg(T, T_true, symmetries),
        translation_m=translation_error_m(T, T_true, symmetries),
    )


class AddS(ObjectMetric[PoseError]):
    """Mean distance from the model in its true pose to the nearest point of it in the estimated one."""

    settings: ClassVar[dict[str, Any]] = {
        "points": ADD_S_POINTS,
        "auc_cm": list(AUC_CM),
        "direction": "truth to estimate, mean",
    }

    def error(self, case: Case) -> PoseError:
        return pose_error(case.truth, case.T, case.instance.T_camera_object)

    def figures(self, scored: Scored[PoseError]) -> Iterator[Figure]:
        add_s_m = scored.column("add_s_m")
        for cm in AUC_CM:
            yield scored.figure(f"ADD-S AUC {cm} cm", add_s_m, partial(auc, threshold=cm / 100))
        yield scored.figure("ADD-S median mm", MM_PER_M * add_s_m, median)
        yield scored.figure("rotation median deg", scored.column("rotation_deg"), median)
        yield scored.figure("translation median mm", MM_PER_M * scored.column("translation_m"), median)

    def columns(self, error: PoseError) -> dict[str, float]:
        return asdict(error)
