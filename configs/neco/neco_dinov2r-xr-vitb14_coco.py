# NeCo from DINOv2's register weights in a ViT-B/14 without registers ("XR") on COCO, 1 GPU x 16, 25 epochs.
_base_ = './_base_/coco_518.py'
arch = 'vit_base_patch14_dinov2'
checkpoint = 'checkpoints/dinov2_vitb14_reg4_pretrain.pth'
model = dict(backbone=dict(arch=arch, drop_registers=True, checkpoint=checkpoint))
optim_wrapper = dict(optimizer=dict(lr=1e-6))
train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=16)
