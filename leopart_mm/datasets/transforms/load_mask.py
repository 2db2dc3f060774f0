"""The loading step of masks, for data sets of any origin."""

from typing import Any

import numpy as np
from mmseg.datasets.transforms import LoadAnnotations

from leopart_mm.datasets.mask_reading import ORIENTATIONS, fit_to_image, nearest, read_mask
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
        MaskError: If a mask cannot be read, holds colours, or does not belong to its image.
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
        if results.get('missing') is not None:
            mask[nearest(results['missing'], mask.shape)] = results.get('ignore_index', 255)
        results['gt_seg_map'] = mask
        results['seg_fields'].append('gt_seg_map')
