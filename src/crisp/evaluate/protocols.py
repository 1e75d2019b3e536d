"""The names of the protocols, and what each one's figures depend on (method.md, section 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crisp.errors import InputError
from crisp.evaluate.metrics import bop_errors
from crisp.evaluate.metrics.boxes import TURNS
from crisp.evaluate.metrics.nocs_map import IOU_THRESHOLDS, LEAST_IOU, POSE_THRESHOLDS
from crisp.evaluate.metrics.shape import CHAMFER_POINTS, CRISP_SHAPE_POINTS, ESTIMATE_POINTS, TRUTH_POINTS
from crisp.evaluate.options import PROTOCOLS, Protocol

NEED_MESH = frozenset(PROTOCOLS) - {"add-s", "bop"}
MAP_PROTOCOLS = frozenset({"nocs-map", "nocs-map-original"})

ADD_S_POINTS = 5000
F_SCORE_M = (0.002, 0.005)
AUC_CM = (1, 2, 3, 10)
E_SHAPE_AUC = (0.03, 0.05, 0.10)
LEAST_VISIBLE = 0.1
"""Labels of which less can be seen are no targets of `bop`."""
SEED = 0


def checked(protocols: Sequence[str]) -> tuple[Protocol, ...]:
    """Each once, in the order of PROTOCOLS.

    Raises:
        InputError: none, or one that does not exist.
    """
    if not protocols or (unknown := set(protocols) - set(PROTOCOLS)):
        what = ", ".join(sorted(unknown)) if protocols else "none"
        raise InputError(f"protocols must be among {', '.join(PROTOCOLS)}, got {what}.")
    return tuple(name for name in PROTOCOLS if name in protocols)


def settings_of(protocol: Protocol) -> dict[str, Any]:
    """All constants that the protocol's figures depend on, as plain JSON."""
    paper = {"estimate_points": ESTIMATE_POINTS, "truth_points": TRUTH_POINTS, "directions": "sum of means"}
    boxes = {
        "iou": list(IOU_THRESHOLDS),
        "deg_cm": [list(pair) for pair in POSE_THRESHOLDS],
        "turns": TURNS,
        "score": "mean over categories of AP",
        "category": "the label's",
    }
    said: dict[Protocol, dict[str, Any]] = {
        "add-s": {"points": ADD_S_POINTS, "auc_cm": list(AUC_CM), "direction": "truth to estimate, mean"},
        "crisp-shape": {
            "points": CRISP_SHAPE_POINTS,
            "auc": list(E_SHAPE_AUC),
            "direction": "truth to estimate, mean, each divided by its diameter",
        },
        "chamfer-mm": {
            "points": CHAMFER_POINTS,
            "f_score_m": list(F_SCORE_M),
            "directions": "average of means",
        },
        "spe3r-l1": paper | {"norm": 1},
        "nocs-shape": paper | {"distance": "squared", "factor": 1000},
        "nocs-map-original": boxes | {"bounds": "over coordinates", "least_iou": LEAST_IOU},
        "nocs-map": boxes | {"bounds": "over corners", "least_iou": None},
        "bop": {
            "thresholds": list(bop_errors.THRESHOLDS),
            "delta_m": bop_errors.VISIBLE_WITHIN_M,
            "symmetry_step": bop_errors.SYMMETRY_STEP,
            "least_visible": LEAST_VISIBLE,
        },
    }
    return said[protocol]
