"""A tiny model, and stages of which everything is known."""

from __future__ import annotations

import pytest
import torch
from told_stages import Told

from crisp.model import Model
from crisp.networks.checkpoint import CheckpointInfo
from crisp.networks.model import CrispNetwork
from crisp.networks.shape_head import neutral_code
from crisp.objects import Symmetries
from crisp.shape.library import ShapeLibrary


@pytest.fixture
def model(tiny_network: CrispNetwork) -> Model:
    code = neutral_code(tiny_network.config.film_layers, tiny_network.config.hidden)
    library = ShapeLibrary(
        names=("ball",), object_ids=(1,), codes=code[None], diameters_m=torch.tensor([0.1])
    )
    info = CheckpointInfo("tiny", library, kinds=("ball",), symmetries=(Symmetries(),))
    return Model(tiny_network.eval(), info, name="tiny", sha256="0" * 64)


@pytest.fixture
def told(model: Model) -> Told:
    generator = torch.Generator().manual_seed(3)
    return Told(model.info.library.codes[0] + torch.randn(model.network.config.code_dim, generator=generator))
