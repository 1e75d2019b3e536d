"""What the page knows of one object, and how it writes a length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crisp.render.shading import ShadedMesh
from crisp.report.comparison import Comparison
from crisp.results import Truth
from crisp.types import Result

MM = 1000.0


@dataclass(frozen=True, eq=False)
class Shown:
    """A result with all that the page shows of it; what is unknown is None.

    Args:
        comparison: with what the network alone had said.
        start_mesh: that one's, without normals.
        errors_start: that one's.
        right: whether the estimate is right, by the measure that the certificate is calibrated for.
    """

    number: int
    result: Result
    name: str
    mesh: ShadedMesh | None = None
    comparison: Comparison | None = None
    start_mesh: ShadedMesh | None = None
    truth_mesh: ShadedMesh | None = None
    T_camera_truth: Float[np.ndarray, "4 4"] | None = None
    errors: Truth | None = None
    errors_start: Truth | None = None
    right: bool | None = None
    symmetric: bool = False
    visible_share: float | None = None

    @property
    def corrected(self) -> bool:
        """There is an answer of the network alone to compare with."""
        return self.comparison is not None and self.comparison.start is not None


def millimetres(length_m: float) -> str:
    """A length for people, with a digit that still means something."""
    return f"{MM * length_m:.1f} mm"
