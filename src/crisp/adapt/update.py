"""Pseudo-labels, and the step that both heads learn from them (method, section 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from crisp.adapt.recipe import AdaptRecipe
from crisp.networks.backbone import Features
from crisp.networks.model import CrispNetwork

HEADS = "heads."


@dataclass(frozen=True, eq=False)
class PseudoLabel:
    """A certified estimate as a lesson.

    Args:
        taps: (4, T, D) half precision, what the frozen backbone said of the crop.
        cls: (4, D) likewise.
        pnc: (G, G, 3) metres, Z^ = T_object_camera X at the valid pixels.
        valid: (G, G) the pixels that count.
        shape_code: (C,) h^.
    """

    taps: Float[Tensor, "4 t d"]
    cls: Float[Tensor, "4 d"]
    pnc: Float[Tensor, "g g 3"]
    valid: Bool[Tensor, "g g"]
    shape_code: Float[Tensor, " c"]


@dataclass(frozen=True)
class Losses:
    """Of one step, over all processes: mean L_z and L_h, and how many labels there were."""

    pnc: float
    code: float
    labels: int


class Heads(nn.Module):
    """The two heads as one module: what is trained, and what several processes keep equal."""

    def __init__(self, network: CrispNetwork) -> None:
        super().__init__()
        self.pnc_head = network.pnc_head
        self.shape_head = network.shape_head

    def forward(
        self, taps: Float[Tensor, "b 4 t d"], cls: Float[Tensor, "b 4 d"]
    ) -> tuple[Float[Tensor, "b g g 3"], Float[Tensor, "b c"]]:
        """Coordinates, metres, and codes."""
        features = Features(taps, cls)
        return self.pnc_head(features), self.shape_head(features)


class Updater:
    """Both heads and their two optimisers.

    Heads learn as they judge: in evaluation mode, without dropout, which would pull them towards an average
    over networks that nobody uses.
    """

    def __init__(self, network: CrispNetwork, recipe: AdaptRecipe, fabric: Fabric) -> None:
        self._recipe, self._fabric = recipe, fabric
        self.heads = Heads(network).eval()
        for parameter in self.heads.parameters():
            parameter.requires_grad_(True)
        self._optimisers = [
            torch.optim.SGD(
                head.parameters(), lr=rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
            )
            for head, rate in (
                (self.heads.shape_head, recipe.shape_rate),
                (self.heads.pnc_head, recipe.pnc_rate),
            )
        ]
        self._module, *self._stepped = fabric.setup(self.heads, *self._optimisers)
        self._module.eval()

    def step(self, labels: Sequence[PseudoLabel]) -> Losses:
        """One step of both optimisers on the labels of all processes, of which each must have some.

        Every term is divided by the number of labels of all processes together, so that two processes make
        the step that one would make on both their batches.
        """
        device = self._fabric.device
        mine = torch.tensor(float(len(labels)), device=device)
        total = float(self._fabric.all_reduce(mine, reduce_op="sum"))  # type: ignore[arg-type]
        pnc, code = self._sums(labels)
        # DDP averages gradients over processes; times their number it adds them up.
        scale = self._fabric.world_size / total
        recipe = self._recipe
        loss = scale * (recipe.pnc_weight * pnc + recipe.code_weight * code)
        for optimiser in self._stepped:
            optimiser.zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        for optimiser in self._stepped:
            optimiser.step()
        both = self._fabric.all_reduce(torch.stack([pnc, code]).detach(), reduce_op="sum")
        return Losses(float(both[0]) / total, float(both[1]) / total, int(total))

    def _sums(self, labels: Sequence[PseudoLabel]) -> tuple[Tensor, Tensor]:
        """Sums over this process's labels of mean |z - z^|^2, square metres, and of |h - h^|^2."""
        device = self._fabric.device
        taps, cls = (
            torch.stack([getattr(label, name) for label in labels]).to(device).float()
            for name in ("taps", "cls")
        )
        pnc, code = self._module(taps, cls)
        valid = torch.stack([label.valid for label in labels]).to(device)
        target = torch.stack([label.pnc for label in labels]).to(device)
        squared = torch.where(valid, (pnc - target).square().sum(-1), 0.0)
        mean = squared.sum((1, 2)) / valid.sum((1, 2)).clamp(min=1)
        wanted = torch.stack([label.shape_code for label in labels]).to(device)
        return mean.sum(), (code - wanted).square().sum(-1).sum()

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Those of a `state`; the momenta stay as they are."""
        self.heads.load_state_dict(
            {k.removeprefix(HEADS): v for k, v in tensors.items() if k.startswith(HEADS)}
        )

    def slow_down(self, factor: float) -> None:
        """Multiply both rates, and forget what the optimisers have gathered of old gradients."""
        for optimiser in self._optimisers:
            optimiser.state.clear()
            for group in optimiser.param_groups:
                group["lr"] *= factor

    @property
    def rates(self) -> tuple[float, float]:
        """Of shape head and PNC head."""
        shape, pnc = (optimiser.param_groups[0]["lr"] for optimiser in self._optimisers)
        return shape, pnc

    def state(self) -> dict[str, Tensor]:
        """Weights and momenta, as a flat dictionary of copies."""
        tensors = {f"{HEADS}{k}": v.detach().cpu().clone() for k, v in self.heads.state_dict().items()}
        for number, optimiser in enumerate(self._optimisers):
            for index, values in optimiser.state_dict()["state"].items():
                momentum = values.get("momentum_buffer")
                if momentum is not None:
                    tensors[f"momentum.{number}.{index}"] = momentum.detach().cpu().clone()
        return tensors

    def restore(self, tensors: Mapping[str, Tensor], rates: Sequence[float]) -> None:
        """What `state` and `rates` gave."""
        self.load_weights(tensors)
        for number, (optimiser, rate) in enumerate(zip(self._optimisers, rates, strict=True)):
            optimiser.state.clear()
            for group in optimiser.param_groups:
                group["lr"] = rate
                for index, parameter in enumerate(group["params"]):
                    momentum = tensors.get(f"momentum.{number}.{index}")
                    if momentum is not None:
                        optimiser.state[parameter]["momentum_buffer"] = momentum.to(parameter)
