"""Necks before mmseg's decoders."""

import torch
import torch.nn.functional as F

from leopart_mm.registry import MODELS


def test_sizes_in_training_and_evaluation():
    neck = MODELS.build(dict(type='leopart_mm.FeatureToSize', size=(10, 12)))
    maps = (torch.randn(2, 3, 4, 5), torch.randn(2, 3, 2, 2))
    resized = neck.train()(maps)
    assert [tuple(one.shape) for one in resized] == [(2, 3, 10, 12)] * 2
    torch.testing.assert_close(resized[0], F.interpolate(maps[0], (10, 12), mode='bilinear', align_corners=False))
    assert all(a is b for a, b in zip(neck.eval()(maps), maps, strict=True))
    neck = MODELS.build(dict(type='leopart_mm.FeatureToSize', eval_size=(7, 7), mode='nearest')).eval()
    torch.testing.assert_close(neck(maps)[0], F.interpolate(maps[0], (7, 7)))


def test_resizing_logits_equals_resizing_features_of_a_linear_head():
    head, maps = torch.nn.Conv2d(6, 4, 1), torch.randn(2, 6, 7, 7)
    neck = MODELS.build(dict(type='leopart_mm.FeatureToSize', eval_size=(50, 50))).eval()
    later = F.interpolate(head(maps), (50, 50), mode='bilinear', align_corners=False)
    torch.testing.assert_close(head(neck([maps])[0]), later, rtol=1e-4, atol=1e-5)


def test_mean_readout():
    maps = [torch.randn(2, 3, 4, 5)]
    (same, readout), = MODELS.build(dict(type='leopart_mm.MeanReadout'))(maps)
    assert same is maps[0]
    torch.testing.assert_close(readout, maps[0].flatten(2).mean(2))
