"""The library S: one shape code per known object.

Which known object an estimate is of, in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from crisp.errors import InputError
from crisp.types import Certificate, CorrectionSummary, Estimate

UNKNOWN = "unknown"
NEAR_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class ShapeLibrary:
    """Known objects and the codes that reconstruct them, row by row.

    Args:
        names: unique names, K of them; a network that has not been trained yet has none.
        object_ids: the objects' ids in the data set, unique.
        codes: (K, C) float32.
        diameters_m: (K,) float32, metres.

    Raises:
        InputError: counts that differ, repeated names or ids, codes or diameters that cannot be.
    """

    names: tuple[str, ...]
    object_ids: tuple[int, ...]
    codes: Float[Tensor, "k c"]
    diameters_m: Float[Tensor, " k"]

    def __post_init__(self) -> None:
        counts = (len(self.names), len(self.object_ids), len(self.codes), len(self.diameters_m))
        if len(set(counts)) != 1:
            raise InputError(
                "a shape library needs one name, id, code and diameter per object, "
                f"got {counts[0]}, {counts[1]}, {counts[2]} and {counts[3]}."
            )
        for what, values in (("name", self.names), ("object id", self.object_ids)):
            repeated = [v for i, v in enumerate(values) if v in values[:i]]
            if repeated:
                raise InputError(f"the {what} {repeated[0]} stands twice in the shape library.")
        if self.codes.dtype != torch.float32 or not torch.isfinite(self.codes).all():
            raise InputError("the codes of a shape library must be finite float32 numbers.")
        if not (torch.isfinite(self.diameters_m) & (self.diameters_m > 0)).all():
            raise InputError("the diameters of a shape library must be positive metres.")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _apart(self) -> Float[Tensor, " k"]:
        """From each code to the next known one's; infinite for the only one."""
        return code_distances(self.codes, self.codes).fill_diagonal_(torch.inf).min(dim=1).values

    def labels(self, codes: Float[Tensor, "n c"]) -> list[str]:
        """The name of the known object whose code is nearest to each, or `UNKNOWN` where none is near.

        Near is less than half the way from that object's code to the next known one's: every code has at most
        one such object, and what lies between two of them is neither. A library of one object has nothing to
        tell it from: all codes are that object's. An empty one knows nothing.
        """
        if not self.names:
            return [UNKNOWN] * len(codes)
        distance, index = code_distances(codes.to(self.codes), self.codes).min(dim=1)
        near = distance < NEAR_SHARE * self._apart[index]
        return [
            self.names[i] if is_near else UNKNOWN
            for i, is_near in zip(index.tolist(), near.tolist(), strict=True)
        ]


def code_distances(a: Float[Tensor, "n c"], b: Float[Tensor, "k c"]) -> Float[Tensor, "n k"]:
    """Euclidean distances between codes."""
    # By matrix product, which is the default for many rows, near codes would lose half their digits.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def name_all(
    estimates: Sequence[Estimate],
    library: ShapeLibrary | None,
    certificates: Sequence[Certificate | None],
) -> list[str | None]:
    """Which known object each is by its shape code, or that none is near; None without a library.

    A corrector that is only offered known shapes makes a known object of everything: what the network itself
    had said must be near to the same one, or the certificate must vouch for the shape.
    """
    if library is None or not estimates:
        return [None] * len(estimates)
    found = library.labels(torch.stack([item.shape_code for item in estimates]))
    first = [e.shape_code if e.correction is None else _first_code(e.correction) for e in estimates]
    said = library.labels(torch.stack(first))
    vouched = [certificate is not None and certificate.certified for certificate in certificates]
    rows = zip(found, said, vouched, strict=True)
    return [name if name == other or sure else UNKNOWN for name, other, sure in rows]


def _first_code(correction: CorrectionSummary) -> Tensor:
    return torch.from_numpy(correction.shape_code_start)
