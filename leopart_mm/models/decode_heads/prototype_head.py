"""PrototypeHead: class prototypes as a weight-normalised 1x1 convolution, and the linear probe beside it."""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from leopart_mm.models.fitting.state import NotFittedError
from leopart_mm.registry import MODELS


@MODELS.register_module()
class PrototypeHead(BaseModule):
    """K class prototypes w_k = g_k v_k / ||v_k||; the logits of a cell are its products with them.

    Source: docs/methods/primaps.md §7, §8. Names and shapes of the parameters are those of the published checkpoints.

    Args:
        num_prototypes: K, at least 2.
        in_channels: C; None: known when a checkpoint is loaded.

    Attributes:
        weight_g: (K, 1, 1, 1), the gains.
        weight_v: (K, C, 1, 1), the directions, of any length.
        fitted: Whether prototypes were initialised from data or loaded; before they are random.

    Raises:
        ValueError: If `num_prototypes` is below 2.
    """

    in_index = -1
    seeds: tuple[int, ...] = ()
    can_reduce: ClassVar[bool] = False
    align_corners: ClassVar[bool] = False

    def __init__(self, num_prototypes: int, in_channels: int | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if num_prototypes < 2:
            raise ValueError(f'num_prototypes={num_prototypes}: at least 2 are needed.')
        self.num_clusters = num_prototypes
        bound = 1 / math.sqrt(in_channels or 1)  # the default of PyTorch's convolutions
        self.weight_v = nn.Parameter(torch.empty(num_prototypes, in_channels or 0, 1, 1).uniform_(-bound, bound))
        self.weight_g = nn.Parameter(torch.ones(num_prototypes, 1, 1, 1))
        self.register_buffer('fitted', torch.tensor(False))

    @property
    def is_fitted(self) -> bool:
        """Whether prototypes were initialised from data or loaded."""
        return bool(self.fitted)

    def require_fitted(self) -> None:
        """Raise NotFittedError while the prototypes are random."""
        if not self.is_fitted:
            raise NotFittedError('The prototypes are random: train them (tools/train.py), load a checkpoint, or let '
                                 "test_cfg=dict(type='leopart_mm.FitTestLoop') initialise them by PCA.")

    def reset(self) -> None:
        """Count the prototypes as random."""
        self.fitted.fill_(False)

    @torch.no_grad()
    def set_prototypes(self, directions: Tensor) -> None:
        """Start at K directions (K, C), with gains of 1."""
        self.weight_v.copy_(directions[..., None, None])
        self.weight_g.fill_(1.)
        self.fitted.fill_(True)

    def prototypes(self) -> Tensor:
        """(K, C)."""
        return self.weight_g.flatten(1) * self.weight_v.flatten(1) / self.weight_v.flatten(1).norm(dim=1, keepdim=True)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to logits (B, K, h, w), in float32."""
        with torch.autocast(features.device.type, enabled=False):
            return F.conv2d(features.float(), self.prototypes()[..., None, None])

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """A file of prototypes alone holds fitted ones; an unknown width is taken from it."""
        if f'{prefix}weight_v' in state_dict:
            state_dict.setdefault(f'{prefix}fitted', torch.tensor(True))
        adopt_width(self.weight_v, state_dict.get(f'{prefix}weight_v'))
        super()._load_from_state_dict(state_dict, prefix, *args)


@MODELS.register_module()
class LinearProbe(nn.Conv2d):
    """A 1x1 convolution with bias from features to classes, trained with labels for reporting (primaps.md §9).

    Args:
        num_classes: Number of classes.
        in_channels: C; None: known when a checkpoint is loaded.
    """

    def __init__(self, num_classes: int, in_channels: int | None = None) -> None:
        super().__init__(in_channels or 1, num_classes, 1)
        if in_channels is None:
            self.weight.data = self.weight.data[:, :0]

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to logits (B, classes, h, w), in float32."""
        with torch.autocast(features.device.type, enabled=False):
            return F.conv2d(features.float(), self.weight, self.bias)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """An unknown width is taken from the file."""
        adopt_width(self.weight, state_dict.get(f'{prefix}weight'))
        super()._load_from_state_dict(state_dict, prefix, *args)


def adopt_width(parameter: nn.Parameter, given: Tensor | None) -> None:
    """Give a parameter (K, 0, 1, 1) of unknown width that of a loaded one; the object stays, optimisers have it."""
    if given is not None and parameter.shape[1] == 0 and given.ndim == parameter.ndim:
        parameter.data = parameter.data.new_zeros(parameter.shape[0], *given.shape[1:])
