"""DeepLabHead: the head of torchvision's DeepLabv3 as a decode head of mmseg."""

from collections.abc import Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.files import shorten
from leopart_mm.registry import MODELS


@MODELS.register_module()
class DeepLabHead(BaseDecodeHead):
    """ASPP, a 3x3 convolution and a classifier, as torchvision has them (docs/methods/maskdistill.md §8.1).

    mmseg's ASPPHead is another network: it has no 1x1 projection, and its dropout stands before the classifier.
    Parameters are those of torchvision's DeepLabHead, key by key, behind ``layers.``; they start as torch starts them.

    Args:
        in_channels: Channels of the map.
        channels: Channels of every branch and of what follows.
        rates: Dilations of the three 3x3 branches, in cells of the map.
        dropout_ratio: Of the projection, in 0..1.
        frozen: Train the classifier alone, as a linear probe (§10): all other layers stay as loaded, in evaluation
            mode; the classifier starts at N(0, 0.01) with bias 0.
        **kwargs: As in mmseg's BaseDecodeHead (``num_classes``, ``loss_decode``, ...).

    Raises:
        ValueError: If a training batch has a single image: batch norm after pooling needs two.
    """

    def __init__(self,
                 in_channels: int,
                 channels: int = 256,
                 rates: Sequence[int] = (12, 24, 36),
                 dropout_ratio: float = 0.5,
                 frozen: bool = False,
                 init_cfg: dict | list | None = None,
                 **kwargs: Any) -> None:
        super().__init__(in_channels, channels, dropout_ratio=dropout_ratio, init_cfg=init_cfg, **kwargs)
        del self.conv_seg
        self.dropout = None  # it is a part of the projection
        self.frozen = frozen
        aspp = ASPP(in_channels, tuple(rates), channels)
        aspp.project[3].p = dropout_ratio
        self.layers = nn.Sequential(
            aspp, nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, self.out_channels, 1))
        if frozen:
            self.layers[:-1].requires_grad_(False)

    @property
    def classifier(self) -> nn.Conv2d:
        """The 1x1 convolution that gives the logits."""
        return self.layers[-1]

    def init_weights(self) -> None:
        """As torch initialises the layers, and the classifier of a probe as published."""
        super().init_weights()
        if self.frozen:
            nn.init.normal_(self.classifier.weight, std=0.01)
            nn.init.zeros_(self.classifier.bias)

    def train(self, mode: bool = True) -> 'DeepLabHead':
        """Switch to training or evaluation mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.layers[:-1].eval()
        return self

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps of the backbone to logits (B, K, h, w) at the size of the map."""
        features = self._transform_inputs(inputs)
        pooled = self.layers[0].convs[-1][2]
        if len(features) == 1 and pooled.training and not isinstance(pooled, nn.SyncBatchNorm):
            raise ValueError('DeepLabHead pools an image to one value per channel, of which batch norm needs two at '
                             'least: train with batches of two images or more (batch_size=2).')
        return self.layers(features)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Load whole, whatever the caller asks for: MMEngine would leave random weights behind a line of warning."""
        wrong = [f'{key} {tuple(given.shape) if (given := state_dict.get(prefix + key)) is not None else "missing"} '
                 f'instead of {tuple(value.shape)}' for key, value in self.state_dict().items()
                 if (given := state_dict.get(prefix + key)) is None or given.shape != value.shape]
        if wrong:
            raise BackboneCheckpointError(f'The checkpoint does not fit {type(self).__name__}: {shorten(wrong, 3)}. '
                                          'Take the config that it was trained with (num_classes, channels, rates).')
        super()._load_from_state_dict(state_dict, prefix, *args)

    def cls_seg(self, feat: Tensor) -> Tensor:
        """Classify each cell."""
        return self.classifier(feat)

