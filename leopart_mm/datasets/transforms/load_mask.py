"""The loading step of masks, for data sets of any origin."""

import logging
import os
from contextlib import suppress
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmseg.datasets.transforms import LoadAnnotations

from leopart_mm.datasets.mask_reading import ORIENTATIONS, MaskError, fit_to_image, nearest, read_mask
from leopart_mm.datasets.transforms.resizing import resize_mask
from leopart_mm.files import printable, shorten
from leopart_mm.registry import TRANSFORMS

CONVERT = 'convert the original label images again with its converter in tools/dataset_converters.'


@TRANSFORMS.register_module()
class LoadMask(LoadAnnotations):
    """mmseg's LoadAnnotations that refuses what is no label map, and turns masks as their image (`fit_to_image`).

    Our data sets read with it where a pipeline says ``LoadAnnotations``. Where the image has no data (`LoadImage`),
    the label is the ignored one of the data set. A data set may ask for masks of the size of their image
    (``fit_mask`` of the sample): others are resized then (nearest), which is said once per folder. The sample's
    ``mask_reader``, a function of the path, reads masks that hold no ids (`ExampleImages`).

    Args:
        orientation: How masks of photos with an EXIF tag lie: 'auto', 'upright' or 'sensor', see `fit_to_image`.
        **kwargs: As for mmseg's LoadAnnotations.

    Raises:
        MaskError: If a mask cannot be read, holds colours, does not belong to its image, or, where the data set knows
            its classes (``num_classes`` of the sample), holds other ids.
        ValueError: If `orientation` is unknown.
    """

    def __init__(self, orientation: str = 'auto', **kwargs: Any) -> None:
        if orientation not in ORIENTATIONS:
            raise ValueError(f'LoadMask: orientation={orientation!r} must be one of {", ".join(ORIENTATIONS)}.')
        super().__init__(**kwargs)
        self.orientation = orientation

    def _load_seg_map(self, results: dict) -> None:
        path = results['seg_map_path']
        mask = (results.get('mask_reader') or read_mask)(path)
        if 'ori_shape' in results:
            if results.get('fit_mask'):
                mask = self._resized(mask, results)
            else:
                mask = fit_to_image(mask, results['ori_shape'], path, results['img_path'], self.orientation)
        mask = np.array(mask)
        if results.get('reduce_zero_label') if self.reduce_zero_label is None else self.reduce_zero_label:
            mask = np.where(mask == 0, 255, np.where(mask == 255, 255, mask - 1)).astype(np.uint8)
        if results.get('label_map') is not None:
            table = np.arange(256, dtype=np.uint8)
            for old, new in results['label_map'].items():
                table[old] = new
            mask = table[mask]
        if results.get('num_classes') is not None:
            self._check_ids(mask, results['num_classes'], results.get('ignore_index', 255), path,
                            results.get('ids_cure', CONVERT))
        if results.get('missing') is not None:
            mask[nearest(results['missing'], mask.shape)] = results.get('ignore_index', 255)
        results['gt_seg_map'] = mask
        results['seg_fields'].append('gt_seg_map')

    def _resized(self, mask: np.ndarray, results: dict) -> np.ndarray:
        """The mask at the size of its image."""
        size, path = tuple(results['ori_shape']), results['seg_map_path']
        with suppress(MaskError):  # of another shape: resized all the same
            mask = fit_to_image(mask, size, path, results['img_path'], self.orientation)
        if mask.shape == size:
            return mask
        _say_resized(path, mask.shape, size)
        return resize_mask(np.ascontiguousarray(mask), size, 'corner')

    @staticmethod
    def _check_ids(mask: np.ndarray, num_classes: int, ignore_index: int | None, path: str, cure: str) -> None:
        odd = mask >= num_classes
        if ignore_index is not None:
            odd &= mask != ignore_index
        if odd.any():
            raise MaskError(f'The mask {printable(path)} holds the ids {shorten(map(str, np.unique(mask[odd])))}, but '
                            f'the data set has the classes 0 to {num_classes - 1} and {ignore_index}, ignored: {cure}')


_folders_said: set[str] = set()


def _say_resized(path: str, mask: tuple[int, int], image: tuple[int, int]) -> None:
    folder = os.path.dirname(path)
    if folder not in _folders_said:
        _folders_said.add(folder)
        print_log(f'The map {printable(path)} has {mask[0]} x {mask[1]} pixels, its image {image[0]} x {image[1]} '
                  '(height x width): it is resized to it (nearest), in this and like cases. Are these the same images?',
                  logger='current', level=logging.WARNING)
