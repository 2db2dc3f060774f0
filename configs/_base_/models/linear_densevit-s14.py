# A 1x1 convolution on frozen DINOv2 ViT-S/14 features (docs/methods/neco.md §7.2).
_base_ = './linear_densevit-s16.py'
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=14)),
    backbone=dict(arch='vit_small_patch14_dinov2'))
