"""Scores over a stream: the log's poses against the labels, object by object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crisp.data.bop.reader import BopDataset
from crisp.errors import InputError
from crisp.evaluate.stream import stream_scores


def test_the_truth_is_perfect_and_a_shift_costs_at_most_itself(bop_root: Path) -> None:
    dataset = BopDataset(bop_root, "train")
    key = dataset.keys[0]
    lines: list[dict[str, object]] = [{"event": "step"}]
    for instance in dataset.instances(key):
        moved = instance.T_camera_object.copy()
        moved[2, 3] += 0.01
        lines.append(
            {
                "event": "label",
                "frame": key.frame_id,
                "detection": instance.index,
                "T_camera_object_start": moved.tolist(),
                "T_camera_object": instance.T_camera_object.tolist(),
            }
        )
    lines.append({"event": "label", "frame": key.frame_id, "detection": 0})  # it came to no estimate
    found = stream_scores(dataset, lines)
    assert found["corrected"].tolist() == [0.0, 0.0, np.inf]
    assert (found["network alone"][:2] > 0).all() and (found["network alone"][:2] <= 0.01 + 1e-9).all()


def test_a_mask_without_a_label_is_named(bop_root: Path) -> None:
    dataset = BopDataset(bop_root, "train")
    line = {"event": "label", "frame": dataset.keys[0].frame_id, "detection": 9}
    with pytest.raises(InputError, match="has no mask 9"):
        stream_scores(dataset, [line])
