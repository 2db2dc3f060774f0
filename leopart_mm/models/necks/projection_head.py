"""The projection head of Leopart, NeCo and PaKA."""

import itertools

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from leopart_mm.registry import MODELS


@MODELS.register_module()
class ProjectionHead(BaseModule):
    """MLP from backbone features to unit vectors (docs/methods/leopart.md §3, neco.md §3.1).

    `num_layers` Linear layers with GELU between them, weights truncated normal (std 0.02), biases 0. One layer is a
    single Linear. The Linear layers have the even indices of `mlp` (`mlp.0`, `mlp.2`, `mlp.4`).

    Args:
        in_channels: Width D of the features; `CropPairModel` takes it from its backbone.
        hidden_channels: Width of the hidden layers. Defaults to 2048.
        out_channels: Width C of the output. Defaults to 256.
        num_layers: Number of Linear layers, at least 1. Defaults to 3.
        normalize: Whether rows are L2-normalised, in float32. Defaults to True.
        init_cfg: MMEngine's initialisation config; it runs after the one above.

    Attributes:
        out_channels: C.

    Raises:
        ValueError: If `num_layers` is below 1.
    """

    def __init__(self,
                 in_channels: int,
                 hidden_channels: int = 2048,
                 out_channels: int = 256,
                 num_layers: int = 3,
                 normalize: bool = True,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if num_layers < 1:
            raise ValueError(f'num_layers={num_layers}: a projection head has at least 1 layer.')
        self.normalize, self.out_channels = normalize, out_channels
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
        layers: list[nn.Module] = []
        for width_in, width_out in itertools.pairwise(widths):
            linear = nn.Linear(width_in, width_out)
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.GELU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, features: Tensor) -> Tensor:
        """Project features (..., D) to (..., C); rows of length 1 (and float32) if `normalize`."""
        projected = self.mlp(features)
        return F.normalize(projected.float(), dim=-1, eps=1e-12) if self.normalize else projected
