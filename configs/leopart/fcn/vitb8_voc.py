# FCN head on frozen ViT-B/8 features, Pascal VOC.
_base_ = [
    '../../_base_/models/fcn.py', '../../_base_/datasets/voc_aug_probe448.py', '../../_base_/schedules/probe_25e.py',
    '../../_base_/probe_runtime.py',
]
arch = 'vit_base_patch8_224'
embed_dims = 768
patch_size = 8
checkpoint = 'checkpoints/leopart_vitb8.ckpt'
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=patch_size)),
    backbone=dict(arch=arch, checkpoint=checkpoint),
    decode_head=dict(in_channels=embed_dims))
val_dataloader = dict(batch_size=1)  # 1664 channels at 448 x 448
test_dataloader = val_dataloader
