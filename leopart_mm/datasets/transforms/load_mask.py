"""The loading step of masks, for data sets of any origin."""

import numpy as np
from mmseg.datasets.transforms import LoadAnnotations

from leopart_mm.datasets.mask_reading import fit_to_image, read_mask
from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadMask(LoadAnnotations):
    """mmseg's LoadAnnotations that refuses what is no label map, and turns masks as their image (`fit_to_image`).

    Our data sets read with it where a pipeline says ``LoadAnnotations``; arguments as there.

    Raises:
        MaskError: If a mask cannot be read, holds colours, or does not belong to its image.
    """

    def _load_seg_map(self, results: dict) -> None:
        path = results['seg_map_path']
        mask = read_mask(path)
        if 'ori_shape' in results:
            mask = fit_to_image(mask, results['ori_shape'], path, results['img_path'])
        mask = np.array(mask)
        if results.get('reduce_zero_label') if self.reduce_zero_label is None else self.reduce_zero_label:
            mask = np.where(mask == 0, 255, np.where(mask == 255, 255, mask - 1)).astype(np.uint8)
        if results.get('label_map') is not None:
            table = np.arange(256, dtype=np.uint8)
            for old, new in results['label_map'].items():
                table[old] = new
            mask = table[mask]
        results['gt_seg_map'] = mask
        results['seg_fields'].append('gt_seg_map')
