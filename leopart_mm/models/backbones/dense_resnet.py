"""DenseResNet: a ResNet whose map has stride 16, for the baselines."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.models.backbones import ResNet
from torch import Tensor

from leopart_mm.checkpoints.checkpoint_source import BackboneCheckpointError
from leopart_mm.checkpoints.matching import shorten
from leopart_mm.checkpoints.resnet_checkpoints import load_resnet_state
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.registry import MODELS

STRIDES = {32: (1, 2, 2, 2), 16: (1, 2, 2, 1), 8: (1, 2, 1, 1)}
DILATIONS = {32: (1, 1, 1, 1), 16: (1, 1, 1, 2), 8: (1, 1, 2, 4)}


@MODELS.register_module()
class DenseResNet(ResNet):
    """mmseg's ResNet with the last stage dilated (docs/methods/leopart.md §8), under torchvision's parameter names.

    Args:
        depth: 18, 34, 50, 101 or 152.
        checkpoint: File with pretrained weights (DenseCL, SwAV, MoCo-v2, MaskContrast, torchvision, MM), read by
            `init_weights()`; see `find_resnet`.
        checkpoint_key: Which network of the file; None takes the one that is no momentum encoder.
        output_stride: 16 (published), 8 or 32 pixels a cell.
        out_indices: Stages whose maps are returned.
        **kwargs: As in mmseg's ResNet (``norm_eval``, ``frozen_stages``, ...).

    Attributes: `embed_dims`, channels of the last returned map, and `patch_size`, the output stride.

    Raises:
        ValueError: Another output stride.
        BackboneCheckpointError: The checkpoint is not of this network (from `init_weights`).
    """

    def __init__(self,
                 depth: int = 50,
                 checkpoint: str | None = None,
                 checkpoint_key: str | None = None,
                 output_stride: int = 16,
                 out_indices: Sequence[int] = (3, ),
                 **kwargs: Any) -> None:
        if output_stride not in STRIDES:
            raise ValueError(f'output_stride={output_stride} is not possible; choose one of {sorted(STRIDES)}.')
        # contract_dilation: the first block of a dilated stage keeps the dilation before it, as in torchvision.
        super().__init__(depth=depth, strides=STRIDES[output_stride], dilations=DILATIONS[output_stride],
                         contract_dilation=True, out_indices=tuple(out_indices), **kwargs)
        self.checkpoint = checkpoint
        self.checkpoint_key = checkpoint_key
        self.patch_size = output_stride
        expansion = self.arch_settings[depth][0].expansion
        self.embed_dims = self.base_channels * 2**max(out_indices) * expansion
        self._awaits_weights = checkpoint is not None

    def init_weights(self) -> None:
        """Load `checkpoint`, if one was given; else mmseg's initialisation."""
        super().init_weights()
        if self.checkpoint is not None:
            self.load_pretrained(self.checkpoint, self.checkpoint_key)

    def load_pretrained(self, source: str | os.PathLike | Mapping, key: str | None = None) -> None:
        """Load weights of any layout that `find_resnet` knows.

        Raises:
            BackboneCheckpointError: They are not of this network.
        """
        self.load_state_dict(load_resnet_state(source, self, key))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """MMEngine loads whole models non-strictly, which would leave random weights behind one warning line."""
        missing = [key for key in self.state_dict()
                   if f'{prefix}{key}' not in state_dict and not key.endswith('num_batches_tracked')]
        if missing:
            first = shorten([prefix + key for key in missing], 3)
            raise BackboneCheckpointError(
                f'The checkpoint lacks {len(missing)} keys of the backbone ({first}), which would keep random weights. '
                'To use a ResNet file (SwAV, DenseCL, ...) as the checkpoint of a whole model, add '
                "dict(type='leopart_mm.ResNetCheckpointHook') to custom_hooks, or set checkpoint=FILE "
                "in the backbone's config.")
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._awaits_weights = False

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Image (B, 3, H, W), normalised, to one map (B, C, ceil(H/stride), ceil(W/stride)) for each of `out_indices`.

        Raises:
            RuntimeError: `checkpoint` was given but has not been read.
        """
        if self._awaits_weights:
            raise RuntimeError(f'DenseResNet was given checkpoint={self.checkpoint!r} but has not read it yet: call '
                               'model.init_weights() (Runner.train() does), or load a checkpoint of the whole model.')
        return super().forward(image)

    def forward_dense(self, image: Tensor, out_indices: Sequence[int] | None = None, cls_attention: bool = False,
                      qkv_block: int | None = None) -> DenseFeatures:
        """The maps as `DenseFeatures`, so that what works with DenseViT's maps works here too.

        Raises:
            ValueError: Attention, queries, keys or values are asked for, which a ResNet does not have, or other stages
                than those of the constructor.
        """
        if cls_attention or qkv_block is not None:
            raise ValueError("A ResNet has no attention: use mask='all' in the loss and no attention foreground, or a "
                             'DenseViT backbone.')
        if out_indices is not None and tuple(out_indices) != tuple(self.out_indices):
            raise ValueError(f'DenseResNet returns the stages of its constructor only: {self.out_indices}.')
        maps = tuple(self(image))
        return DenseFeatures(maps=maps, grid=tuple(maps[-1].shape[-2:]))
