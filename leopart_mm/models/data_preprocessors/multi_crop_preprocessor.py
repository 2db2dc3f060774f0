"""From uint8 crops to what the model sees: the part of the augmentation that runs on the model's device."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmseg.models.data_preprocessor import SegDataPreProcessor
from torch import Tensor

from leopart_mm.datasets.transforms.photometric import augment
from leopart_mm.datasets.transforms.photometric_parameters import check_settings, draw_photometric
from leopart_mm.registry import MODELS


@MODELS.register_module()
class MultiCropDataPreprocessor(SegDataPreProcessor):
    """Photometric augmentation and normalisation of multi-crop batches; evaluation batches as in mmseg.

    A multi-crop batch ``dict(inputs=dict(crops=..., ...))`` of `PackMultiCrop` becomes ``dict(inputs=..., data_samples=
    None)`` with the same keys on the model's device: ``crops`` V float tensors (B, C, S, S), augmented by the batch's
    own ``photometric`` parameters (which are then dropped) and normalised; ``gc_boxes`` (B, T, V, 4); ``all_boxes``
    (B, V, T, 4); ``flipped`` (B, V) bool.
    Any other batch is treated as by mmseg's `SegDataPreProcessor` with the same mean and std: validation in training.

    Args:
        mean (Sequence[float]): Mean of the channels on the scale 0..255, RGB, e.g. [123.675, 116.28, 103.53].
        std (Sequence[float]): Standard deviation on the same scale, e.g. [58.395, 57.12, 57.375].
        photometric (dict, optional): Arguments of `draw_photometric`, for training batches that bring no parameters:
            they are drawn here, from torch's global CPU generator. Defaults to None: such batches keep their colours.
            With `DrawPhotometric` in the pipeline the draws also survive a resume.
        bgr_to_rgb (bool): For evaluation batches (crops are RGB already). Defaults to True, for images as mmcv loads
            them.
        non_blocking (bool): Do not wait for copies to the device (needs pin_memory). Defaults to False.
        kwargs: Further arguments of `SegDataPreProcessor` for evaluation batches (size_divisor, test_cfg, ...).

    Raises:
        ValueError: if mean and std differ in length or std is not positive.
    """

    def __init__(self,
                 mean: Sequence[float],
                 std: Sequence[float],
                 photometric: Mapping[str, float] | None = None,
                 bgr_to_rgb: bool = True,
                 non_blocking: bool = False,
                 **kwargs: Any) -> None:
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError('MultiCropDataPreprocessor: mean and std must be equally long, std positive; got '
                             f'mean={mean}, std={std}')
        super().__init__(mean=mean, std=std, bgr_to_rgb=bgr_to_rgb, **kwargs)
        self._non_blocking = non_blocking
        self.photometric = None if photometric is None else check_settings(**photometric)

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Prepare a batch; see the class. ``training`` only decides whether missing parameters are drawn here."""
        inputs = data['inputs']
        if not (isinstance(inputs, Mapping) and 'crops' in inputs):
            return super().forward(data, training)
        # the parameters decide on the host which operations run, so they stay there
        inputs = dict(inputs)
        parameters = inputs.pop('photometric', None)
        inputs = self.cast_data(inputs)
        if parameters is None and training and self.photometric is not None:
            parameters = self._draw(inputs['crops'])
        inputs['crops'] = [
            self.prepare(crop, None if parameters is None else parameters[:, v])
            for v, crop in enumerate(inputs['crops'])
        ]
        return dict(inputs=inputs, data_samples=None)

    def prepare(self, crops: Tensor, parameters: Tensor | None) -> Tensor:
        """One view of the batch: (B, C, S, S) on the scale 0..255 -> normalised float32, augmented by (B, 7)."""
        if crops.shape[1] != len(self.mean):
            raise ValueError(f'the crops have {crops.shape[1]} channels, but the data preprocessor is set up for '
                             f'{len(self.mean)}: give one value per channel, or convert the images when loading')
        images = torch.empty_like(crops, dtype=torch.float32)
        # one by one the crops stay in a CPU's cache through all operations; a GPU wants them together
        chunk = 1 if crops.device.type == 'cpu' else max(1, len(crops))
        parts = [None] * len(images.split(chunk)) if parameters is None else parameters.split(chunk)
        for part, raw, rows in zip(images.split(chunk), crops.split(chunk), parts, strict=True):
            if rows is None:
                torch.sub(raw, self.mean, out=part).div_(self.std)
            else:
                torch.sub(augment(raw * (1 / 255), rows), self.mean / 255, out=part).div_(self.std / 255)
        return images

    def _draw(self, crops: list[Tensor]) -> Tensor:
        rng = np.random.default_rng(torch.randint(0, 2**31, (2, )).tolist())
        num, views = len(crops[0]), len(crops)
        parameters = draw_photometric(num * views, rng, **self.photometric)
        return torch.from_numpy(parameters).view(num, views, -1)
