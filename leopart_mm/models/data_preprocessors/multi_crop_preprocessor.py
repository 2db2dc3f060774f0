"""From uint8 crops to what the model sees: the part of the augmentation that runs on the model's device."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch
from mmseg.models.data_preprocessor import SegDataPreProcessor
from torch import Tensor

from leopart_mm.datasets.collate import split_images
from leopart_mm.datasets.transforms.photometric import augment
from leopart_mm.datasets.transforms.photometric_opencv import IDENTITY, augment_pixels
from leopart_mm.models.data_preprocessors.crop_cutting import cut_crops
from leopart_mm.models.data_preprocessors.jpeg_decoding import decode_jpegs
from leopart_mm.registry import MODELS

# What decides on the host which operations run, or is decoded from there: it stays there.
ON_HOST = ('shapes', 'crop_absolute', 'crop_sizes', 'jpegs', 'jpeg_lengths', 'orientations')


@MODELS.register_module()
class MultiCropDataPreprocessor(SegDataPreProcessor):
    """Photometric augmentation and normalisation of multi-crop batches; evaluation batches as in mmseg.

    A multi-crop batch ``dict(inputs=dict(crops=..., ...))`` of `PackMultiCrop` becomes ``dict(inputs=..., data_samples=
    None)`` with the same keys on the model's device: ``crops`` V float tensors (B, C, S, S), augmented by the batch's
    ``photometric`` parameters of `DrawPhotometric`, if there are any (they are then dropped), and normalised;
    ``gc_boxes`` (B, T, V, 4); ``all_boxes`` (B, V, T, 4); ``flipped`` (B, V) bool. A batch of `multi_crop_collate` with
    images instead of crops (``device_crops``) is cut here first, see `cut_crops`, and JPEG files (``device_decode``)
    are decoded before, see `decode_jpegs`. Any other batch is treated as by mmseg's `SegDataPreProcessor` with the same
    mean and std: validation in training.

    Args:
        mean (Sequence[float]): Mean of the channels on the scale 0..255, RGB, e.g. [123.675, 116.28, 103.53].
        std (Sequence[float]): Standard deviation on the same scale, e.g. [58.395, 57.12, 57.375].
        bgr_to_rgb (bool): Whether evaluation batches change from BGR, as mmcv loads images, to RGB; crops are RGB
            already. Defaults to True.
        non_blocking (bool, optional): Whether copies to the device are not waited for; only those of pinned memory
            need no wait (`tools/train.py` pins where there is a GPU). Defaults to None: on CUDA alone.
        kwargs: Further arguments of `SegDataPreProcessor` for evaluation batches (size_divisor, test_cfg, ...).

    Raises:
        ValueError: If mean and std differ in length or std is not positive.
    """

    def __init__(self,
                 mean: Sequence[float],
                 std: Sequence[float],
                 bgr_to_rgb: bool = True,
                 non_blocking: bool | None = None,
                 **kwargs: Any) -> None:
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError('MultiCropDataPreprocessor: mean and std must be equally long, std positive; got '
                             f'mean={mean}, std={std}')
        if 'photometric' in kwargs:
            raise ValueError('MultiCropDataPreprocessor draws no photometric parameters any more: put '
                             f'DrawPhotometric(**{kwargs["photometric"]}) behind RoIAlignedMultiCrop in the pipeline')
        super().__init__(mean=mean, std=std, bgr_to_rgb=bgr_to_rgb, **kwargs)
        self.non_blocking = non_blocking

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Prepare a batch; `training` matters for evaluation batches only, as in mmseg."""
        self._non_blocking = self.device.type == 'cuda' if self.non_blocking is None else self.non_blocking
        inputs = data['inputs']
        if isinstance(inputs, Mapping) and ('image' in inputs or 'jpeg' in inputs):
            raise ValueError("device_crops=True needs images of several sizes in a batch: set the train_dataloader's "
                             "collate_fn=dict(type='leopart_mm.multi_crop_collate')")
        if not (isinstance(inputs, Mapping) and ('crops' in inputs or 'pixels' in inputs)):
            return super().forward(data, training)
        inputs = dict(inputs)
        parameters = inputs.pop('photometric', None)
        on_host = {key: inputs.pop(key) for key in ON_HOST if key in inputs}
        flipped = inputs.get('flipped')
        inputs = self.cast_data(inputs)
        if 'pixels' in inputs:
            images = self.images(inputs.pop('pixels'), on_host)
            inputs['crops'] = cut_crops(images, on_host['crop_absolute'], on_host['crop_sizes'][0].tolist(), flipped)
        inputs['crops'] = [
            self.prepare(crop, None if parameters is None else parameters[:, v])
            for v, crop in enumerate(inputs['crops'])
        ]
        return dict(inputs=inputs, data_samples=None)

    def images(self, pixels: Tensor, on_host: Mapping[str, Tensor]) -> list[Tensor]:
        """The images (H, W, C) of a batch on the model's device, those that come as JPEG files decoded."""
        shapes, lengths = on_host['shapes'], on_host.get('jpeg_lengths')
        if lengths is None:
            return split_images(pixels, shapes)
        encoded = lengths > 0
        decoded = iter(decode_jpegs(on_host['jpegs'].split(lengths[encoded].tolist()),
                                    on_host['orientations'][encoded].tolist(), shapes[encoded, :2].tolist(),
                                    self.device))
        others = iter(split_images(pixels, shapes[~encoded]))
        return [next(decoded if is_jpeg else others) for is_jpeg in encoded.tolist()]

    def prepare(self, crops: Tensor, parameters: Tensor | None) -> Tensor:
        """One view of the batch: (B, C, S, S) on the scale 0..255 -> normalised float32, augmented by (B, 7)."""
        if crops.shape[1] != len(self.mean):
            raise ValueError(f'the crops have {crops.shape[1]} channels, but the data preprocessor is set up for '
                             f'{len(self.mean)}: give one value per channel, or convert the images when loading')
        images = torch.empty_like(crops, dtype=torch.float32)
        if parameters is None:
            return torch.sub(crops, self.mean, out=images).div_(self.std)
        if crops.device.type == 'cpu' and crops.dtype == torch.uint8 and crops.shape[1] == 3:
            self._prepare_on_cpu(crops, parameters.tolist(), images)
            return images
        return torch.sub(augment(crops * (1 / 255), parameters), self.mean / 255, out=images).div_(self.std / 255)

    def _prepare_on_cpu(self, crops: Tensor, rows: list[list[float]], images: Tensor) -> None:
        """Write the prepared crops into `images`, each on one of torch's number of threads: it stays in the cache."""
        scale, mean = (255 / self.std).flatten().double().numpy(), self.mean.flatten().double().numpy()
        after = np.column_stack([np.diag(scale), -scale * mean / 255])

        def prepare_some(numbers: Sequence[int]) -> None:
            interleaved = np.empty((*crops.shape[2:], 3), np.uint8)
            pixels, spare = np.empty((2, *interleaved.shape), np.float32)
            for number in numbers:
                np.copyto(pixels, cv2.merge(list(crops[number].numpy()), dst=interleaved))
                augment_pixels(pixels, rows[number], images[number].numpy(), IDENTITY / 255, after, spare)

        threads = min(torch.get_num_threads(), len(crops))
        if threads < 2:
            prepare_some(range(len(crops)))
            return
        with ThreadPoolExecutor(threads) as pool:  # OpenCV and NumPy let them run side by side
            list(pool.map(prepare_some, [range(first, len(crops), threads) for first in range(threads)]))
