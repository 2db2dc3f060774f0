"""Class tokens of crops of masks."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from leopart_mm.apis.mask_crops import CropFeatures, MaskCrop, plan_batches
from leopart_mm.apis.proposal_network import ProposalNetwork
from leopart_mm.geometry.boxes import box_pixels
from tests.apis.mask_scenes import MEAN, STD, config_of, write_scene
from tests.models.backbones.builders import tiny_vit


def test_a_feature_is_the_class_token_of_the_padded_crop(tmp_path):
    torch.save(tiny_vit().state_dict(), tmp_path / 'vit.pth')
    images, annotations, _ = write_scene(tmp_path, 3)
    crops = [MaskCrop(str(tmp_path / image['file_name']), (image['height'], image['width']),
                      *box_pixels(entry['bbox'], (image['height'], image['width'])))
             for image, entry in zip(images, annotations, strict=True)]
    network = ProposalNetwork.from_config(config_of(str(tmp_path / 'vit.pth')))
    found = CropFeatures(network, tmp_path / 'kept', max_side=None)(crops)
    vit = tiny_vit()
    for crop, entry, row in zip(crops, annotations, found, strict=True):
        x, y, w, h = entry['bbox']
        pixels = cv2.imread(crop.path)[y:y + h, x:x + w, ::-1].astype(np.float32)
        pixels = torch.from_numpy((pixels - MEAN) / STD).permute(2, 0, 1)[None]
        token = vit.forward_dense(F.pad(pixels, (0, -w % 8, 0, -h % 8))).cls_token
        np.testing.assert_allclose(row, token[0].detach().numpy(), rtol=1e-4, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-2


def test_a_large_crop_is_made_smaller_in_proportion():
    crop = MaskCrop('', (900, 900), slice(0, 900), slice(100, 400))
    assert [crop.size(side) for side in (None, 900, 450, 1)] == [(900, 300), (900, 300), (450, 150), (1, 1)]


def test_batches_hold_crops_of_one_padded_size_and_few_of_large_ones():
    assert plan_batches([(8, 8), (2000, 2000), (1, 3), (2000, 1999), (9, 8)], 8, 16) == [[1], [3], [4], [0, 2]]
