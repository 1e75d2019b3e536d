"""The adapter: what it learns from, what it never touches, and how the guard calls it back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from told_stages import Told, frame, masks

import crisp
from crisp.adapt.adapter import Adapter
from crisp.adapt.recipe import AdaptRecipe, GuardConfig
from crisp.adapt.snapshot import read_snapshot, write_snapshot
from crisp.errors import InputError
from crisp.model import Model
from crisp.stages import detections_of

GUARD = GuardConfig(every=3, objects=6, least=2, check_every=2, most_failures=2)
RECIPE = AdaptRecipe(batch=3, shape_rate=0.01, pnc_rate=0.01, guard=GUARD)


class Lines(list[Mapping[str, Any]]):
    """A log in memory."""

    def __call__(self, line: Mapping[str, Any]) -> None:
        self.append(dict(line))

    def of(self, event: str) -> list[Mapping[str, Any]]:
        return [line for line in self if line["event"] == event]


def adapter(model: Model, told: Told, log: Lines, recipe: AdaptRecipe = RECIPE) -> Adapter:
    return Adapter(model, recipe, log=log, stages=told.stages)


def heads(model: Model) -> dict[str, torch.Tensor]:
    state = model.network.state_dict()
    return {k: v.clone() for k, v in state.items() if k.startswith(("shape_head", "pnc_head"))}


def test_it_learns_what_is_certified(model: Model, told: Told) -> None:
    """Every lesson says the same code, so what the heads say comes nearer; all else stays."""
    log = Lines()
    mine = adapter(model, told, log)
    source = copy.deepcopy(model.network.state_dict())
    for number in range(12):
        mine.feed(frame(number), masks())
    adapted = mine.finish()
    losses = [line["code"] for line in log.of("step")]
    assert losses[-1] < 0.5 * losses[0]
    for name, value in source.items():
        assert torch.equal(model.network.state_dict()[name], value), f"the source's {name} changed"
        if name.startswith(("backbone", "decoder")):
            assert torch.equal(adapted.network.state_dict()[name], value), name
    assert any(not torch.equal(v, source[k]) for k, v in heads(adapted).items())


def test_guard_frames_are_never_trained_on(model: Model, told: Told) -> None:
    log = Lines()
    mine = adapter(model, told, log)
    for number in range(12):
        mine.feed(frame(number), masks())
    mine.finish()
    fates: dict[str, set[str]] = {}
    for line in log.of("label"):
        fates.setdefault(line["frame"], set()).add(line["fate"])
    # Frame 0 fills the guard's least of two objects; then every third one goes there until it holds six.
    assert sorted(name for name, found in fates.items() if "guard" in found) == [
        f"000001/{n:06d}" for n in (0, 3, 6)
    ]
    assert all(len(found) == 1 for found in fates.values())
    queued = [line for line in log.of("label") if line["fate"] == "queued"]
    assert len(queued) == 18  # nine frames of two objects, and each batch of three makes a step
    assert len(log.of("step")) == 6 and log.of("end")[0]["unused"] == []


def test_what_is_not_certified_is_not_learnt(model: Model, told: Told) -> None:
    log = Lines()
    mine = adapter(model, told, log)
    for number in range(6):
        mine.feed(frame(number, black=number > 0), masks())
    before = heads(model)
    after = heads(mine.finish())
    assert not log.of("step")
    assert {line["fate"] for line in log.of("label")} == {"guard", "not certified"}
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_no_step_before_the_guard_can_judge(model: Model, told: Told) -> None:
    log = Lines()
    recipe = AdaptRecipe(batch=1, guard=GuardConfig(least=4, objects=4, every=3))
    mine = adapter(model, told, log, recipe)
    steps = []
    for number in range(4):
        mine.feed(frame(number), masks())
        steps.append(mine.progress.steps)
    assert steps == [0, 0, 2, 4]  # frames 0 and 2 make the guard's four objects; frame 1's labels have waited


def test_what_falls_out_of_a_full_queue_is_said(model: Model, told: Told) -> None:
    """A guard that never has enough objects: every second frame's 12 labels wait for 8 places, for batches of
    one."""
    log = Lines()
    recipe = AdaptRecipe(batch=1, guard=GuardConfig(every=2, least=99, objects=99))
    mine = adapter(model, told, log, recipe)
    for number in range(12):
        mine.feed(frame(number), masks())
    queued = [(line["frame"], line["detection"]) for line in log.of("label") if line["fate"] == "queued"]
    dropped = [(line["frame"], line["detection"]) for line in log.of("dropped")]
    assert len(queued) == 12 and dropped == queued[:4]
    mine.finish()
    left = [tuple(item) for item in log.of("end")[0]["unused"]]
    assert dropped + left == queued, "every label's end is in the log"


def test_the_guards_checks_say_where_they_came_from(model: Model, told: Told) -> None:
    """The guard's residuals under the weights that came in are those that a new adapter measures."""
    log = Lines()
    mine = adapter(model, told, log)
    for number in range(12):
        mine.feed(frame(number), masks())
    mine.finish()
    checks = log.of("guard")
    assert [line["objects"] for line in checks] == sorted(line["objects"] for line in checks)
    start = [line["own_residual_m"] for line in log.of("label") if line["fate"] == "guard"][:2]
    again = adapter(model, told, Lines())
    seen = [item for n in (0, 3, 6) for item in again.look(frame(n), detections_of(masks()))]
    of_source = [item.own_residual_m for item in seen]
    for line in checks:
        assert line["certified_share_start"] == 1.0
        expected = np.median(of_source[: line["objects"]])
        assert line["median_residual_m_start"] == pytest.approx(expected)
    assert start == pytest.approx(of_source[:2])


