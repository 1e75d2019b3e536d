"""A frame of three objects, of which one was found, one has no pose and one was not seen."""

from __future__ import annotations

import numpy as np
import pytest
from page_reader import CAMERA, SENTENCE, box, pose

from crisp.output.report import ObjectTruth
from crisp.output.sink import Truth
from crisp.types import Frame, Result


@pytest.fixture
def frame() -> Frame:
    rgb = np.full((121, 161, 3), 128, dtype=np.uint8)
    return Frame(rgb, np.full((121, 161), 1.0, dtype=np.float32), CAMERA, frame_id="000001/000007")


@pytest.fixture
def results() -> list[Result]:
    pnc = np.zeros((16, 16, 3), dtype=np.float32)
    pnc[..., 0] = np.linspace(-0.1, 0.1, 16)
    found = Result(
        status="ok",
        T_camera_object=pose(-0.2, 0.0, 1.0),
        mesh=box((0.2, 0.2, 0.2)),
        diameter_m=0.346,
        inlier_share=0.875,
        box_px=(40, 40, 80, 80),
        pnc=pnc,
        valid=np.ones((16, 16), dtype=bool),
        timing_ms={"crop": 2.0, "network": 90.0, "mesh": 108.0},
    )
    failed = Result(status="registration_failed", message=SENTENCE, box_px=(90, 50, 120, 70))
    unseen = Result(status="mask_empty", message="the mask has no pixel.")
    return [found, failed, unseen]


@pytest.fixture
def truths() -> list[ObjectTruth | None]:
    errors = Truth(add_s_m=0.00321, rotation_deg=4.26, translation_m=0.002, chamfer_m=0.00149)
    true_box = box((0.2, 0.2, 0.21))
    return [
        ObjectTruth("tall_box", true_box, pose(-0.19, 0.0, 1.0), errors, visible_share=0.75),
        ObjectTruth("lost_box", true_box, pose(0.2, 0.0, 1.0), None),
        None,
    ]
