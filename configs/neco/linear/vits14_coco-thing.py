# Linear segmentation on frozen ViT-S/14 features, COCO-Things: a random 10 % of train2017, all of
# val2017.
_base_ = [
    '../../_base_/models/linear.py', '../../_base_/datasets/coco-thing_probe448.py',
    '../../_base_/schedules/probe_25e_batch128.py', '../../_base_/probe_runtime.py',
]
arch = 'vit_small_patch14_dinov2'
patch_size = 14
num_classes = 12
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=patch_size)),
    backbone=dict(arch=arch),
    decode_head=dict(num_classes=num_classes))
train_dataloader = dict(batch_size=128)
