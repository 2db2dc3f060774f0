"""The loading step of training pipelines over folders of pictures of any kind."""

import os

import numpy as np
from mmcv.transforms import BaseTransform

from leopart_mm.datasets.band_reading import prepare_bands, read_bands
from leopart_mm.datasets.encoded_jpeg import whole_jpeg
from leopart_mm.datasets.image_reading import decode_image, read_content, read_with_missing
from leopart_mm.datasets.transforms.decoded_images import DecodedImages
from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read ``results['img_path']`` as three 8-bit channels, whatever the file holds (`read_image`), or as many bands.

    Our data sets also read with it where a pipeline says ``LoadImageFromFile``, a name that MMSegInferencer looks for.

    Images of more than 8 bits are scaled by the ``value_range`` of their data set, which is in the sample.

    Adds ``img`` ((H, W, 3) uint8, or (H, W, bands) float32), ``img_shape`` and ``ori_shape`` ((H, W)), and, where there
    are pixels without data, ``missing`` ((H, W) bool): they are 0, and `LoadMask` gives them the ignored label.

    Args:
        channel_order: ``'bgr'`` as mmcv loads images (default) or ``'rgb'``; of three bands.
        bands: Number of bands. Of another number than three, TIFF and .npy files give the numbers as they are, or
            0..255 by the value range of the data set, if it has one.
        cache: Folder in which decoded images are kept, for training; see `DecodedImages`. Images are then reduced, and
            ``missing`` is left out. None (default): files are decoded each time, and not reduced.
        cache_side: Largest shorter side of kept images, in pixels.
        device_decode: Leave the pixels of JPEG files to the model's device (`RoIAlignedMultiCrop(device_crops=True)`):
            ``encoded``, an `EncodedJpeg`, is then added instead of ``img``. Other files, and JPEGs that `whole_jpeg`
            leaves to the worker, are decoded here. Defaults to False.

    Raises:
        ValueError: If images of another number of bands than three are to be kept or left to the device, or both.
        ImageReadError: If the file is missing, empty, damaged or no image, or has another number of bands.
    """

    def __init__(self,
                 channel_order: str = 'bgr',
                 bands: int = 3,
                 cache: str | None = None,
                 cache_side: int = 255,
                 device_decode: bool = False) -> None:
        if cache is not None and bands != 3:
            raise ValueError(f'LoadImage: only images of three bands can be kept in a cache, not of {bands}: leave out '
                             f'cache={cache!r}.')
        if device_decode and cache is not None:
            raise ValueError('LoadImage: a cache keeps decoded images, so device_decode=True has nothing to decode: '
                             f'leave out one of device_decode and image_cache ({cache!r}).')
        if device_decode and (bands != 3 or channel_order != 'bgr'):
            raise ValueError('LoadImage: the device decodes images of three bands for crops in RGB: leave out '
                             f'device_decode=True, or bands={bands} and channel_order={channel_order!r}.')
        self.device_decode = device_decode
        self.channel_order = channel_order
        self.bands = bands
        self.cache = None if cache is None else DecodedImages(cache, cache_side)

    def transform(self, results: dict) -> dict:
        """Add the image to the results."""
        numbers = results.get('value_range'), results.get('nodata')
        if self.cache is not None:
            image, missing = self.cache.read(results['img_path'], self.channel_order, *numbers), None
        elif self.device_decode:
            path = os.fspath(results['img_path'])
            content = read_content(path)
            encoded = whole_jpeg(content)
            if encoded is not None:
                results['encoded'] = encoded
                results['img_shape'] = results['ori_shape'] = encoded.size
                return results
            image, missing = decode_image(content, path, self.channel_order, *numbers)
        elif self.bands == 3:
            image, missing = read_with_missing(results['img_path'], self.channel_order, *numbers)
        else:
            array, missing = read_bands(results['img_path'], self.bands, *numbers)
            image = np.ascontiguousarray(prepare_bands(array, missing, numbers[0]))
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        if missing is not None:
            results['missing'] = missing
        return results

    def __repr__(self) -> str:
        kept = '' if self.cache is None else f', cache={str(self.cache.folder)!r}, cache_side={self.cache.side}'
        left = ', device_decode=True' if self.device_decode else ''
        return f'{type(self).__name__}(channel_order={self.channel_order!r}, bands={self.bands}{kept}{left})'
