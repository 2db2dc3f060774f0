"""Prototype segmentors on a tiny backbone, and on given features."""

import torch
from mmengine.model import BaseModule
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from leopart_mm.models.segmentors import PrototypeSegmentor
from leopart_mm.registry import MODELS

EM = dict(type='leopart_mm.PrototypeEM')
KMEANS = dict(type='leopart_mm.CosineKMeans')
PREPROCESSOR = dict(type='mmseg.SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                    bgr_to_rgb=True, size_divisor=1)


class GivenFeatures(BaseModule):
    """Returns what it is told: features of images, and those of their mirror images."""

    patch_size = 4

    def __init__(self, features=None, mirrored=None, embed_dims=None):
        super().__init__()
        self.given = [features, mirrored]
        self.embed_dims = embed_dims or features.shape[1]
        self.calls = 0

    def forward(self, inputs):
        self.calls += 1
        return (self.given[(self.calls - 1) % 2 if self.given[1] is not None else 0], )


def on_features(embed_dims, num_prototypes, objective, num_classes=None, **kwargs):
    """A segmentor of which `losses` gets features."""
    probe = None if num_classes is None else dict(num_classes=num_classes)
    backbone = kwargs.pop('backbone', None) or GivenFeatures(embed_dims=embed_dims)
    return PrototypeSegmentor(backbone, dict(type='leopart_mm.PrototypeHead', num_prototypes=num_prototypes), objective,
                              linear_probe=probe, **kwargs)


def tiny_cfg(objective=EM, num_prototypes=3, num_classes=4, **kwargs):
    """Config of a segmentor with a tiny ViT of patches of 8."""
    return dict(
        type='leopart_mm.PrototypeSegmentor',
        data_preprocessor=dict(PREPROCESSOR),
        backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224',
                      model_kwargs=dict(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2)),
        decode_head=dict(type='leopart_mm.PrototypeHead', num_prototypes=num_prototypes),
        objective=dict(objective),
        linear_probe=None if num_classes is None else dict(num_classes=num_classes), **kwargs)


def tiny(seed=0, **kwargs):
    """The built segmentor, with features that differ."""
    torch.manual_seed(seed)
    model = MODELS.build(tiny_cfg(**kwargs))
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model


def samples(batch=2, side=32, seed=0, proposals=True, labels=True, classes=4):
    """Data samples with masks (some pixels in none) and labels (some void)."""
    generator = torch.Generator().manual_seed(seed)

    def draw(high, number):
        blocks = torch.randint(0, high, (1, -(-side // 8), -(-side // 8)), generator=generator)
        blocks = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :side, :side]
        return PixelData(data=blocks.masked_fill(torch.rand(1, side, side, generator=generator) < 0.1, number))

    found = []
    for index in range(batch):
        sample = SegDataSample(metainfo=dict(img_path=f'{index}.jpg', ori_shape=(side, side)))
        if proposals:
            sample.set_data(dict(proposals=draw(5, 255)))
        if labels:
            sample.gt_sem_seg = draw(classes, 255)
        found.append(sample)
    return found
