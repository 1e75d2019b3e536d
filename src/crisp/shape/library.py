"""The shape library: one code per known object, and the name of the object that a code is nearest to."""

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
    """Known objects and the codes that reconstruct them, in the same order.

    Args:
        names: K unique names; none before training.
        object_ids: the objects' ids in the data set, unique.
        codes: (K, C) float32.
        diameters_m: (K,) float32, metres.

    Raises:
        InputError: counts that differ, repeated names or ids, codes that are not finite float32 numbers, or
            diameters that are not positive.
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
                raise InputError(f"the {what} {repeated[0]} occurs twice in the shape library.")
        if self.codes.dtype != torch.float32 or not torch.isfinite(self.codes).all():
            raise InputError("the codes of a shape library must be finite float32 numbers.")
        if not (torch.isfinite(self.diameters_m) & (self.diameters_m > 0)).all():
            raise InputError("the diameters of a shape library must be positive metres.")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _apart(self) -> Float[Tensor, " k"]:
        """Distance from each code to the nearest other code; infinite in a library of one object."""
        return code_distances(self.codes, self.codes).fill_diagonal_(torch.inf).min(dim=1).values

    def labels(self, codes: Float[Tensor, "n c"]) -> list[str]:
        """For each code, the name of the known object with the nearest code, or `UNKNOWN`.

        The object counts only if its code is nearer than half the distance from it to the nearest other code
        of the library. So each code has at most one name, and codes between two objects have none. In a
        library of one object, every code gets its name; in an empty library, every code is `UNKNOWN`.
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
    # The default for many rows, a matrix product, would lose half the digits of small distances.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def name_all(
    estimates: Sequence[Estimate],
    library: ShapeLibrary | None,
    certificates: Sequence[Certificate | None],
) -> list[str | None]:
    """The name of each estimate's object, or `UNKNOWN`; None without a library.

    A corrector that only tries known shapes turns everything into a known object. So the name counts only if
    the code that the network predicted gets the same name, or if the estimate is certified.
    """
    if library is None or not estimates:
        return [None] * len(estimates)
    found = library.labels(torch.stack([item.shape_code for item in estimates]))
    codes = [e.shape_code if e.correction is None else _predicted_code(e.correction) for e in estimates]
    predicted = library.labels(torch.stack(codes))
    certified = [certificate is not None and certificate.certified for certificate in certificates]
    rows = zip(found, predicted, certified, strict=True)
    return [name if name == other or sure else UNKNOWN for name, other, sure in rows]


def _predicted_code(correction: CorrectionSummary) -> Tensor:
    return torch.from_numpy(correction.shape_code_start)
