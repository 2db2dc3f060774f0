"""The loading step of masks, for data sets of any origin."""

from typing import Any

import numpy as np
from mmseg.datasets.transforms import LoadAnnotations

from leopart_mm.datasets.mask_reading import ORIENTATIONS, MaskError, fit_to_image, nearest, read_mask
from leopart_mm.files import printable, shorten
from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadMask(LoadAnnotations):
    """mmseg's LoadAnnotations that refuses what is no label map, and turns masks as their image (`fit_to_image`).

    Our data sets read with it where a pipeline says ``LoadAnnotations``. Where the image has no data (`LoadImage`),
    the label is the ignored one of the data set.

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
        mask = read_mask(path)
        if 'ori_shape' in results:
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
            self._check_ids(mask, results['num_classes'], results.get('ignore_index', 255), path)
        if results.get('missing') is not None:
            mask[nearest(results['missing'], mask.shape)] = results.get('ignore_index', 255)
        results['gt_seg_map'] = mask
        results['seg_fields'].append('gt_seg_map')

    @staticmethod
    def _check_ids(mask: np.ndarray, num_classes: int, ignore_index: int | None, path: str) -> None:
        odd = mask >= num_classes
        if ignore_index is not None:
            odd &= mask != ignore_index
        if odd.any():
            raise MaskError(f'The mask {printable(path)} holds the ids {shorten(map(str, np.unique(mask[odd])))}, but '
                            f'the data set has the classes 0 to {num_classes - 1} and {ignore_index}, ignored: convert '
                            'the original label images again with its converter in tools/dataset_converters.')
