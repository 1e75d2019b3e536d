"""The network as a whole: frozen backbone, shape head, PNC head, shape decoder (method, section 2)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from crisp.errors import InputError
from crisp.networks.backbone import Backbone, Features
from crisp.networks.config import NetworkConfig
from crisp.networks.decoder import FilmSirenDecoder
from crisp.networks.heads import ShapeHead, build_pnc_head
from crisp.types import Prediction


class CrispNetwork(nn.Module):
    """Crops -> PNC maps and shape codes; `decoder` turns a code into a signed distance field.

    Raises:
        InputError: the backbone does not match the configuration.
    """

    def __init__(self, config: NetworkConfig, backbone: Backbone) -> None:
        super().__init__()
        if backbone.config != config.backbone or backbone.image_px != config.image_px:
            raise InputError(
                f"the backbone is {backbone.config} at {backbone.image_px} px, "
                f"the network wants {config.backbone} at {config.image_px} px."
            )
        self.config = config
        self.backbone = backbone
        self.shape_head = ShapeHead(config)
        self.pnc_head = build_pnc_head(config)
        self.decoder = FilmSirenDecoder(config)

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> Prediction:
        """Predict from crops (B, 3, S, S), normalised as `Crop.image` is; S = config.image_px."""
        return self.predict_from_features(self.backbone(images))

    def predict_from_features(self, features: Features) -> Prediction:
        """Predict from the backbone's features, which may be cached."""
        return Prediction(pnc=self.pnc_head(features), shape_code=self.shape_head(features))

    def parameter_counts(self) -> dict[str, int]:
        """Number of parameters of each part, and their "total"."""
        counts = {
            name: sum(p.numel() for p in part.parameters())
            for name, part in (
                ("backbone", self.backbone),
                ("shape_head", self.shape_head),
                ("pnc_head", self.pnc_head),
                ("decoder", self.decoder),
            )
        }
        return {**counts, "total": sum(counts.values())}


def build_network(config: NetworkConfig, backbone: Backbone | None = None) -> CrispNetwork:
    """A network with untrained heads on a given backbone; without one, on a random backbone.

    `crisp.networks.backbone.load_backbone` loads a backbone from a folder or the hub.
    """
    if backbone is None:
        backbone = Backbone.random(config.backbone, image_px=config.image_px)
    return CrispNetwork(config, backbone)
