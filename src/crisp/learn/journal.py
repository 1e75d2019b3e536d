"""Metrics of a training run (a text file and TensorBoard), and the states that it resumes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from crisp.errors import InputError, needing
from crisp.files import write_whole


class Journal:
    """Appends metrics to `metrics.jsonl` and to TensorBoard's files in one run folder."""

    def __init__(self, folder: Path) -> None:
        with needing("train"):
            from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._lines = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"))

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        self._lines.write(json.dumps({"stage": stage, "step": step, **values}) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{stage}/{name}", value, step)

    def close(self) -> None:
        self._lines.close()
        self._board.close()


def save_state(path: Path, step: int, *, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Save all that a stage needs to resume after step `step`, in one safetensors file, atomically."""
    tensors = {f"module.{k}": v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    for index, values in optimiser.state_dict()["state"].items():
        for name, value in values.items():
            tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, save(tensors, metadata={"step": str(step)}))


def load_state(path: Path, *, module: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Restore what `save_state` wrote; returns the step (0 when there is nothing to resume)."""
    if not path.exists():
        return 0
    try:
        with safe_open(str(path), framework="pt") as file:
            step = int(file.metadata()["step"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        module.load_state_dict({k[7:]: v for k, v in tensors.items() if k.startswith("module.")})
        optimiser.load_state_dict(_optimiser_state(tensors, optimiser))
    except (OSError, SafetensorError, RuntimeError, TypeError, KeyError, ValueError) as error:
        # A damaged file, or one written by other software, raises any of these.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be resumed from ({reason}); remove it to start again.") from error
    return step


def _optimiser_state(tensors: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    return {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
