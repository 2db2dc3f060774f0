# Linear segmentation on frozen ResNet-50 features with ten times the rate, as published for contrastive pretraining
# (MoCo-v2, DenseCL, MaskContrast).
_base_ = './r50_voc.py'
checkpoint = 'checkpoints/moco_v2_800ep_pretrain.pth.tar'
model = dict(backbone=dict(checkpoint=checkpoint))
optim_wrapper = dict(optimizer=dict(lr=0.1))
