"""A tiny model, and stages of which everything is known."""

from __future__ import annotations

import pytest
import torch
from told_stages import Told

from crisp.adapt.recipe import AdaptRecipe, GuardConfig
from crisp.model import Model
from crisp.networks.checkpoint import CheckpointInfo
from crisp.networks.heads import neutral_code
from crisp.networks.model import CrispNetwork
from crisp.shape.library import ShapeLibrary
from crisp.types import Symmetries

CERTIFICATE = """
[certificate]
eps_m = 0.2
quantile = 0.5
min_points = 1
"""


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> AdaptRecipe:
    """One quick pose step, and a certificate that the flat square passes now and then."""
    path = tmp_path_factory.mktemp("recipe") / "quick.toml"
    pose_step = '[corrector.pose_step]\nkind = "Se3Step"\niterations = 2\n'
    path.write_text(f"[corrector]\nrounds = 1\n{pose_step}{CERTIFICATE}")
    guard = GuardConfig(every=3, objects=2, least=2, check_every=2)
    return AdaptRecipe(correct=str(path), passes=2, batch=3, shape_rate=1e-4, pnc_rate=1e-2, guard=guard)


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
