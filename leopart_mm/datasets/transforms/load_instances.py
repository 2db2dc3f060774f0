"""LoadInstances: boxes, labels and masks of a COCO JSON, in any of its forms, as MMDetection's structures."""

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from leopart_mm.datasets.coco_instances import check_size
from leopart_mm.files import printable
from leopart_mm.masks.instance_shapes import segmentation_mask
from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadInstances(BaseTransform):
    """Decode the instances of `CocoInstances`: run lengths, compressed or not, and polygons.

    MMDetection's own step cannot say which image a mask of another size belongs to. An instance whose mask has no pixel
    is left out: small polygons of published files decode to nothing (docs/methods/maskdistill.md §4).

    Needs ``instances`` and ``ori_shape``. Adds ``gt_bboxes`` (N boxes x1, y1, x2, y2), ``gt_bboxes_labels`` ((N,)
    int64), ``gt_ignore_flags`` ((N,) bool) and ``gt_masks`` (N bitmaps of the image's size).

    Raises:
        ImageReadError: If image and annotations are of other sizes.
        ValueError: If a mask is of another size or form; the message names the image.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the instances of one image."""
        from mmdet.structures.bbox import HorizontalBoxes
        from mmdet.structures.mask import BitmapMasks
        size = tuple(results['ori_shape'])
        check_size(results['img_path'], results, size)
        kept, masks = [], []
        for number, instance in enumerate(results['instances']):
            try:
                mask = segmentation_mask(instance['mask'], size)
            except ValueError as error:
                raise ValueError(f'{printable(results["img_path"])}, instance {number}: {error}.') from error
            if mask.any():
                kept.append(instance)
                masks.append(mask.astype(np.uint8))
        boxes = torch.tensor([instance['bbox'] for instance in kept], dtype=torch.float32).reshape(-1, 4)
        results['gt_bboxes'] = HorizontalBoxes(boxes)
        results['gt_bboxes_labels'] = np.array([instance['bbox_label'] for instance in kept], np.int64)
        results['gt_ignore_flags'] = np.array([instance['ignore_flag'] for instance in kept], bool)
        results['gt_masks'] = BitmapMasks(np.stack(masks) if masks else [], *size)
        return results
