"""Scores of predictions from a detector's masks: whose is whose, and what counts against them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detections_file import detection, true_detections, write_detections
from replicas import write_nocs
from scored_set import entry, motion, truth, write_predictions, write_set

from crisp.data.bop.reader import BopDataset
from crisp.data.dataset import FrameKey
from crisp.data.layouts import open_dataset
from crisp.data.plain_pickle import read_plain_pickle, write_plain_pickle
from crisp.errors import InputError
from crisp.evaluate.detections import labels_of_detections
from crisp.evaluate.options import PredictOptions, ScoreOptions
from crisp.evaluate.predict import predict
from crisp.evaluate.score import score
from crisp.evaluate.score_files import Scores
from crisp.model import Model
from crisp.sources.masks import open_detections

FIRST = FrameKey(1, 0)
PROTOCOLS: tuple[str, ...] = ("add-s", "nocs-map", "bop")
MAP = ("IoU 25", "IoU 50", "IoU 75", "5 deg 5 cm", "5 deg 10 cm", "10 deg 5 cm", "10 deg 10 cm")
RECALLS = ("AR", "AR VSD", "AR MSSD", "AR MSPD")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets"))


def scored(
    folder: Path, root: Path, entries: list[dict[str, Any]], frames: dict[str, list[dict[str, Any]]]
) -> Scores:
    """Of predictions that were made from these detections."""
    file = write_detections(folder / "found.json", entries)
    settings = open_detections(BopDataset(root, "test"), file).settings
    write_predictions(folder, frames)
    content = json.loads((folder / "results.json").read_text())
    content["settings"] = {"masks": "detections", "detections": dict(settings)}
    (folder / "results.json").write_text(json.dumps(content))
    return score(ScoreOptions(folder, root, "test", protocols=PROTOCOLS, detections=file))


def figures(scores: Scores, group: str = "all") -> dict[str, float]:
    return {figure.name: figure.value for figure in scores.summary(group).figures}


def backwards() -> dict[str, list[dict[str, Any]]]:
    """The truth, with the last label of each frame as its first detection."""
    return {
        name: [one | {"detection": k} for k, one in enumerate(reversed(objects))]
        for name, objects in truth().items()
    }


def test_detections_find_their_labels_in_any_order(tmp_path: Path, root: Path) -> None:
    entries = list(reversed(true_detections(BopDataset(root, "test"))))
    scores = scored(tmp_path, root, entries, backwards())
    found = figures(scores)
    assert [found[name] for name in MAP] == pytest.approx([100] * 7)
    assert [found[name] for name in ("ADD-S AUC 1 cm", *RECALLS)] == pytest.approx([1] * 5)
    assert [row.detection for row in scores.objects[:3]] == [2, 1, 0]
    assert scores.objects[0].confidence == pytest.approx(0.9), "the detector's score"
    assert scores.surplus == () and scores.settings["masks"] == "detections"
    assert scores.settings["detections"]["file"] == "found.json" and "IoU" in scores.settings["matching"]


def test_a_find_that_is_none_costs_what_it_must(tmp_path: Path, root: Path) -> None:
    # A third can, where there is none, with a score above both: precision 0, 1/2, 2/3 at recalls 0, 1/2, 1.
    # Made to fall: 2/3 all the way, so AP of cans 66.7, of boxes and bottles 100: mean 88.9.
    # BOP looks for two cans in the frame and takes the two surest, of which one is wrong: 1 of 2 cans.
    dataset = BopDataset(root, "test")
    nowhere = np.zeros_like(dataset.mask(FIRST, 0))
    nowhere[:8, :8] = True
    entries = [*true_detections(dataset), detection(FIRST, nowhere, object_id=2, score=0.99)]
    frames = truth()
    frames["000001/000000"].append(entry(3, motion(t=(0.0, -0.3, 1.0)), "can"))
    scores = scored(tmp_path, root, entries, frames)
    (surplus,) = scores.surplus
    assert (surplus.kind, surplus.detection, surplus.confidence) == ("can", 3, 0.99)
    found = figures(scores)
    assert [found[name] for name in MAP] == pytest.approx([100 * (2 + 2 / 3) / 3] * 7)
    assert [figures(scores, "can")[name] for name in RECALLS] == pytest.approx([0.5] * 4)
    assert [found[name] for name in RECALLS] == pytest.approx([4 / 5] * 4)
    assert found["ADD-S AUC 1 cm"] == pytest.approx(1), "which asks of labels alone"
    assert "1 estimates are of no label" in (tmp_path / "scores.md").read_text()
    assert (tmp_path / "crisp_shelf-test.csv").read_text().count("\n") == 7  # header, five labels, and it


def test_a_detector_does_not_know_of_targets(tmp_path: Path, root: Path) -> None:
    """One can is asked for, the first; BOP takes the surest estimate of a can, whichever it is of."""
    entries = true_detections(BopDataset(root, "test"))
    scored(tmp_path, root, entries, truth())
    info = json.loads((root / "test" / "000001" / "scene_gt_info.json").read_text())
    assert info["0"][1]["visib_fract"] == info["0"][2]["visib_fract"] == 1.0  # the first is taken of equals
    said = [{"scene_id": 1, "im_id": 0, "obj_id": 2, "inst_count": 1}]
    (tmp_path / "targets.json").write_text(json.dumps(said))
    for first, recall in ((0.8, 1.0), (0.6, 0.0)):
        entries[1]["score"] = first  # the second can's is 0.7
        out = tmp_path / str(first)
        out.mkdir()
        scored(out, root, entries, truth())
        scores = score(
            ScoreOptions(
                out,
                root,
                "test",
                protocols=("bop",),
                detections=out / "found.json",
                targets=tmp_path / "targets.json",
                out=out / "of_targets",
            )
        )
        assert [row.errors["bop"] is not None for row in scores.objects] == [False, True, False]
        assert figures(scores)["AR"] == pytest.approx(recall)


def test_what_is_not_found_has_failed(tmp_path: Path, root: Path) -> None:
    entries = true_detections(BopDataset(root, "test"))[1:]
    frames = truth()
    first = "000001/000000"
    frames[first] = [one | {"detection": k} for k, one in enumerate(frames[first][1:])]
    scores = scored(tmp_path, root, entries, frames)
    missed = scores.objects[0]
    assert (missed.status, missed.detection) == ("missing", -1)
    assert np.isinf(missed.errors["add-s"].add_s_m)
    assert figures(scores)["ADD-S AUC 1 cm"] == pytest.approx(4 / 5)


def test_masks_of_another_object_or_too_little_overlap_are_of_no_label(root: Path, tmp_path: Path) -> None:
    dataset = BopDataset(root, "test")
    mask = dataset.mask(FIRST, 0)
    half, less = mask.copy(), mask.copy()
    pixels = np.argwhere(mask)
    half[tuple(pixels[: len(pixels) // 2].T)] = False
    less[tuple(pixels[: len(pixels) // 2 + 1].T)] = False
    small = np.zeros((3, 3), dtype=bool)

    def labels(*found: tuple[np.ndarray, int]) -> tuple[int | None, ...]:
        entries = [detection(FIRST, m, object_id=o, score=0.5) for m, o in found]
        source = open_detections(dataset, write_detections(tmp_path / "f.json", entries))
        return labels_of_detections(dataset, FIRST, source.found(FIRST))

    assert labels((mask, 1), (mask, 2)) == (0, None)
    assert labels((half, 1)) == (0,) and labels((less, 1)) == (None,)
    assert labels((half, 1), (mask, 1)) == (None, 0), "a label has one detection, the best"
    assert labels((small, 1)) == (None,) and labels() == ()


def test_other_detections_are_refused(tmp_path: Path, root: Path) -> None:
    entries = true_detections(BopDataset(root, "test"))
    scored(tmp_path, root, entries, truth())
    with pytest.raises(InputError, match=r"made from the detections found\.json: give --detections"):
        score(ScoreOptions(tmp_path, root, "test"))
    other = write_detections(tmp_path / "other.json", entries[1:])
    with pytest.raises(InputError, match=r"other\.json is not what the predictions were made from"):
        score(ScoreOptions(tmp_path, root, "test", detections=other))
    (tmp_path / "plain").mkdir()
    write_predictions(tmp_path / "plain", truth())
    with pytest.raises(InputError, match="were not made from detections"):
        score(ScoreOptions(tmp_path / "plain", root, "test", detections=other))


def test_predict_estimates_what_was_found(tmp_path: Path, bop_root: Path, flat_model: Model) -> None:
    """Only above the score, and a damaged one is said; the same estimates as of the same masks elsewhere."""
    flat_model = replace(flat_model, corrector=None, certificate=None)
    dataset = BopDataset(bop_root, "train")
    entries = true_detections(dataset)[:4]
    entries[2]["segmentation"] = None
    entries[2]["score"] = 0.95
    file = write_detections(tmp_path / "found.json", entries)
    out = tmp_path / "out"
    given = {"frames": 2, "detections": file, "min_score": 0.85}
    (fault,) = predict(flat_model, bop_root, PredictOptions("train", **given), out=out)
    assert "000000/000001" in fault and "has no mask" in fault
    content = json.loads((out / "results.json").read_text())
    assert content["settings"]["masks"] == "detections"
    assert content["settings"]["detections"]["min_score"] == 0.85
    statuses = [[o["status"] for o in frame["objects"]] for frame in content["frames"]]
    assert statuses[1] == ["mask_unreadable"] and len(statuses[0]) == 1
    assert predict(flat_model, bop_root, PredictOptions("train", frames=1), out=tmp_path / "masks") == []
    ours, theirs = (
        json.loads((folder / "results.json").read_text())["frames"][0]["objects"][0]
        for folder in (out, tmp_path / "masks")
    )
    # Not bit by bit: the batch has another size.
    np.testing.assert_allclose(ours["T_camera_object"], theirs["T_camera_object"], atol=1e-6)
    with pytest.raises(InputError, match="another model or other settings"):
        predict(flat_model, bop_root, PredictOptions("train", frames=2), out=out)
    with pytest.raises(InputError, match="leave min_visible at 0"):
        predict(flat_model, bop_root, PredictOptions("train", min_visible=0.1, **given), out=out)
    scores = score(
        ScoreOptions(
            out, bop_root, "train", protocols=("add-s",), detections=file, predicted_frames_only=True
        )
    )
    assert len(scores.objects) == 4 and scores.objects[1].status == "missing"


def test_nocs_detections_go_all_the_way(tmp_path: Path, flat_model: Model) -> None:
    """One frame's file is missing: its labels are failures, the other frame goes on."""
    flat_model = replace(flat_model, corrector=None, certificate=None)
    write_nocs(tmp_path / "set", "real_test")
    folder = tmp_path / "set" / "segmentation_results" / "REAL275"
    first, second = sorted(folder.iterdir())
    first.unlink()
    said = read_plain_pickle(second)
    write_plain_pickle(second, said | {"pred_class_ids": said["pred_class_ids"][::-1].copy()})
    out = tmp_path / "out"
    (fault,) = predict(flat_model, tmp_path / "set", PredictOptions("real_test", detections=folder), out=out)
    assert first.name in fault
    scores = score(
        ScoreOptions(out, tmp_path / "set", "real_test", protocols=("add-s", "nocs-map"), detections=folder)
    )
    # The detector calls the mug a can and the can a mug: no mask is of a label.
    assert [row.status for row in scores.objects] == ["missing"] * 4
    assert {one.kind for one in scores.surplus} <= {"mug", "can"}
    assert len(open_dataset(tmp_path / "set", "real_test").keys) == 2
