# Linear segmentation on frozen ViT-S/14 features, Pascal VOC. As Leopart's probe with batches of 128
# (docs/methods/neco.md §7.2), scored at 448 x 448, as the published stand-alone script does, on all 1,449 images
# (published in training: 100 x 100 and 1,408 images).
_base_ = [
    '../../_base_/models/linear.py', '../../_base_/datasets/voc_aug_probe448.py',
    '../../_base_/schedules/probe_25e_batch128.py', '../../_base_/probe_runtime.py',
]
arch = 'vit_small_patch14_dinov2'
patch_size = 14
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=patch_size)),
    backbone=dict(arch=arch))
train_dataloader = dict(batch_size=128)
