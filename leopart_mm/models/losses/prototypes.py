"""Prototypes: K unit vectors that embeddings are compared with."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from leopart_mm.registry import MODELS


@MODELS.register_module()
class Prototypes(BaseModule):
    """A Linear layer without bias whose rows are kept at unit length by a hook (docs/methods/leopart.md §3).

    Args:
        embed_dims: C, width of the embeddings.
        num_prototypes: K, at least 2.

    Raises:
        ValueError: If `num_prototypes` is below 2.
    """

    def __init__(self, embed_dims: int, num_prototypes: int, init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if num_prototypes < 2:
            raise ValueError(f'num_prototypes={num_prototypes}: at least 2 are needed')
        self.weight = nn.Parameter(torch.empty(num_prototypes, embed_dims))
        nn.init.trunc_normal_(self.weight, std=0.02)

    @torch.no_grad()
    def normalize_(self) -> None:
        """Scale every prototype to unit length, in place."""
        F.normalize(self.weight, dim=1, out=self.weight)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(..., C) -> scores (..., K)."""
        return F.linear(embeddings, self.weight)
