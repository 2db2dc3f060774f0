"""DenseResNet: a ResNet whose map has stride 16, for the baselines, or 8, for DeepLab."""

from collections.abc import Sequence
from typing import Any

from mmseg.models.backbones import ResNet
from torch import Tensor

from leopart_mm.checkpoints.matching import NetworkSpec
from leopart_mm.checkpoints.networks import RESNET
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.backbones.pretrained import PretrainedBackbone
from leopart_mm.registry import MODELS

STRIDES = {32: (1, 2, 2, 2), 16: (1, 2, 2, 1), 8: (1, 2, 1, 1)}
DILATIONS = {32: (1, 1, 1, 1), 16: (1, 1, 1, 2), 8: (1, 1, 2, 4)}


@MODELS.register_module()
class DenseResNet(PretrainedBackbone, ResNet):
    """mmseg's ResNet with the last stage dilated (docs/methods/leopart.md §8), under torchvision's parameter names.

    With ``output_stride=8, norm_eval=False`` it is the one of MaskDistill's DeepLab (docs/methods/maskdistill.md §8.1).

    Args:
        depth: 18, 34, 50, 101 or 152.
        checkpoint: File or URL of pretrained weights (DenseCL, SwAV, MoCo-v2, MaskContrast, torchvision, MM), or
            'timm://NAME'; read by `init_weights()`.
        checkpoint_key: Which network of the file; None takes the one that is no momentum encoder, see `find_network`.
        output_stride: 16 (published for Leopart's baselines), 8 (for DeepLab) or 32 pixels per cell.
        out_indices: Stages whose maps are returned.
        **kwargs: As in mmseg's ResNet (``norm_eval``, ``frozen_stages``, ...).

    Attributes: `embed_dims`, channels of the last returned map, and `patch_size`, the output stride.

    Raises:
        ValueError: If `output_stride` is not 8, 16 or 32.
        BackboneCheckpointError: If the checkpoint is not of this network (from `init_weights`).
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
        self.expect_weights(checkpoint, checkpoint_key)
        self.patch_size = output_stride
        expansion = self.arch_settings[depth][0].expansion
        self.embed_dims = self.base_channels * 2**max(out_indices) * expansion

    @property
    def network_spec(self) -> NetworkSpec:
        """What this network needs of a checkpoint."""
        shapes = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        return NetworkSpec(f'ResNet-{self.depth}', shapes, RESNET)

    def train(self, mode: bool = True) -> 'DenseResNet':
        """Switch to training or evaluation mode; what is frozen stays in evaluation mode. mmseg's returns None."""
        super().train(mode)
        return self

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Image (B, 3, H, W), normalised, to one map (B, C, ceil(H/stride), ceil(W/stride)) per entry of `out_indices`.

        Raises:
            RuntimeError: If `checkpoint` was given but has not been read.
        """
        self.check_weights()
        return super().forward(image)

    def forward_dense(self, image: Tensor, out_indices: Sequence[int] | None = None, cls_attention: bool = False,
                      qkv_block: int | None = None, class_query_block: int | None = None) -> DenseFeatures:
        """The maps as `DenseFeatures`, so that what works with DenseViT's maps works here too.

        Raises:
            ValueError: If attention, queries, keys or values are asked for, which a ResNet does not have, or other
                stages than those of the constructor.
        """
        if cls_attention or qkv_block is not None or class_query_block is not None:
            raise ValueError("A ResNet has no attention: use mask='all' in the loss and no attention foreground, or a "
                             'DenseViT backbone.')
        if out_indices is not None and tuple(out_indices) not in ((), tuple(self.out_indices)):
            raise ValueError(f'DenseResNet returns the stages of its constructor only: {self.out_indices}.')
        maps = tuple(self(image))
        grid = tuple(maps[-1].shape[-2:])
        return DenseFeatures(maps=maps if out_indices is None or out_indices else (), grid=grid)
