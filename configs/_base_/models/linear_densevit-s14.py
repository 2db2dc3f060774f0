# For users' files that inherit from it: linear.py on DINOv2's ViT-S/14.
_base_ = './linear.py'
arch = 'vit_small_patch14_dinov2'
patch_size = 14
model = dict(data_preprocessor=dict(test_cfg=dict(size_divisor=patch_size)), backbone=dict(arch=arch))
