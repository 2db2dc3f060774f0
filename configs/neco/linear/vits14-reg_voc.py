# Linear segmentation on frozen ViT-S/14 with registers features, Pascal VOC (see vits14_voc.py).
_base_ = [
    '../../_base_/models/linear.py', '../../_base_/datasets/voc_aug_probe448.py',
    '../../_base_/schedules/probe_25e_batch128.py', '../../_base_/probe_runtime.py',
]
arch = 'vit_small_patch14_reg4_dinov2'
patch_size = 14
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=patch_size)),
    backbone=dict(arch=arch))
train_dataloader = dict(batch_size=128)
