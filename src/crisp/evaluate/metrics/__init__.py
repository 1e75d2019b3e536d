"""The metrics by name: one file each. Reading the names imports none of them."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from crisp.errors import InputError

if TYPE_CHECKING:
    from crisp.evaluate.metrics.metric import Metric

METRICS = {
    "add-s": "crisp.evaluate.metrics.add_s:AddS",
    "crisp-shape": "crisp.evaluate.metrics.crisp_shape:CrispShape",
    "chamfer-mm": "crisp.evaluate.metrics.chamfer:Chamfer",
    "spe3r-l1": "crisp.evaluate.metrics.spe3r_l1:Spe3rL1",
    "nocs-shape": "crisp.evaluate.metrics.nocs_shape:NocsShape",
    "nocs-map-original": "crisp.evaluate.metrics.nocs_map:NocsMapOriginal",
    "nocs-map": "crisp.evaluate.metrics.nocs_map:NocsMap",
    "bop": "crisp.evaluate.metrics.bop:Bop",
}
"""Each metric's class; it is called without arguments. Their order is that of tables and columns."""

DEFAULT: tuple[str, ...] = ("add-s", "chamfer-mm")
"""What we trust, and what a run is judged by unless something else is asked for."""


def metrics_named(names: Sequence[str]) -> dict[str, Metric[Any]]:
    """Each once, in the order of `METRICS`.

    Raises:
        InputError: none, or a name that is not registered.
    """
    if not names or (unknown := set(names) - set(METRICS)):
        what = ", ".join(sorted(unknown)) if names else "none"
        raise InputError(f"protocols must be among {', '.join(METRICS)}, got {what}.")
    return {name: resolve_name(place)() for name, place in METRICS.items() if name in names}