def test_worse_weights_are_rolled_back_and_then_it_stops(model: Model, told: Told) -> None:
    """The residual is told to rise as the heads learn: every check fails, the source's weights come out."""
    told.residual_m = lambda distance: 0.01 / (0.1 + distance)
    log = Lines()
    mine = adapter(model, told, log)
    for number in range(20):
        mine.feed(frame(number), masks())
    adapted = mine.finish()
    before, after = heads(model), heads(adapted)
    assert all(torch.equal(before[k], after[k]) for k in before)
    undone = log.of("roll-back")
    assert [line["stopped"] for line in undone] == [False, True]
    assert "median residual rose" in undone[0]["reasons"][0]
    assert undone[1]["rates"] == pytest.approx([0.01 * 0.3**2] * 2)
    assert log.of("label")[-1]["fate"] == "stopped" and log.of("end")[0]["stopped"]
    assert len(log.of("step")) == 2 * GUARD.check_every


def test_a_roll_back_returns_to_the_last_good_weights_not_to_the_first(model: Model, told: Told) -> None:
    log = Lines()
    mine = adapter(model, told, log)
    for number in range(7):
        mine.feed(frame(number), masks())
    assert log.of("guard") and not log.of("roll-back")
    good = heads(mine.model)
    told.residual_m = lambda distance: 1.0  # from now on everything looks worse
    for number in range(7, 20):
        mine.feed(frame(number), masks())
    adapted = heads(mine.finish())
    assert log.of("roll-back")
    assert all(torch.equal(good[k], adapted[k]) for k in good)
    assert any(not torch.equal(good[k], v) for k, v in heads(model).items())


def test_feeding_gives_a_result_for_every_mask(model: Model, told: Told) -> None:
    mine = adapter(model, told, Lines())
    results = mine.feed(frame(0), [masks()[0], ~masks()[0] & False, masks()[1]])
    assert [result.status for result in results] == ["ok", "mask_empty", "ok"]
    assert results[0].mesh is not None and results[0].certificate is not None


def test_features_are_computed_once_per_frame(model: Model, told: Told, monkeypatch: Any) -> None:
    """Guard frames are looked at again at every check; the backbone sees each crop once."""
    seen = []
    forward = model.network.backbone.forward
    monkeypatch.setattr(
        model.network.backbone, "forward", lambda images: seen.append(len(images)) or forward(images)
    )
    log = Lines()
    mine = adapter(model, told, log)
    for number in range(8):
        mine.feed(frame(number), masks())
    assert log.of("guard") and sum(seen) == 16
    assert told.looks.count("000001/000000") > 1


def test_a_resumed_run_ends_like_an_unbroken_one(model: Model, told: Told, tmp_path: Path) -> None:
    straight, first, second = Lines(), Lines(), Lines()
    whole = adapter(model, told, straight)
    broken = adapter(model, told, first)
    for number in range(14):
        whole.feed(frame(number), masks())
        if number < 8:
            broken.feed(frame(number), masks())
    write_snapshot(tmp_path / "s.safetensors", broken.snapshot(), log_bytes=7)
    found, length = read_snapshot(tmp_path / "s.safetensors")
    assert length == 7
    again = adapter(model, told, second)
    numbers = [int(name[-6:]) for name in found.guard_ids]
    again.resume(found, [(frame(n), detections_of(masks())) for n in numbers])
    for number in range(8, 14):
        again.feed(frame(number), masks())
    one, other = heads(whole.finish()), heads(again.finish())
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert [*first, *second] == straight
    assert whole.progress == again.progress


def test_the_public_door(model: Model, told: Told) -> None:
    assert crisp.Adapter is Adapter
    with pytest.raises(InputError, match="cannot be none"):
        Adapter(model, AdaptRecipe(correct="none"))
    with pytest.raises(InputError, match="no adaptation recipe 'nothing'"):
        Adapter(model, "nothing")
