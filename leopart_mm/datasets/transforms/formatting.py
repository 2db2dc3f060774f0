"""Packing of samples for the collate functions of MMEngine."""

from typing import Any

import torch
from mmcv.transforms import BaseTransform

from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackMultiCrop(BaseTransform):
    """Pack the output of `RoIAlignedMultiCrop` (and `DrawPhotometric`) so that `default_collate` makes a batch of it.

    Returns only ``dict(inputs=dict(...))``; after `default_collate` of B samples:
        crops: list of V tensors (B, C, S, S), gc_boxes: (B, T, V, 4), all_boxes: (B, V, T, 4), flipped: (B, V) bool,
        photometric: (B, V, P), if parameters were drawn.
    With ``device_crops`` there is, instead of the crops, ``image``, (H, W, C) of another size in each sample, which
    `multi_crop_collate` collates; crop_absolute: (B, V, 4) boxes; crop_sizes: (B, V) sides of the crops. An image that
    the device decodes is in ``jpeg``, (N, ) uint8, with its ``orientation`` (EXIF, 1..8) and upright ``size`` (2, ).

    Raises:
        KeyError: If no crops were made before.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """The sample as ``dict(inputs=...)``."""
        if 'crop_absolute' not in results:
            raise KeyError("PackMultiCrop finds no crops in the sample: put RoIAlignedMultiCrop before it")
        inputs = dict(
            gc_boxes=torch.from_numpy(results['gc_boxes']),
            all_boxes=torch.from_numpy(results['all_boxes']),
            flipped=torch.from_numpy(results['flipped']))
        if 'crops' in results:
            inputs['crops'] = [crop.contiguous() for crop in results['crops']]
        else:
            if 'encoded' in results:
                encoded = results['encoded']
                inputs['jpeg'] = torch.frombuffer(bytearray(encoded.content), dtype=torch.uint8)
                inputs['orientation'], inputs['size'] = torch.tensor(encoded.orientation), torch.tensor(encoded.size)
            else:
                inputs['image'] = results['crop_source']
            inputs['crop_absolute'] = torch.from_numpy(results['crop_absolute'])
            inputs['crop_sizes'] = torch.from_numpy(results['crop_sizes'])
        if 'photometric' in results:
            inputs['photometric'] = torch.from_numpy(results['photometric'])
        return dict(inputs=inputs)
