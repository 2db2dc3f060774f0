# Linear segmentation on frozen ResNet-50 features with ten times the rate, as published for contrastive pretraining
# (MoCo-v2, DenseCL, MaskContrast); otherwise as r50_voc.py.
_base_ = [
    '../../_base_/models/linear.py', '../../_base_/datasets/voc_aug_probe448.py',
    '../../_base_/schedules/probe_25e.py', '../../_base_/probe_runtime.py',
]
checkpoint = 'checkpoints/moco_v2_800ep_pretrain.pth.tar'
embed_dims = 2048
model = dict(
    backbone=dict(
        _delete_=True, type='leopart_mm.DenseResNet', depth=50, checkpoint=checkpoint, frozen_stages=4, norm_eval=True),
    decode_head=dict(in_channels=embed_dims, channels=embed_dims))
optim_wrapper = dict(optimizer=dict(lr=0.1))
