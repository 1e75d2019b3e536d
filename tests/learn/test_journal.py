"""What a run leaves behind: a state from which it goes on as if it had never stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from crisp.documents import write_json
from crisp.errors import InputError
from crisp.learn.journal import Journal, load_state, save_state


def fresh(kind: type[torch.optim.Optimizer], seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 1))
    groups = [{"params": module[0].parameters(), "lr": 0.05}, {"params": list(module[1:].parameters())}]
    return module, kind(groups, lr=0.02, weight_decay=0.01)  # type: ignore[call-arg]


def advance(module: nn.Module, optimiser: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        (module(x).squeeze(-1) - x.prod(-1)).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_a_resumed_run_is_the_unbroken_run(tmp_path: Path, kind: type[torch.optim.Optimizer]) -> None:
    whole, optimiser = fresh(kind, seed=0)
    advance(whole, optimiser, range(20))
    broken, optimiser = fresh(kind, seed=0)
    advance(broken, optimiser, range(7))
    save_state(tmp_path / "s.safetensors", 7, module=broken, optimiser=optimiser)

    resumed, optimiser = fresh(kind, seed=1)
    start = load_state(tmp_path / "s.safetensors", module=resumed, optimiser=optimiser)
    assert start == 7
    advance(resumed, optimiser, range(start, 20))
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)  # bit by bit: the state holds Adam's moments and step count


def test_the_moments_matter(tmp_path: Path) -> None:
    """The test above would fail if only the weights were kept."""
    whole, optimiser = fresh(torch.optim.Adam, seed=0)
    advance(whole, optimiser, range(7))
    weights = {k: v.clone() for k, v in whole.state_dict().items()}
    advance(whole, optimiser, range(7, 20))
    other, fresh_optimiser = fresh(torch.optim.Adam, seed=0)
    other.load_state_dict(weights)
    advance(other, fresh_optimiser, range(7, 20))
    assert not torch.equal(next(whole.parameters()), next(other.parameters()))


def test_without_a_state_a_stage_starts_at_the_beginning(tmp_path: Path) -> None:
    module, optimiser = fresh(torch.optim.Adam, seed=0)
    before = module[0].weight.clone()  # type: ignore[index]
    assert load_state(tmp_path / "none.safetensors", module=module, optimiser=optimiser) == 0
    assert torch.equal(module[0].weight, before)  # type: ignore[index]


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "no step", "other module"])
def test_a_damaged_state_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "s.safetensors"
    module, optimiser = fresh(torch.optim.Adam, seed=0)
    advance(module, optimiser, range(3))
    save_state(path, 3, module=module, optimiser=optimiser)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "text":
        path.write_text("not a state")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "no step":
        save_file({"module.x": torch.zeros(1)}, path)
    else:
        save_file({"module.x": torch.zeros(1)}, path, metadata={"step": "3"})
    with pytest.raises(InputError, match=r"s\.safetensors cannot be resumed from .*; remove it") as caught:
        load_state(path, module=module, optimiser=optimiser)
    assert "\n" not in str(caught.value)


def test_metrics_are_lines_that_a_later_run_adds_to(tmp_path: Path) -> None:
    for step in (0, 5):
        journal = Journal(tmp_path)
        journal.log("heads", step, {"pnc": 0.5})
        journal.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"stage": "heads", "step": step, "pnc": 0.5} for step in (0, 5)]
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_files_appear_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
