"""Which known object an estimate is of, in words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crisp.shape.library import UNKNOWN, ShapeLibrary
from crisp.types import Certificate, CorrectionSummary, Estimate


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
